#!/usr/bin/python3
"""Checks that no file includes what its side of a wall must not know.

Includes count over any number of headers: a session file that includes a harmless header which
includes the guard's is as bad as one that does so itself. Prints one line for each breach with the
way the include took, and exits with 1. First of all it checks itself on a tree in which every rule
is broken once.
"""

import pathlib
import re
import sys
import tempfile

FOLDERS = ("base", "protocol", "daemon", "ctl")
INCLUDE = re.compile(r'^\s*#\s*(?:include|include_next|import)\s*(["<])([^">]+)[">]', re.MULTILINE)
ODD_INCLUDE = re.compile(r'^\s*#\s*(?:include|include_next|import)\s*[^\s"<].*', re.MULTILINE)
GENERATED = {"base/version.h"}
SOCKETS = ("sys/socket.h", "sys/un.h", "netinet/", "arpa/")
LOGGING = ("spdlog/", "syslog.h", "systemd/sd-journal.h")


def below(*prefixes):
    return lambda path: path.startswith(prefixes)


# Each rule: who, what it must never include, with these exceptions, and why.
RULES = (
    (below("daemon/session/"), below("daemon/"), below("daemon/session/", "daemon/channel/"),
     "a session knows of the guard only the channel"),
    (below("ctl/"), below("daemon/"), below("daemon/channel/"),
     "the client knows of the daemon only the channel's types"),
    (lambda p: p.startswith("daemon/") and not p.startswith("daemon/session/"),
     below("protocol/", "daemon/session/"), below(),
     "the guard does not know the language of its callers"),
    # inet_pton(3) reads a text; AF_INET is a number that travels.
    (below("daemon/policy/"), below(*SOCKETS, "systemd/", *LOGGING), below("arpa/inet.h"),
     "the policy is pure: no sockets, no service manager, no logging"),
    (below("base/", "protocol/", "daemon/channel/"), below(*LOGGING), below(),
     "libraries return results, programs log"),
    (below("base/"), below("protocol/", "daemon/", "ctl/"), below(), "base/ is below everything"),
    (below("protocol/"), below("daemon/", "ctl/"), below("daemon/channel/types.h"),
     "the protocol is shared by session and client, and knows neither"),
    (below("daemon/", "protocol/"), below("ctl/"), below(), "ctl/ is a program of its own"),
)


def direct_includes(root, path, errors):
    text = (root / path).read_text(encoding="utf-8")
    for match in ODD_INCLUDE.finditer(text):
        errors.append(f"{path}: can't be followed: {match.group(0).strip()}")
    for kind, name in INCLUDE.findall(text):
        if kind == '"' and name not in GENERATED and not (root / name).is_file():
            errors.append(f'{path}: "{name}" is no file from the top of the tree')
        yield name


def check(root):
    errors = []
    files = sorted(str(p.relative_to(root)) for folder in FOLDERS
                   for p in (root / folder).rglob("*") if p.suffix in (".h", ".cc", ".in"))
    includes = {path: list(direct_includes(root, path, errors)) for path in files}
    for start in files:
        rules = [rule for rule in RULES if rule[0](start)]
        way, queue = {start: None}, [start]
        while queue:
            path = queue.pop(0)
            for name in includes.get(path, ()):
                if name in way:
                    continue
                way[name] = path
                queue.append(name)
                for _, forbidden, allowed, reason in rules:
                    if forbidden(name) and not allowed(name):
                        steps, step = [name], path
                        while step is not None:
                            steps.append(step)
                            step = way[step]
                        errors.append(f"{' -> '.join(reversed(steps))}: {reason}")
    return files, errors


def self_test():
    """Every rule must be able to fail, directly and through a header, and what is right must pass."""
    breaches = {
        "daemon/session/a.cc": '#include "daemon/guard.h"\n',
        "ctl/a.cc": '#include "daemon/policy/p.h"\n',
        "daemon/b.cc": '#include "protocol/p.h"\n',
        "daemon/jobs/a.cc": '#include "daemon/session/s.h"\n',
        "daemon/policy/a.cc": "#include <sys/socket.h>\n",
        "daemon/policy/b.cc": "#  include <systemd/sd-bus.h>\n",
        "daemon/policy/c.cc": '#include "daemon/log.h"\n',
        "daemon/channel/a.cc": "#include <spdlog/spdlog.h>\n",
        "base/a.cc": '#include "ctl/c.h"\n',
        "protocol/a.cc": '#include "daemon/channel/messages.h"\n',
        "daemon/c.cc": '#include "ctl/c.h"\n',
        "ctl/b.cc": '#include "../base/b.h"\n',
        "ctl/d.cc": "#include MACRO\n",
    }
    fine = {
        "daemon/guard.h": '#include "base/version.h"\n#include <sys/socket.h>\n',
        "daemon/log.h": "#include <spdlog/spdlog.h>\n",
        "daemon/policy/p.h": '#include "base/b.h"\n#include "daemon/channel/types.h"\n',
        "daemon/session/s.h": '#include "protocol/p.h"\n#include "daemon/channel/messages.h"\n',
        "daemon/channel/types.h": "",
        "daemon/channel/messages.h": '#include "daemon/channel/types.h"\n',
        "protocol/p.h": '#include "daemon/channel/types.h"\n',
        "ctl/c.h": '#include "protocol/p.h"\n#include "daemon/channel/types.h"\n',
        "base/b.h": "#include <string>\n",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in {**breaches, **fine}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        _, errors = check(root)
    found = {re.split(r": | -> ", error)[0] for error in errors}
    assert found == set(breaches), f"self-test: {found ^ set(breaches)}"


def main():
    self_test()
    files, errors = check(pathlib.Path(__file__).resolve().parents[2])
    assert files, "no sources found"
    for error in errors:
        print(error)
    print(f"include walls: {len(files)} files, {len(errors)} breaches")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
