"""Jobs whose every byte is numbered, and clients that compare every byte.

A stream is the numbers 0, 8, 16, ..., each in eight bytes: so none can be lost, doubled or made up unseen.
"""

import array
import contextlib
import os
import pathlib
import subprocess
import threading

import harness
from actions import EVERYONE
from posternctl import command

# What jobs have; the same as numbered() here.
PRELUDE = """
import array, fcntl, os, random, signal, socket, sys, threading, time
def numbered(start, length):
    first = start - start % 8
    numbers = array.array("Q", range(first, start + length + 8, 8)).tobytes()
    return numbers[start - first:start - first + length]
def put(fd, data):
    data = memoryview(data)
    while data:
        try:
            data = data[os.write(fd, data):]
        except BlockingIOError:
            time.sleep(0.001)
def count(fd, length, start=0, most=100_000, seed=1):
    draw = random.Random(seed + fd)
    while start < length:
        piece = min(draw.randint(1, most), length - start)
        put(fd, numbered(start, piece))
        start += piece
def both(length, **more):
    threads = [threading.Thread(target=count, args=(fd, length), kwargs=more) for fd in (1, 2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
def till(path):
    while not os.path.exists(path): time.sleep(0.005)
"""


def python(text, **more):
    """An action that is a Python program, behind PRELUDE."""
    text = PRELUDE + text
    return {"summary": "Counts", "allow": EVERYONE,
            "exec": ["/usr/bin/python3", "-Ic", text.replace("{", "{{").replace("}", "}}")], **more}


def numbered(start, length):
    first = start - start % 8
    numbers = array.array("Q", range(first, start + length + 8, 8)).tobytes()
    return numbers[start - first:start - first + length]


class Checked(threading.Thread):
    """Reads a descriptor to its end, and compares all of it; `before`: is called with what has come, before
    each read. `size` is how much was right; `wrong` says where it was not."""

    def __init__(self, file, before=None, start=0):
        super().__init__(daemon=True)
        self._file = file
        self._before = before
        self.start_offset = start
        self.size = start
        self.wrong = None
        self.rest = b""
        self.start()

    def run(self):
        while True:
            if self._before:
                self._before(self.size)
            data = os.read(self._file, 1 << 20)
            if not data:
                return
            if self.rest or data != numbered(self.size, len(data)):
                self.rest += data  # what is not numbered: posternctl's own words
            else:
                self.size += len(data)

    def wait_size(self, size):
        harness.wait_until(lambda: self.size >= size or not self.is_alive(), what=f"{size} bytes")
        assert self.size >= size, (self.size, self.rest[:200])


class Client:
    """posternctl, whose both streams are compared. `slow`: called before each read of standard output."""

    def __init__(self, guard, *words, slow=None, as_=None, start=0):
        self.process = subprocess.Popen(
            command(guard.socket_path, *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=as_.take if as_ else None)
        self.out = Checked(self.process.stdout.fileno(), slow, start)
        self.err = Checked(self.process.stderr.fileno(), None, start)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.out.join()
        self.err.join()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait()

    def end(self, seconds=60):
        """(exit code, numbered bytes of standard output, those of standard error, what else came)."""
        code = self.process.wait(seconds)
        self.out.join(seconds)
        self.err.join(seconds)
        return code, self.out.size, self.err.size, (self.out.rest + self.err.rest)[:2000].decode(
            errors="replace")


def keeper_pid(guard):
    """The guard's postern-output, once there is one."""
    def find():
        for children in pathlib.Path(f"/proc/{guard.pid}/task").glob("*/children"):
            for pid in children.read_text(encoding="ascii").split():
                with contextlib.suppress(OSError):  # it has ended
                    if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postern-output\0"):
                        return int(pid)
        return None
    return harness.wait_until(find, what="postern-output is there")
