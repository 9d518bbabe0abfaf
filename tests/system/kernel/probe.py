"""A job: tries what a sandbox may forbid, and prints what came of it as one JSON object."""

import ctypes
import errno
import json
import os
import pathlib
import signal

libc = ctypes.CDLL(None, use_errno=True)


def outcome(attempt):
    """"done", or the name of the error."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


def write(path):
    def attempt():
        with open(path, "x", encoding="ascii"):
            os.unlink(path)
    return outcome(attempt)


def personality():
    if libc.personality(0xffffffff) < 0:
        raise OSError(ctypes.get_errno(), "personality")


def give_away():
    path = pathlib.Path("/tmp/given")
    path.touch()
    try:
        os.chown(path, 1, 1)
    finally:
        path.unlink()


def children():
    """How many processes it may have beside itself; 20 at most are tried."""
    started = []
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.pause()
            started.append(child)
    except OSError as error:
        assert error.errno == errno.EAGAIN
    for child in started:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(started)


with open("/proc/self/status", encoding="ascii") as lines:
    status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
print(json.dumps({
    "etc": write("/etc/written"), "usr": write("/usr/written"), "tmp": write("/tmp/written"),
    "outside": os.path.exists("/tmp/outside"), "personality": outcome(personality),
    "chown": outcome(give_away), "children": children(),
    "oom": int(pathlib.Path("/proc/self/oom_score_adj").read_text(encoding="ascii")),
    **{key: status[key] for key in ("CapBnd", "CapEff", "Seccomp")}}))
