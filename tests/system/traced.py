"""Processes of a booted host under strace: which system calls they make, and killed at one of them."""

import collections
import contextlib
import re
import subprocess

import booted_host


def guard_pid(host):
    """The guard's process, by its number outside; the guard is started if it does not run."""
    host.run("posternctl", "ping", user="member")
    return host.outer_pid(int(host.property("posternd.service", "MainPID")))


def traced(pid, *options):
    """strace of a process, once it has it."""
    strace = subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), *options],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)

    def attached():
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                return any(line.split()[1] != "0" for line in status if line.startswith("TracerPid:"))
        except (FileNotFoundError, ProcessLookupError):
            return True  # at its first call already it was killed

    booted_host.wait_until(attached, 10, "strace has the process")
    return strace


def recorded(pid, log, *options):
    """Writes down what system calls the process and its threads make meanwhile, for calls_of()."""
    return meanwhile(pid, "-o", str(log), "-yy", *options)


@contextlib.contextmanager
def meanwhile(pid, *options):
    """The process, and what it starts, under strace."""
    strace = traced(pid, *options)
    try:
        yield
    finally:
        strace.terminate()
        strace.wait(60)


def killed_at(pid, name, ordinal):
    """strace that kills the process at this call of that name."""
    return traced(pid, "-o", "/dev/null", "-e", f"trace={name}", "-e",
                  f"inject={name}:signal=SIGKILL:when={ordinal}")


def ended(strace):
    """Ends it; whether its process had been killed before."""
    killed = strace.poll() is not None
    if not killed:  # fewer calls than the time before
        strace.kill()  # what it traced goes on; asked politely it may wait for that for long
    strace.wait(60)
    return killed


def calls_of(pid, log, threads=False):
    """(name, ordinal among those of that name, kind) of each system call of the process's main thread, or of
    each of its threads: strace counts in each for itself.

    A kind is a name; of sendmsg also to whom, since a message to systemd is another than one to a
    session.
    """
    counts = collections.Counter()
    calls = []
    for line in log.read_text().splitlines():
        found = re.match(r"(\d+) +(\w+)\((?:\d+<([^>]*))?", line)
        if found and (threads or int(found.group(1)) == pid):
            thread, name = found.group(1, 2)
            counts[thread, name] += 1
            target = re.sub(r"\d+", "", found.group(3) or "") if name == "sendmsg" else ""
            calls.append((name, counts[thread, name], (name, target)))
    return calls


def some_of_each_kind(calls, most):
    """Up to so many of each kind, evenly spread; one: that in the middle."""
    kinds = collections.defaultdict(list)
    for call in calls:
        kinds[call[2]].append(call)
    picked = []
    for same in kinds.values():
        count = min(most, len(same))
        picked += [same[len(same) * (2 * number + 1) // (2 * count)] for number in range(count)]
    return picked
