"""What processes use: processor time and memory; and on which processors they run."""

import contextlib
import os
import pathlib
import re
import time


def tree(pid):
    """The process and all below it."""
    found = [pid]
    for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            with contextlib.suppress(FileNotFoundError):
                found += tree(int(child))
    return found


def processor_us(pids):
    """Microseconds of processor time of all their threads, those that have ended included."""
    # clock_getcpuclockid(3): the clock of a process, of all that the scheduler counts.
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids) / 1000


def pin(pids, processor):
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), {processor})


def kib(pid, name):
    """By its name in /proc/PID/smaps_rollup: Rss, Private_Dirty."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(rf"^{name}:\s+(\d+) kB$", text, re.M).group(1))


def anonymous_bytes(pids):
    return 1024 * sum(int(re.search(r"^RssAnon:\s+(\d+) kB$", pathlib.Path(
        f"/proc/{pid}/status").read_text(encoding="ascii"), re.M).group(1)) for pid in pids)
