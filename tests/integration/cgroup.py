"""A cgroup for each guard under test: nothing that a test starts outlives it."""

import contextlib
import os
import pathlib
import time


def root():
    """Where cgroup v2 is mounted, or None."""
    for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(f"{path}/cgroup.procs") and os.access(f"{path}/cgroup.procs", os.W_OK):
            if os.path.exists(f"{path}/cgroup.controllers"):
                return path
    return None


class Cgroup:
    """A cgroup of our own; `path` is None where we can't have one."""

    def __init__(self, name):
        base = root() if os.geteuid() == 0 else None
        self.path = pathlib.Path(base, name) if base else None
        if self.path:
            self.path.mkdir()

    def enter(self):
        """Moves the calling process; for use between fork and exec."""
        if self.path:
            (self.path / "cgroup.procs").write_text("0")

    def processes(self):
        """Ids of all processes in it and below."""
        found = []
        if self.path:
            for folder, _, _ in os.walk(self.path):
                with contextlib.suppress(OSError):
                    found += map(int, pathlib.Path(folder, "cgroup.procs").read_text().split())
        return found

    def populated(self):
        return bool(self.path) and "populated 1" in (self.path / "cgroup.events").read_text()

    def wait_empty(self, seconds=25):
        """True as soon as no process is left, zombies not counted."""
        end = time.monotonic() + seconds
        while self.populated():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def kill_and_remove(self):
        if not self.path or not self.path.exists():
            return
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")
        self.wait_empty()
        for folder, _, _ in os.walk(self.path, topdown=False):
            os.rmdir(folder)
        self.path = None
