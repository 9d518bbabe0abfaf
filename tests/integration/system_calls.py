"""How many system calls a process and its threads make: by perf, which does not slow them down, else by
strace, with which they take so much longer that what waits for a turn gathers in another way."""

import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

_EVENT = "raw_syscalls:sys_enter"


@functools.cache
def why_no_perf():
    """Why perf can't count them here; None: it can."""
    if shutil.which("perf") is None:
        return "needs perf (linux-perf)"
    done = subprocess.run(["perf", "stat", "-x,", "-e", _EVENT, "true"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0 and _counted(done.stderr) is not None:
        return None
    return f"perf can't count system calls here: {' '.join(done.stderr.split())[:200]}"


def _counted(text):
    found = re.search(rf"^(\d+),.*{_EVENT}", text, re.M)
    return int(found.group(1)) if found else None


def calls_during(pid, work, folder):
    """While work() runs; `folder` is for what the tool writes."""
    return (_by_strace if why_no_perf() else by_perf)(pid, work, folder)


def by_perf(pid, work, folder):
    log = pathlib.Path(folder) / "perf"
    # What it is told, and its answers. It counts nothing before it is told to.
    (theirs, tell), (hear, answers) = os.pipe(), os.pipe()
    argv = ["perf", "stat", "-x,", "-o", log, "-e", _EVENT, "-D", "-1", f"--control=fd:{theirs},{answers}",
            "-p", str(pid)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          pass_fds=(theirs, answers), text=True) as perf:
        os.close(theirs)
        os.close(answers)

        def say(word):
            os.write(tell, f"{word}\n".encode())
            assert os.read(hear, 16).startswith(b"ack"), perf.stderr.read()

        try:
            say("enable")
            work()
            say("disable")
        finally:
            perf.send_signal(signal.SIGINT)
            os.close(tell)
            os.close(hear)
    counted = _counted(log.read_text(encoding="ascii"))
    assert counted is not None, log.read_text(encoding="ascii")
    return counted


def _by_strace(pid, work, folder):
    log = pathlib.Path(folder) / "strace"
    with subprocess.Popen(["strace", "-f", "-qq", "-c", "-U", "name,calls", "-o", log, "-p", str(pid)],
                          stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as strace:
        while any("TracerPid:\t0\n" in (task / "status").read_text(encoding="ascii")
                  for task in pathlib.Path(f"/proc/{pid}/task").iterdir()):
            assert strace.poll() is None, "strace could not attach"
            time.sleep(0.01)
        work()
        strace.send_signal(signal.SIGINT)
    return int(re.search(r"^total\s+(\d+)$", log.read_text(encoding="ascii"), re.M).group(1))
