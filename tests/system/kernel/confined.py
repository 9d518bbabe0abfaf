"""The services under their own AppArmor profiles, loaded and removed as docs/security.md shows it.

What comes in between runs under them too.
"""

import contextlib
import pathlib
import re
import shutil

import basics
import callers
import machine
import sandbox

DOCUMENT = pathlib.Path("/usr/share/doc/postern/security.md")
PROGRAMS = ("posternd", "postern-session", "postern-dropper", "postern-output")
AGAIN = {name: check for part in (basics, callers, sandbox) for name, check in part.CHECKS.items()
         if name in ("exit-codes", "much-output", "whoami", "sandbox", "session")}
# Compiling takes its time on an emulated machine.
LOAD_PATIENCE = 300


def do(option):
    """What the document shows: the commands among which apparmor_parser has this option."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S)
    (block,) = [block for block in blocks if f"apparmor_parser {option} " in block]
    machine.run("sh", "-ec", re.sub("^root# ", "", block, flags=re.M), check=True, timeout=LOAD_PATIENCE)


def labels_of(name):
    """What all processes of that name are confined by: [[profiles, modes]], each once."""
    found = []
    for pid in machine.processes(name):
        with contextlib.suppress(OSError):  # it has just ended
            text = pathlib.Path(f"/proc/{pid}/attr/current").read_text(encoding="ascii").strip()
            label = [sorted(re.sub(r" \(\w+\)", "", text).split("//&")), sorted(set(re.findall(r"\((\w+)\)", text)))]
            found += [label] * (label not in found)
    return found


def labels():
    """While a session has a connection."""
    client = machine.spawn(*machine.program("hold.py"), user="member")
    try:
        client.stdout.readline()
        return {name: labels_of(name) for name in PROGRAMS}
    finally:
        client.kill()
        client.wait()


def confined():
    do("--replace")
    machine.declare(label={"exec": ["/bin/cat", "/proc/self/attr/current"]},
                    direct={"exec": ["/bin/echo", "straight"], "output": "direct"})
    codes = {"reload": machine.run("systemctl", "reload", "posternd.service").returncode,
             "status": machine.run("posternctl", "status").returncode,
             "datagram": machine.call("ping", "--datagram")["code"],
             "another keeper": machine.run("systemctl", "restart", "postern-output.service").returncode}
    return {"codes": codes, "job": machine.call("run", "label")["out"], "direct": machine.call("run", "direct")["out"],
            "labels": labels(), "again": {name: check() for name, check in AGAIN.items()}}


# ---- What the kernel has denied ----

# A program that no profile of ours knows, and what none of them lets it read.
PROBE = ("ls", "/root")


def denied(probe=False):
    """The kernel's entries about our profiles: those of the probe, or all others."""
    log = machine.run("journalctl", "--no-pager", "-b", "-o", "cat", "_TRANSPORT=kernel", "+", "_TRANSPORT=audit",
                      check=True).stdout
    entries = [line[line.index("apparmor="):] for line in log.splitlines() if 'apparmor="DENIED"' in line]
    ours = [entry for entry in entries
            if set(PROGRAMS).intersection(re.search(r'profile="([^"]*)"', entry).group(1).split("//&"))]
    return [entry for entry in ours if (f'comm="{PROBE[0]}"' in entry) is probe]


def denials():
    """All of this boot, once the one is heard of that is meant."""
    before = len(denied(probe=True))
    machine.run("systemd-run", "-q", "--wait", "--collect", "--property=AppArmorProfile=postern-output", *PROBE)
    machine.wait_until(lambda: len(denied(probe=True)) > before, "an entry about a denial")
    return sorted(set(denied()))


def elsewhere():
    """An action whose program is where the profile lets none be read: before and after the document's rule for it."""
    program = pathlib.Path("/home/backup/bin/true")
    program.parent.mkdir(parents=True)
    shutil.copy("/bin/true", program)
    local = pathlib.Path("/etc/apparmor.d/local/postern")
    text = DOCUMENT.read_text(encoding="utf-8")
    (rule,) = re.findall(rf"`{local}`, for\s+example\s+`(.*?)`", text)
    (commands,) = re.findall(r"`(apparmor_parser --replace .*)`", text)
    machine.run("systemctl", "start", "posternd.socket", check=True)  # which the attacks before leave stopped
    machine.declare(elsewhere={"exec": [str(program)]})
    seen = {"before": machine.call("run", "elsewhere")["code"], "said": machine.run("posternctl", "reload").stderr}
    local.write_text(f"{rule}\n", encoding="ascii")
    machine.run("sh", "-ec", commands, check=True, timeout=LOAD_PATIENCE)
    seen["after"] = machine.call("run", "elsewhere")["code"]
    local.unlink()
    (machine.ACTIONS / "elsewhere.json").unlink()
    return seen


# ---- Without them ----

def removed():
    """How a program starts whose profile is not loaded; and what is there once the document's commands are undone."""
    lost = machine.run("systemd-run", "-q", "--wait", "--collect", "--property=AppArmorProfile=postern-lost", *PROBE)
    do("--remove")
    return {"lost": lost.returncode, "labels": labels(), "hello": machine.call("run", "hello", "name=g1")["out"],
            "drop-ins": {unit: machine.unit_property("DropInPaths", f"{unit}.service")
                         for unit in ("posternd", "postern-output")},
            "profile": pathlib.Path("/etc/apparmor.d/postern").exists()}


CHECKS = {"confined": confined}
LAST = {"denials": denials, "elsewhere": elsewhere, "removed": removed}
