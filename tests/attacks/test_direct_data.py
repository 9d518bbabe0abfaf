"""Data that goes straight: what a caller might send along, keep, or leave unread.

No descriptor of a caller's comes near a job: the pipes are postern-output's, and only their ends go out.
"""

import collections
import contextlib
import json
import os
import re
import select
import socket
import threading

import pytest

import harness
from actions import EVERYONE, script
from identity import ALICE, BOB
from processes import connections, sessions, stopped, traced
from sent_descriptors import OLDER, kernel_refuses, lingering_tcp
from wire import message

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

ACTIONS = {
    "copy": script("cat", input="direct", output="direct"),
    "quick": script("printf x", output="direct"),
    # What the job has: 0, 1, 2 and what it opens to look.
    "look": script("for fd in /proc/self/fd/*; do readlink $fd; done", input="direct", output="direct"),
    "plain": {"summary": "Plain", "exec": ["/bin/true"], "allow": EVERYONE},
}
SENT_AWAY = "no file descriptors may be sent along"


def direct_call(action):
    return message("Run", {"action": action, "descriptors": True}, b"\0", more=True)


def pipes(guard):
    """How many pipes the guard and its sessions have one end of: of those in stock they have both."""
    ends = collections.Counter()
    for pid in (guard.pid, *sessions(guard)):
        folder = f"/proc/{pid}/fd"
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    ends[os.readlink(f"{folder}/{name}")] += 1
    return sum(count == 1 for link, count in ends.items() if link.startswith("pipe:"))


def take_reply(client):
    data, taken, _, _ = socket.recv_fds(client.socket, 65536, 8)
    return json.loads(data.split(b"\0")[0]), taken


def serve(guard, identity):
    """A direct run of somebody else."""
    with guard.connect(as_=identity) as client:
        client.send(direct_call("copy"))
        reply, (output, given) = take_reply(client)
        assert reply["parameters"]["outputFileDescriptor"] == 0
        os.write(given, b"mine")
        os.close(given)
        assert os.read(output, 100) == b"mine"
        os.close(output)
        while "result" not in (reply := client.read_reply())["parameters"]:
            pass
        assert reply["parameters"]["result"]["exitCode"] == 0


@contextlib.contextmanager
def every_kind(folder):
    """Descriptors of every kind, by their names."""
    with contextlib.ExitStack() as stack:
        kinds = {}

        def add(name, descriptor):
            kinds[name] = descriptor
            stack.callback(os.close, descriptor)

        add("file", os.open(folder / "theirs", os.O_RDWR | os.O_CREAT, 0o600))
        add("path", os.open("/etc/shadow", os.O_PATH))
        add("directory", os.open("/", os.O_RDONLY))
        add("null", os.open("/dev/null", os.O_RDWR))
        add("proc", os.open("/proc/self/mem", os.O_RDONLY))
        add("memory", os.memfd_create("theirs"))
        add("pidfd", os.pidfd_open(os.getpid()))
        add("event", os.eventfd(0))
        reads, writes = os.pipe()
        add("pipe to read", reads)
        add("pipe to write", writes)
        master, terminal = os.openpty()
        add("terminal", master)
        add("terminal's other end", terminal)
        epoll = select.epoll()
        stack.callback(epoll.close)
        kinds["epoll"] = epoll.fileno()
        one, other = socket.socketpair()
        stack.callback(one.close)
        stack.callback(other.close)
        kinds["socket"] = one.fileno()
        kinds["tcp"] = stack.enter_context(lingering_tcp()).fileno()
        yield kinds


@pytest.mark.parametrize("delivered", [False, True] if kernel_refuses() else [True],
                         ids=lambda delivered: "delivered" if delivered else "refused")
def test_descriptors_of_every_kind_along_with_a_direct_run(start_guard, folder, delivered):
    """Nothing that a caller sends along is taken, and no job starts by it."""
    older = [*OLDER, "-o", str(folder / "trace")] if delivered and kernel_refuses() else None
    guard = start_guard(ACTIONS, **({"under": older} if older else {}))
    serve(guard, BOB)
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    before = pipes(guard)
    starts = len(guard.audit())
    with every_kind(folder) as kinds:
        for name, descriptor in kinds.items():
            with guard.connect(as_=ALICE) as client:
                if not delivered:
                    with pytest.raises(PermissionError):
                        socket.send_fds(client.socket, [direct_call("copy")], [descriptor])
                    continue
                socket.send_fds(client.socket, [direct_call("copy")], [descriptor])
                data = client.read_to_end()
                assert SENT_AWAY.encode() in data and data.count(b"\0") == 1, name
            serve(guard, BOB)
    started = [e for e in guard.audit()[starts:] if e["event"] == "job-started" and e["uid"] == ALICE.uid]
    assert started == []
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    harness.wait_until(lambda: pipes(guard) == before, what="no ends are left")


