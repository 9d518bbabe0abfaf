"""A guard and its sessions, as /proc shows them."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

import harness

# Flags of a listening socket in /proc/net/unix (__SO_ACCEPTCON).
LISTENS = "00010000"


def sessions(guard):
    """The pids of the guard's sessions, in ascending order."""
    return helpers(guard, "postern-session")


def helpers(guard, name):
    """The pids of the processes of this program that the guard has started, in ascending order."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int(_stat(entry.name)[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if parent == guard.pid and command.startswith(name.encode() + b"\0"):
            found.append(int(entry.name))
    return sorted(found)


@contextlib.contextmanager
def stopped(*pids):
    """They stand still meanwhile."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def traced(pid, *options):
    """The process, all its threads, under strace, from now on; ordinals count in each thread."""
    with subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), "-o", "/dev/null", *options],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as strace:
        def attached():
            with contextlib.suppress(OSError):
                return all("TracerPid:\t0\n" not in (task / "status").read_text()
                           for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
            return True  # it was killed already
        harness.wait_until(attached, what="strace has it")
        try:
            yield strace
        finally:
            if strace.poll() is None:
                strace.kill()  # what it traced goes on


def _stat(pid):
    """The fields of /proc/PID/stat behind the name: the first is the state."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def ticks(pid):
    """Processor time, in clock ticks (a hundredth of a second)."""
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12])


def wakes(pid):
    """How often it has waited for something (voluntary_ctxt_switches, proc(5))."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.M).group(1))


def descriptors(pid):
    """How many it has open, but for pipes: a guard has some in stock."""
    opened = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            opened.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return len([name for name in opened if not name.startswith("pipe:")])


def all_descriptors(guard):
    """How many the guard has open, and each of its sessions; not the guard's channels to processes that
    close something for it, of which it keeps one or the other, nor the two that it has of each launcher
    that waits."""
    closers = len(helpers(guard, "postern-dropper")) + 2 * len(helpers(guard, "postern-launcher"))
    return [descriptors(guard.pid) - closers, *map(descriptors, sessions(guard))]


def connections(guard, pid=None):
    """How many connections to its socket are not closed on that side, or not by the process `pid`."""
    # The end that was accepted has the name of the socket that it came through, and no state of its own.
    found = set()
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines():
        fields = line.split()
        if fields[-1] == str(guard.socket_path) and fields[3] != LISTENS:
            found.add(f"socket:[{fields[6]}]")
    if pid is None:
        return len(found)
    opened = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            opened.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return len(found & opened)


def memory(pid, name):
    """Bytes, by their name in /proc/PID/status or smaps_rollup: VmRSS, VmHWM, Pss."""
    file = "smaps_rollup" if name == "Pss" else "status"
    for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)
