"""Many who follow one job, some slow and some that stand still: who moves gets every byte, who does not is
told what it missed, and the job ends."""

import base64
import contextlib
import json
import selectors
import threading
import time

from counted import Client, numbered, python
from wire import message

SIZE = 2_600_000
EXPECTED = numbered(0, SIZE)
STALL = 12  # far more than those who move need on a busy machine
BURST = 65536


class Follower:
    """One that reads in its own way. `kind`: fast; late, which begins when the job is far; trickles, which
    takes a byte at a time, and more now and then; or still, which reads nothing before the job is over."""

    def __init__(self, guard, job, kind):
        self.kind = kind
        self._connection = guard.connect()
        self.socket = self._connection.socket
        self.at = 0
        self.missed = 0
        self.result = None
        self.due = 0
        self._bytes = 0
        self._data = b""
        self._connection.send(message("org.postern.Jobs.Follow", {"job": job}, b"\0", more=True))

    def read(self):
        size = 1 << 20
        if self.kind == "trickles":
            self._bytes += 1
            size = 1 if self._bytes % 4 else BURST
            self.due = time.monotonic() + 0.02
        data = self.socket.recv(size)
        assert data, "it was sent away"
        *frames, self._data = (self._data + data).split(b"\0")
        for frame in frames:
            self._take(json.loads(frame))

    def _take(self, reply):
        assert "error" not in reply, reply
        parameters = reply["parameters"]
        assert not parameters.keys() & {"stderr", "stderrBase64", "stderrMissed"}
        missed = parameters.get("stdoutMissed", 0)
        self.missed += missed
        self.at += missed
        data = parameters.get("stdout", "").encode() or base64.b64decode(parameters.get("stdoutBase64", ""))
        assert data == EXPECTED[self.at:self.at + len(data)], (self.kind, self.at)
        self.at += len(data)
        self.result = parameters.get("result")

    def close(self):
        self._connection.close()


def read_all(followers, sizes, over):
    """Each in its way, until all have a result. sizes(): how far the job is; over(): it has ended."""
    waiting = [f for f in followers if f.kind in ("late", "still", "trickles")]
    with selectors.DefaultSelector() as selector:
        for follower in followers:
            if follower not in waiting:
                selector.register(follower.socket, selectors.EVENT_READ, follower)
        while selector.get_map() or waiting:
            now = time.monotonic()
            ended = over()
            for follower in list(waiting):
                if {"late": sizes() > SIZE // 4, "still": ended,
                        "trickles": ended or now >= follower.due}[follower.kind]:
                    waiting.remove(follower)
                    if ended or follower.kind != "trickles":
                        follower.kind += " before"
                    selector.register(follower.socket, selectors.EVENT_READ, follower)
            for key, _ in selector.select(0.01):
                follower = key.data
                follower.read()
                if follower.result or follower.kind == "trickles":
                    selector.unregister(follower.socket)
                    if not follower.result:
                        waiting.append(follower)


def test_of_500_who_moves_gets_every_byte(start_guard, folder):
    go = folder / "go"
    guard = start_guard(
        {"counts": python(f"till({str(go)!r}); count(1, {SIZE}); sys.exit(7)",
                          storedOutput="4KiB")},
        options=["--limit", "connectionsPerUser=1000", "--limit", f"followerStall={STALL}s"])
    moves = threading.Event()
    # Whoever started it stands still as well.
    with (Client(guard, "run", "counts", slow=lambda size: moves.wait()) as client,
          contextlib.ExitStack() as stack):
        stack.callback(moves.set)
        job = guard.wait_audit(event="job-started")[0]["job"]
        kinds = ["fast", "fast", "late", "trickles", "fast", "still"]
        followers = [Follower(guard, job, kinds[number % len(kinds)]) for number in range(500)]
        for follower in followers:
            stack.callback(follower.close)
        output = guard.state_folder / "jobs" / job / "stdout"
        go.touch()
        read_all(followers, lambda: output.stat().st_size,
                 lambda: any(entry["event"] == "job-ended" for entry in guard.audit()))
        for follower in followers:
            assert follower.result["exitCode"] == 7
            assert follower.at == SIZE
            assert (follower.missed > 0) == (follower.kind == "still before"), (
                follower.kind, follower.missed)
        moves.set()
        code, out, _, _ = client.end()
        assert code == 125 and out < SIZE
        assert (b"not all of its output is there, so the exit code is 125; the job's own is 7"
                in client.err.rest)
