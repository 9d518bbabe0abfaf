"""One user sends descriptors that are slow to close, or never are: what becomes of all the others.

Each check begins with a guard that serves, and leaves whatever is left of it.
"""

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess

import machine

UNITS = ("posternd.socket", "posternd-datagram.socket", "posternd-admin.socket", "posternd.service")
# Longer than systemd takes for a service that does not end: TimeoutStopSec= twice.
STOP_PATIENCE = 150
# How often another user calls. Each call costs the guard a descriptor until it is closed.
KNOCKS = 40


def begin():
    machine.run("systemctl", "stop", *UNITS, timeout=STOP_PATIENCE)
    machine.run("systemctl", "reset-failed", *UNITS)
    machine.run("systemctl", "start", "posternd.socket", check=True)
    seen = serves()
    if seen != SERVES:
        raise RuntimeError(f"no guard serves before the attack: {seen}")


@contextlib.contextmanager
def attack(kind, way):
    """mallory has sent what he sends, and has it open until the end of the block."""
    process = machine.spawn(*machine.program("attack.py"), kind, way, user="mallory")
    try:
        if not select.select([process.stdout], [], [], machine.PATIENCE)[0]:
            raise TimeoutError("the attack has not begun")
        said = process.stdout.readline()
        if said.strip() != b"sent":
            # Its own exit may stand still in a close, unless it is killed.
            os.killpg(process.pid, signal.SIGKILL)
            raise RuntimeError(f"the attack failed: {(said + process.stdout.read()).decode()}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(machine.PATIENCE)


def outcome(*words, user="other"):
    """The exit code of posternctl as a user, or that it did not end."""
    try:
        return machine.call(*words, user=user)["code"]
    except subprocess.TimeoutExpired:
        return "did not end"


def serves():
    return {"run": outcome("run", "hello", "name=g1"), "datagram": outcome("ping", "--datagram")}


SERVES = {"run": 0, "datagram": 0}


def descriptors():
    return len(os.listdir(f"/proc/{machine.guard_pid()}/fd"))


def installed():
    """How many of the guard's descriptors are TCP sockets, or of the file system that hangs."""
    with open("/proc/net/tcp", encoding="ascii") as lines:
        tcp = {f"socket:[{line.split()[9]}]" for line in list(lines)[1:]}
    count = 0
    for descriptor in pathlib.Path(f"/proc/{machine.guard_pid()}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            target = os.readlink(descriptor)
            count += target in tcp or target.endswith("/hung-file")
    return count


def knock():
    done = machine.run(*machine.program("knock.py"), str(KNOCKS), user="other", timeout=STOP_PATIENCE)
    return json.loads(done.stdout)


def served():
    """Calls of another user meanwhile, and how many descriptors more the guard has after them."""
    before = descriptors()
    # The other user has a session already; for the member one is started.
    seen = {"installed": installed(), **serves(), "answered": knock(),
            "newcomer": outcome("ping", user="member")}
    more = [descriptors() - before]
    with contextlib.suppress(TimeoutError):
        machine.wait_until(lambda: descriptors() - before < KNOCKS // 4, "few descriptors", 30)
    more.append(descriptors() - before)
    return {**seen, "more descriptors": more}


def killed():
    """The guard is killed: whether the next one is there, and serves."""
    before = machine.guard_pid()
    os.kill(before, signal.SIGKILL)

    def again():
        return (machine.unit_property("ActiveState") == "active" and
                machine.guard_pid() not in (0, before))

    try:
        machine.wait_until(again, "another guard", STOP_PATIENCE)
    except TimeoutError:
        return {"again": False, "state": machine.unit_property("ActiveState")}
    return {"again": True, **serves()}


def stopped():
    """The guard is stopped: whether it ended by itself, and what is left of it."""
    machine.run("systemctl", "stop", *UNITS, timeout=STOP_PATIENCE)
    return {"result": machine.unit_property("Result"), "state": machine.unit_property("ActiveState"),
            "left": [name for name in ("posternd", "postern-session") for _ in machine.processes(name)]}


def during(kind, way):
    begin()
    seen = {}
    with attack(kind, way):
        seen["served"] = served()
        seen["killed"] = killed()
    if serves() != SERVES:
        begin()
    with attack(kind, way):
        seen["stopped"] = stopped()
    return seen


CHECKS = {f"{kind} by {way}": lambda kind=kind, way=way: during(kind, way)
          for kind in ("lingering", "hung") for way in ("datagram", "stream")}
