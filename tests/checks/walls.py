#!/usr/bin/python3
"""Holds every #include against the one list of who may include whom: the table in HACKING.md.

Includes count over any number of headers: a session file that includes a harmless header which
includes the guard's is as bad as one that does so itself. Every folder has a row, and every .cc file
the header of its name: a file that has none holds the overflow of another file's class. Prints one
line for each breach, with the way that the include took, and exits with 1. First of all it checks
itself on a tree in which every rule is broken once.
"""

import collections
import pathlib
import re
import sys
import tempfile

from sources import GENERATED, REPOSITORY, folder_of, includes, sources, table

ODD_INCLUDE = re.compile(r'^\s*#\s*(?:include|include_next|import)\s*[^\s"<].*', re.MULTILINE)
# A word of the table's last column -> the headers that only a folder with that word may include.
LIBRARIES = {
    "nlohmann_json": ("nlohmann/",),
    "spdlog": ("spdlog/",),
    "systemd": ("systemd/",),
    "re2": ("re2/",),
    "seccomp": ("seccomp.h",),
    "CLI11": ("CLI/",),
    "nettle": ("nettle/",),
    "threads": ("thread", "mutex", "condition_variable"),
    "files": ("fcntl.h", "dirent.h", "sys/stat.h", "sys/file.h", "filesystem",
              "base/io.h"),
    "sockets": ("sys/socket.h", "sys/un.h", "netinet/"),
    "accounts": ("pwd.h", "grp.h"),
    # With the runtime of C++ in the program they are a third of it, and their locale is set up at each start.
    "streams": ("iostream", "istream", "ostream", "sstream", "fstream", "streambuf", "iomanip", "locale"),
    # inet_pton(3) reads a text; AF_INET is a number that travels.
    "addresses": ("arpa/",),
}
# These a folder must name only for what it includes itself: a header that shows a library's types
# makes its users link it, but reading a file is no business of whoever calls the reader.
DIRECT = {"files", "sockets", "accounts", "addresses", "threads", "streams"}


def circle_in(rows):
    """The folders of which some include one another in a circle, whatever their files do today."""
    left = {folder: set(row.folders) for folder, row in rows.items()}
    while True:
        free = [folder for folder, others in left.items() if not others & left.keys()]
        if not free:
            return sorted(left)
        for folder in free:
            del left[folder]


def has_own_header(path, files):
    name = path.rpartition("/")[2]
    return (name == "main.cc" or name.startswith("verb_") or
            path.removesuffix(".cc") + ".h" in files)


def library_of(name):
    for library, headers in LIBRARIES.items():
        for header in headers:
            if name == header or (header.endswith("/") and name.startswith(header)):
                return library
    return None


def way_to(path, way):
    steps = []
    while path is not None:
        steps.append(path)
        path = way[path]
    return " -> ".join(reversed(steps))


def check_file(start, row, graph, errors):
    """Follows the includes of one file as far as they go."""
    folder = folder_of(start)
    way, queue = {start: None}, [start]
    while queue:
        path = queue.pop(0)
        for name in graph.get(path, ()):
            library = library_of(name)
            if library and library not in row.libraries and (path == start or library not in DIRECT):
                errors.append(f"{way_to(path, way)} -> {name}: "
                              f"the row of {folder}/ does not name `{library}`")
            if name in way or name not in graph:
                continue
            way[name] = path
            queue.append(name)
            other = folder_of(name)
            if other != folder and other not in row.folders:
                errors.append(f"{way_to(name, way)}: the row of {folder}/ does not name `{other}/`")


def check(root):
    rows = table(root)
    errors, graph = [], {}
    if circle := circle_in(rows):
        errors.append(f"HACKING.md: the rows of {', '.join(circle)} lead into a circle")
    files = sources(root, rows)
    for path in files:
        text = (root / path).read_text(encoding="utf-8")
        for match in ODD_INCLUDE.finditer(text):
            errors.append(f"{path}: can't be followed: {match.group(0).strip()}")
        graph[path] = [GENERATED.get(name, name) for _, name in includes(root, path)]
        for kind, name in includes(root, path):
            if kind == '"' and not (root / GENERATED.get(name, name)).is_file():
                errors.append(f'{path}: "{name}" is not a file from the top of the tree')
        if path.endswith(".cc") and not has_own_header(path, files):
            errors.append(f"{path}: has no header of its name")
    for path in files:
        row = rows.get(folder_of(path))
        if row is None:
            errors.append(f"{path}: HACKING.md has no row for {folder_of(path)}/")
        else:
            check_file(path, row, graph, errors)
    for folder in rows:
        if not any(folder_of(path) == folder for path in files):
            errors.append(f"HACKING.md: {folder}/ has a row and no file")
    return files, errors


def self_test():
    """Every rule must be able to fail, directly and through a header, and what is right must pass."""
    rows = """
| folder | what | may include | libraries |
|---|---|---|---|
| `base/` | b | | |
| `model/` | m | `base/` | `nlohmann_json` |
| `daemon/policy/` | p | `base/`, `model/` | `nlohmann_json` |
| `daemon/guard/` | g | `base/`, `model/`, `daemon/policy/` | `nlohmann_json`, `files`, `spdlog` |
| `daemon/empty/` | e | | |
"""
    breaches = {
        "daemon/policy/a.h": '#include "daemon/guard/g.h"\n',      # upwards
        "base/a.h": '#include "model/m.h"\n',                      # not in its row
        "daemon/policy/d.h": "#include <sys/socket.h>\n",          # a library that it may not use
        "daemon/policy/e.h": "#  include <spdlog/spdlog.h>\n",
        "daemon/policy/f.h": '#include "base/io.h"\n',             # may not open files
        "daemon/policy/g.h": "#include <sstream>\n",
        "base/b.h": '#include "base/deep.h"\n',                    # through a header of its own
        "base/deep.h": '#include "model/m.h"\n',
        "daemon/guard/h.h": '#include "../base/fine.h"\n',
        "daemon/guard/i.h": "#include MACRO\n",
        "daemon/guard/overflow.cc": '#include "daemon/guard/g.h"\n',
        "daemon/stray/s.h": '#include "base/fine.h"\n',            # a folder without a row
    }
    fine = {
        "base/fine.h": "#include <string>\n",
        "base/io.h": "",
        "model/m.h": "#include <nlohmann/json.hpp>\n",
        "daemon/policy/p.h": '#include "model/m.h"\n#include "base/version.h"\n',
        "daemon/guard/g.h": '#include "daemon/policy/p.h"\n#include <spdlog/spdlog.h>\n',
        "daemon/guard/g.cc": '#include "daemon/guard/g.h"\n#include <fcntl.h>\n',
        "daemon/guard/main.cc": '#include "daemon/guard/g.h"\n#include "base/io.h"\n',
        "base/version.h.in": "",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in {**breaches, **fine, "HACKING.md": rows}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        _, errors = check(root)
    found = {re.split(r": | -> ", error)[0] for error in errors}
    expected = {*breaches, "HACKING.md"}
    assert found == expected, f"self-test: {sorted(found ^ expected)}"
    row = collections.namedtuple("Row", "folders")
    assert not circle_in({"a": row({"b"}), "b": row(set())})
    assert circle_in({"a": row({"b"}), "b": row({"c"}), "c": row({"b"})}) == ["a", "b", "c"]


def main():
    self_test()
    files, errors = check(REPOSITORY)
    for error in errors:
        print(error)
    print(f"walls: {len(files)} files, {len(errors)} breaches")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
