"""Ends of jobs' pipes that a caller keeps, after the job, as wide as it can make them."""

import fcntl
import hashlib
import os
import socket
import subprocess

import pytest

import harness
from actions import EVERYONE, script
from crowd import Process
from identity import ALICE, BOB, run_as
from posternctl import command
from wire import WireClient

pytestmark = pytest.mark.needs_root

# Its pages are charged to a user of its own here, so that no other test's pipes get small.
KEEPER = "games"
SIZE = 3_000_000
SOFT = int(open("/proc/sys/fs/pipe-user-pages-soft", encoding="ascii").read()) * os.sysconf("SC_PAGE_SIZE")
WIDE = 1 << 20


def take_end(path):
    """The read end of a direct job that has ended."""
    with WireClient(path) as client:
        client.send_call("Run", {"action": "short", "descriptors": True}, more=True)
        _, [end], _, _ = socket.recv_fds(client.socket, 65536, 1)
        client.read_replies()
    return end


def hoard(path, ready, done):
    """Takes ends and widens them until no more is granted."""
    for count in range(SOFT // WIDE + 1):
        end = take_end(path)
        try:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, WIDE)
        except PermissionError:
            break
    else:
        raise AssertionError("no end of it")
    # What is left goes too, in smaller pieces.
    for size in (WIDE // 2, WIDE // 4, WIDE // 8):
        try:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, size)
        except PermissionError:
            continue
        end = take_end(path)
    os.write(ready, b"x")
    os.read(done, 1)
    return count


def test_pipes_of_others_are_small_and_lose_nothing(start_guard, folder):
    """What the keeper's user may have is used up: new pipes are of two pages, and all goes on."""
    data = os.urandom(SIZE)
    (folder / "data").write_bytes(data)
    os.chmod(folder / "data", 0o644)
    exec_ = {"summary": "Data", "exec": ["/bin/cat", str(folder / "data")], "allow": EVERYONE}
    guard = start_guard({"short": script("exit 0", output="direct"), "stored": exec_,
                         "straight": {**exec_, "output": "direct"},
                         "size": script("exec sleep 1000", output="direct", onDisconnect="kill"),
                         "restore": script("sha256sum | cut -c1-64", input="direct")},
                        options=["--output-user", KEEPER, "--limit", "startsPerUser=10000"])
    ready, done = os.pipe(), os.pipe()
    with Process(BOB, hoard, str(guard.socket_path), ready[1], done[0]) as hoarder:
        assert os.read(ready[0], 1) == b"x"
        # The keeper has made some pipes in advance.
        sizes = set()
        for _ in range(40):
            with guard.connect(as_=ALICE) as client:
                client.send_call("Run", {"action": "size", "descriptors": True}, more=True)
                _, [end], _, _ = socket.recv_fds(client.socket, 65536, 1)
                sizes.add(fcntl.fcntl(end, fcntl.F_GETPIPE_SZ))
                os.close(end)
        assert 2 * os.sysconf("SC_PAGE_SIZE") in sizes
        for action in ("stored", "straight"):
            got = run_as(ALICE, command(guard.socket_path, "run", action), text=False)
            assert (got.returncode, got.stdout == data, got.stderr) == (0, True, b"")
        got = subprocess.run(command(guard.socket_path, "run", "restore"), input=data, preexec_fn=ALICE.take,
                             capture_output=True, timeout=harness.PATIENCE, check=False)
        assert (got.returncode, got.stdout.decode().strip()) == (0, hashlib.sha256(data).hexdigest())
        os.write(done[1], b"x")
        assert hoarder.join() >= SOFT // WIDE // 2
    for descriptor in ready + done:
        os.close(descriptor)