def test_the_job_has_its_ends_and_nothing_else(start_guard):
    guard = start_guard(ACTIONS)
    with guard.connect(as_=ALICE) as client:
        client.send(direct_call("look"))
        _, (output, given) = take_reply(client)
        os.close(given)
        text = b""
        while more := os.read(output, 65536):
            text += more
        os.close(output)
    kinds = [re.sub(r"\d+", "N", line) for line in text.decode().splitlines()]
    assert kinds == ["pipe:[N]"] * 3


def test_many_runs_leave_nothing_open(start_guard):
    guard = start_guard(ACTIONS)
    serve(guard, ALICE)
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    before = pipes(guard)
    for _ in range(30):
        serve(guard, ALICE)
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    harness.wait_until(lambda: pipes(guard) == before, what="no ends are left")


@pytest.mark.parametrize("kind", ["closed", "stopped session"])
def test_who_goes_before_the_descriptors_come(start_guard, kind):
    """Its ends go with it, and others are served."""
    guard = start_guard(ACTIONS)
    serve(guard, BOB)
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    before = pipes(guard)
    for _ in range(10):
        client = guard.connect(as_=ALICE)
        client.send(direct_call("copy"))
        if kind == "stopped session":
            harness.wait_until(lambda: len(sessions(guard)) == 2, what="a session")
            with stopped(*sessions(guard)):
                client.close()
        client.close()
    serve(guard, BOB)
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    harness.wait_until(lambda: pipes(guard) == before, what="no ends are left")


def test_unread_replies_of_one_caller_are_no_matter_to_others(start_guard):
    """Each has its descriptors in flight for as long as its client does not read."""
    guard = start_guard(ACTIONS, options=["--limit", "startsPerUser=1000", "--limit",
                                          "jobsPerUser=1000", "--limit", "jobs=1000"])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(guard.connect(as_=ALICE)) for _ in range(100)]
        for client in clients:
            client.send(direct_call("quick"))
        for client in clients:
            # They have come, and stay where they are.
            assert client.socket.recv(1, socket.MSG_PEEK) == b"{"
        serve(guard, BOB)
        with guard.connect(as_=BOB) as bob:
            assert bob.call("Run", {"action": "plain"})["parameters"]["result"]["exitCode"] == 0


def test_a_client_that_does_not_read_what_comes_before(start_guard):
    """What waits for it goes first; then it gets its descriptors, or is told that it can't."""
    guard = start_guard(ACTIONS)
    pings = message("Ping", {"ping": "x" * 4000}, b"\0") * 200
    with guard.connect(as_=ALICE) as client:
        sender = threading.Thread(target=client.send, args=(pings + direct_call("quick"),))
        sender.start()
        serve(guard, BOB)
        data, taken = b"", []
        while b'"result"' not in data and b'"error"' not in data:
            more, got, _, _ = socket.recv_fds(client.socket, 65536, 8)
            data, taken = data + more, taken + got
        sender.join()
        last = [json.loads(part) for part in data.split(b"\0") if part][-1]
        if "error" in last:
            assert last["error"] == "org.postern.Actions.StartFailed" and taken == []
        else:
            assert len(taken) == 1 and os.read(taken[0], 10) == b"x"
        for descriptor in taken:
            os.close(descriptor)
    serve(guard, BOB)


def test_where_the_descriptors_cant_be_sent_the_job_is_ended_and_its_caller_told(start_guard):
    """The kernel takes no more in flight (ETOOMANYREFS): at each message that the guard sends with any."""
    told = 0
    for nth in range(1, 9):
        guard = start_guard(ACTIONS)
        with (traced(guard.pid, "-e", "trace=sendmsg", "-e", f"inject=sendmsg:error=ETOOMANYREFS:when={nth}"),
              contextlib.suppress(EOFError, ConnectionError), guard.connect(as_=ALICE) as client):
            client.send(direct_call("copy"))
            data, taken, _, _ = socket.recv_fds(client.socket, 65536, 8)
            for descriptor in taken:
                os.close(descriptor)
            if data and "error" in (reply := json.loads(data.split(b"\0")[0])) and reply["error"].endswith(
                    "StartFailed") and "handed over" in reply["parameters"]["message"]:
                told += 1
                assert taken == []
                assert reply["parameters"]["message"] == (
                    "the pipe for direct data could not be handed over, so the job was ended: the kernel takes "
                    "no more descriptors at the moment, or the connection no more bytes; try again")
                ended = guard.wait_audit(event="job-ended", job=reply["parameters"]["job"])
                assert ended[0]["result"]["outcome"] in ("disconnected", "exited")
        harness.wait_until(lambda g=guard: serves(g), what="others are served")
        guard.close()
    assert told >= 1


def serves(guard):
    with contextlib.suppress(EOFError, ConnectionError, KeyError, ValueError):
        serve(guard, BOB)
        return True
    return False

