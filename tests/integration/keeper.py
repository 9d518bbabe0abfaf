"""postern-output with a guard that is the test (daemon/output/message.h)."""

import contextlib
import os
import socket
import struct
import subprocess

import harness

KINDS = {"hello": 1, "want_pipes": 2, "keep": 3, "watch": 4, "room": 5, "finish": 6, "forget": 7,
         "kept": 64, "all_kept": 65, "pipe": 66, "grown": 67, "trouble": 68, "finished": 69,
         "want_inputs": 8, "input": 70, "refused": 71}
NONE = (1 << 64) - 1
LAYOUT = struct.Struct("<BBBB32sIIIQQQQQQQQ")
UID = GID = 64001


def numbered(start, length):
    """Bytes start to start + length of the numbers 0, 8, 16, ..., each in eight bytes."""
    first = start - start % 8
    numbers = range(first, start + length + 8, 8)
    return struct.pack(f"<{len(numbers)}Q", *numbers)[start - first:start - first + length]


class Keeper:
    """One as the guard's child; under: the words of a command that runs it."""

    def __init__(self, under=()):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(harness.PATIENCE)
        words = [*under, harness.program("postern-output")]
        if harness.IS_ROOT:
            words += ["--uid", str(UID), "--gid", str(GID)]
        # dup2(3, 3) would leave it close-on-exec.
        number = theirs.fileno()
        self.process = subprocess.Popen(
            words, pass_fds=(3, number), stderr=subprocess.PIPE,
            preexec_fn=lambda: os.set_inheritable(3, True) if number == 3 else os.dup2(number, 3))
        theirs.close()

    def say(self, kind, *descriptors, job=0, stream=0, **numbers):
        """Sends a message; awaited and floor are none if they are not given."""
        values = {"floor": NONE, "awaited": NONE, **numbers}
        packet = LAYOUT.pack(1, KINDS[kind], stream, 0, f"{job:032x}".encode(),
                             *(values.get(name, 0) for name in (
                                 "count", "followers", "error", "window", "stall", "owner", "stored", "floor",
                                 "awaited")), 0, 0)
        socket.send_fds(self.channel, [packet], descriptors)

    def hear(self):
        """(kind, job, sizes, descriptors) of the next message; None at the end."""
        packet, descriptors, _, _ = socket.recv_fds(self.channel, LAYOUT.size + 1, 8)
        if not packet:
            return None
        values = LAYOUT.unpack(packet)
        kind = next(name for name, number in KINDS.items() if number == values[1])
        job = int(values[4], 16) if values[4].strip(b"\0") else None
        return kind, job, values[-2:], descriptors

    def greet(self, window=1 << 20):
        self.say("hello", window=window, stall=60_000_000)
        assert self.hear()[0] == "all_kept"

    def pipe(self):
        """A pipe of its own making: (read end, write end)."""
        self.say("want_pipes", count=1)
        kind, _, _, descriptors = self.hear()
        assert kind == "pipe"
        return descriptors

    def finish(self, job=0):
        """Sizes of both streams at the end of the job."""
        self.say("finish", job=job)
        while (heard := self.hear())[:2] != ("finished", job):
            assert heard[0] in ("grown", "trouble"), heard
        return heard[2]

    def close(self):
        """Its exit status."""
        self.channel.close()
        with self.process:
            return self.process.wait(harness.PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        with self.process:
            self.process.kill()


def stored_from(file):
    """Where what a file still has begins."""
    try:
        return os.lseek(file, 0, os.SEEK_DATA)
    except OSError:
        return os.fstat(file).st_size


def check_numbered(file, size):
    """All that is stored of a stream of numbers is what was written, at its place; how much it is."""
    assert os.fstat(file).st_size == size
    front = stored_from(file)
    for start in range(front, size, 1 << 20):
        length = min(1 << 20, size - start)
        assert os.pread(file, length, start) == numbered(start, length), start
    return size - front


@contextlib.contextmanager
def files(folder, count):
    """Descriptors of new files for streams."""
    opened = [os.open(folder / f"stream{number}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
              for number in range(count)]
    try:
        yield opened
    finally:
        for file in opened:
            os.close(file)
