"""Limits of connections, sessions, jobs and descriptors: whoever reaches them, others are served."""

import contextlib
import json
import os
import resource
import select
import socket
import time

import pytest

import harness
import identity
from crowd import Process, flood, keep_up, pings
from identity import ALICE, BOB, CAROL, Identity
from posternctl import command, outcome
from processes import connections, sessions, ticks, wakes

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

HELLO = {"summary": "Greet", "exec": ["/bin/echo", "Hi"], "allow": [{"everyone": True}]}
WAIT = {"summary": "Wait", "exec": ["/bin/sleep", "1000"], "allow": [{"everyone": True}],
        "onDisconnect": "kill"}
ACTIONS = {"hello": HELLO, "wait": WAIT}
PING = {"ping": "x"}
PONG = {"parameters": {"pong": "x"}}
# Without a descriptor for the program.
CANT_BE_OPENED = {"error": "org.postern.Actions.StartFailed", "parameters": {
    "job": "", "message": "the program could not be started: it can't be opened"}}


def limits(**values):
    options = []
    for name, value in values.items():
        options += ["--limit", f"{name}={value}"]
    return options


def refused(guard, identity, limit="connectionsPerUser"):
    """Connects, and is turned away with the name of the limit."""
    with guard.connect(as_=identity) as client:
        answer = client.read_to_end()
    if not answer:
        return False
    assert answer.endswith(b"\0") and answer.count(b"\0") == 1
    reply = json.loads(answer[:-1])
    message = reply["parameters"].pop("message")
    assert f"(limit {limit})" in message
    return reply == {"error": "org.postern.Actions.LimitReached", "parameters": {"limit": limit}}


def connected(guard, stack, identity):
    client = stack.enter_context(guard.connect(as_=identity))
    assert client.call("Ping", PING) == PONG
    return client


def is_open(client):
    try:
        return client.call("Ping", PING) == PONG
    except (EOFError, ConnectionError):
        return False


def refusals(guard):
    return [(e["uid"], e["reason"]) for e in guard.audit() if e["event"] == "connection-refused"]


# ---- Connections ----

def test_connections_of_one_user(start_guard):
    guard = start_guard(ACTIONS, options=limits(connectionsPerUser=5))
    with contextlib.ExitStack() as stack:
        clients = [connected(guard, stack, ALICE) for _ in range(5)]
        assert refused(guard, ALICE)
        # Another identity of the same user does not help.
        assert refused(guard, Identity(ALICE.uid, BOB.gid))
        assert refusals(guard) == [(ALICE.uid, "limit connectionsPerUser")] * 2
        connected(guard, stack, BOB)
        assert all(is_open(client) for client in clients)
        clients[0].close()
        # As soon as the session has noticed, there is room again.
        harness.wait_until(lambda: not is_refused(guard), what="room for another connection")


def test_who_is_turned_away_reads_why_whatever_was_sent(start_guard):
    """Unread data in the connection that the guard closes, descriptors too, and a write that fails."""
    guard = start_guard(ACTIONS, options=limits(connectionsPerUser=1))
    expected = None
    with contextlib.ExitStack() as stack:
        connected(guard, stack, ALICE)
        for number in range(60):
            with guard.connect(as_=ALICE) as client:
                if number % 3 == 0:
                    wait_for_the_end(client)
                    with pytest.raises(BrokenPipeError):
                        for _ in range(2):  # an error that waits is told first
                            with contextlib.suppress(ConnectionResetError):
                                client.send_call("Ping", PING)
                elif number % 3 == 1:
                    with contextlib.suppress(OSError):
                        client.send(b"x" * 100_000)
                else:
                    with contextlib.suppress(OSError):
                        socket.send_fds(client.socket, [b"{"], [0])
                answer = client.read_to_end()
            expected = expected or answer
            assert answer == expected and b"connectionsPerUser" in answer, number


def wait_for_the_end(client):
    poll = select.poll()
    poll.register(client.socket, 0)
    assert poll.poll(60_000), "the guard has not closed the connection"


def test_posternctl_says_which_limit(start_guard):
    guard = start_guard(ACTIONS, options=limits(connectionsPerUser=1))
    said = ("posternctl: you have too many connections to the daemon (limit connectionsPerUser); "
            "close some of them, or try again later\n")
    with contextlib.ExitStack() as stack:
        connected(guard, stack, ALICE)
        for words in (["ping"], ["list"], ["describe", "hello"], ["check", "hello"], ["whoami"],
                      ["run", "hello"]):
            done = identity.run_as(ALICE, command(guard.socket_path, *words))
            assert outcome(done) == (123, "", said), words
        for words in (["call", "org.postern.Actions.Ping", '{"ping": "x"}'],
                      ["--json", "run", "hello"], ["--json", "list"], ["call", "--lines"]):
            done = identity.run_as(ALICE, command(guard.socket_path, *words),
                                   input='{"method": "org.postern.Actions.List"}\n' * 3)
            code, out, _ = outcome(done)
            assert (code, json.loads(out)["error"]) == (
                123, "org.postern.Actions.LimitReached"), words


def is_refused(guard):
    """Whether ALICE is refused."""
    with guard.connect(as_=ALICE) as client:
        return not is_open(client)


def is_served(guard):
    """Whether ALICE has an answer; her session may still have to read what her flood has sent."""
    with guard.connect(as_=ALICE) as client, contextlib.suppress(TimeoutError):
        return is_open(client)
    return False


def is_told_before_it_calls(guard):
    """Whether ALICE is refused, where her session is too busy for a call: who is refused is told at once."""
    with guard.connect(as_=ALICE) as client:
        return bool(select.select([client.socket], [], [], 0.2)[0])


def test_one_user_at_the_limit_in_a_flood_keeps_nobody_out(start_guard):
    guard = start_guard(ACTIONS)  # as it comes: 256 connections for a user
    quiet = start_guard(ACTIONS)
    with Process(ALICE, flood, guard.socket_path, 256, ["Ping", "WhoAmI", "List"]):
        harness.wait_until(lambda: is_told_before_it_calls(guard), 4 * harness.PATIENCE,
                           what="the flood takes all connections of its user")
        assert keep_up(guard, quiet, (BOB, pings, 200), (CAROL, pings, 200)) == [200, 200]
    assert set(refusals(guard)) == {(ALICE.uid, "limit connectionsPerUser")}
    harness.wait_until(lambda: is_served(guard), 4 * harness.PATIENCE, what="all of it has ended")


def test_connections_in_all_the_least_recently_used_session_gives_way(start_guard):
    guard = start_guard(ACTIONS, options=limits(connections=4))
    with contextlib.ExitStack() as stack:
        alice = [connected(guard, stack, ALICE) for _ in range(2)]
        bob = [connected(guard, stack, BOB) for _ in range(2)]
        # Calls that the guard hears of count as use.
        assert alice[0].call("Check", {"action": "hello"}) == {"parameters": {}}
        carol = connected(guard, stack, CAROL)
        # Until it has seen that it is to leave, BOB's answers Pings by itself.
        harness.wait_until(lambda: len(sessions(guard)) == 2, what="BOB's session is gone")
        assert [is_open(client) for client in (*alice, *bob, carol)] == [
            True, True, False, False, True]
        # Whose call is under way does not give way.
        alice[0].send_call("Run", {"action": "wait"}, more=True)
        alice[0].read_reply()
        carol.send_call("Run", {"action": "wait"}, more=True)
        carol.read_reply()
        connected(guard, stack, BOB)
        bobs_second = guard.connect(as_=Identity(BOB.uid, BOB.gid))
        stack.enter_context(bobs_second)
        assert is_open(bobs_second)  # it took the place of the first
        assert is_open(alice[1])
        bobs_second.send_call("Run", {"action": "wait"}, more=True)
        bobs_second.read_reply()
        assert refused(guard, BOB, "connections")
        assert refusals(guard) == [(BOB.uid, "limit connections")]


# ---- Sessions ----

def identities(uid, count):
    """Of one user, each in another group: each has a session of its own."""
    return [Identity(uid, uid, (65000 + number,)) for number in range(count)]


def test_sessions_of_one_user(start_guard):
    guard = start_guard(ACTIONS, options=limits(sessionsPerUser=2))
    first, second, third = identities(ALICE.uid, 3)
    with contextlib.ExitStack() as stack:
        busy = [connected(guard, stack, who) for who in (first, second)]
        assert refused(guard, third, "sessionsPerUser")
        assert refusals(guard) == [(ALICE.uid, "limit sessionsPerUser")]
        connected(guard, stack, BOB)
        busy[0].close()
        # One without a connection gives way.
        harness.wait_until(lambda: served(guard, third),
                           what="the session without a connection gives way")
        assert is_open(busy[1])


def served(guard, identity):
    with guard.connect(as_=identity) as client:
        return is_open(client)


def test_a_user_with_many_uids_keeps_nobody_out(start_guard):
    guard = start_guard(ACTIONS, options=limits(sessions=6))
    crowd = [Identity(100_000 + number, 100_000 + number) for number in range(40)]
    with contextlib.ExitStack() as stack:
        for who in crowd:
            # All of them stay connected: whoever has been quiet for longest gives way.
            connected(guard, stack, who)
        for who in (ALICE, BOB, CAROL):
            connected(guard, stack, who)
        # They leave while their clients are still there.
        harness.wait_until(lambda: len(sessions(guard)) <= 6, what="six sessions")
    assert refusals(guard) == []


def test_sessions_with_jobs_do_not_give_way(start_guard):
    guard = start_guard(ACTIONS, options=limits(sessions=3))
    with contextlib.ExitStack() as stack:
        busy = []
        for number in range(3):
            client = connected(guard, stack, Identity(100_000 + number, 100_000 + number))
            client.send_call("Run", {"action": "wait"}, more=True)
            client.read_reply()
            busy.append(client)
        assert refused(guard, ALICE, "sessions")
        assert refusals(guard) == [(ALICE.uid, "limit sessions")]
        busy[1].close()
        harness.wait_until(lambda: served(guard, ALICE), what="room for another session")


def test_an_idle_session_leaves_and_comes_back(start_guard):
    guard = start_guard(ACTIONS, options=limits(sessionIdle="100ms"))
    assert served(guard, ALICE)
    harness.wait_until(lambda: sessions(guard) == [], what="the idle session leaves")
    assert served(guard, ALICE)
    # Not while a client is connected, however quiet it is.
    with guard.connect(as_=ALICE) as quiet:
        assert is_open(quiet)
        # The one before may have been about to leave.
        harness.wait_until(lambda: len(sessions(guard)) == 1, what="the session of the quiet one")
        pid = sessions(guard)
        assert served(guard, BOB)
        harness.wait_until(lambda: sessions(guard) == pid, what="the other one leaves")
        assert is_open(quiet)


# ---- Jobs ----

def test_jobs_of_one_user(start_guard):
    guard = start_guard(ACTIONS, options=limits(jobsPerUser=2))
    message = "you already have 2 jobs running (limit jobsPerUser); try again when one has ended"
    with contextlib.ExitStack() as stack:
        running = [connected(guard, stack, ALICE) for _ in range(2)]
        for client in running:
            client.send_call("Run", {"action": "wait"}, more=True)
            client.read_reply()
        third = connected(guard, stack, ALICE)
        assert third.call("Run", {"action": "hello"}) == {
            "error": "org.postern.Actions.LimitReached",
            "parameters": {"limit": "jobsPerUser", "message": message}}
        done = guard.ctl("run", "hello", as_=ALICE)
        assert (done.returncode, done.stdout) == (123, "")
        assert message in done.stderr
        done = guard.ctl("run", "--json", "hello", as_=ALICE)
        assert done.returncode == 123
        assert json.loads(done.stdout)["error"] == "org.postern.Actions.LimitReached"
        done = guard.ctl("run", "hello", as_=BOB)
        assert (done.returncode, done.stdout, done.stderr) == (0, "Hi\n", "")
        running[0].close()
        guard.wait_audit(event="job-ended", uid=ALICE.uid)
        done = guard.ctl("run", "hello", as_=ALICE)
        assert (done.returncode, done.stdout, done.stderr) == (0, "Hi\n", "")
    reasons = [e["reason"] for e in guard.audit() if e["event"] == "call-refused"]
    assert reasons == ["limit jobsPerUser"] * 3


# ---- No descriptors, no memory ----

def set_descriptor_limit(guard, more):
    """So that the guard can have `more` descriptors than now; returns the limit as it was."""
    # What it has handed over it closes a moment later, and would have free then.
    harness.wait_until(lambda: connections(guard, guard.pid) == 0, what="it has handed all over")
    used = {int(fd) for fd in os.listdir(f"/proc/{guard.pid}/fd")}
    free = next(number for number in range(100_000) if number not in used)
    before = resource.prlimit(guard.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, (free + more, before[1]))
    return before


# A sanitizer that sees a type for the first time looks at it through a pipe of its own.
@pytest.mark.shipped_build
def test_a_guard_without_descriptors_waits_and_does_not_spin(start_guard):
    guard = start_guard(ACTIONS)
    line = "accept: Too many open files; retrying every 200 ms, callers wait in the meantime"
    with contextlib.ExitStack() as stack:
        bob = connected(guard, stack, BOB)
        assert served(guard, ALICE)
        harness.wait_until(lambda: len(sessions(guard)) == 2, what="both sessions")
        before = set_descriptor_limit(guard, 0)
        began, work, before_wakes = time.monotonic(), ticks(guard.pid), wakes(guard.pid)
        waiting = [stack.enter_context(guard.connect(as_=ALICE)) for _ in range(20)]
        for client in waiting:
            client.send_call("Ping", PING)
        harness.wait_until(lambda: wakes(guard.pid) - before_wakes >= 6, what="six tries")
        assert time.monotonic() - began >= 0.8
        # Who is connected is served, also where the guard has to decide: it says what a Run would meet.
        assert bob.call("Ping", PING) == PONG
        assert bob.call("Check", {"action": "hello"}) == CANT_BE_OPENED
        seconds = time.monotonic() - began
        assert guard.stderr().count(line) == 1
        assert ticks(guard.pid) - work <= 10 + seconds * 10  # a tenth of a processor
        resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, before)
        # Nobody of those who waited was turned away.
        for client in waiting:
            assert client.read_reply() == PONG
    assert guard.stderr().count("accept: works again") == 1
    assert refusals(guard) == []


@pytest.mark.shipped_build
def test_without_descriptors_for_an_identity_the_connection_is_refused(start_guard):
    guard = start_guard(ACTIONS)
    with contextlib.ExitStack() as stack:
        bob = connected(guard, stack, BOB)
        before = set_descriptor_limit(guard, 1)
        # Where the kernel has no SO_PEERPIDFD, it is the session that can't be started.
        with guard.connect(as_=ALICE) as client:
            assert client.read_to_end() == b""
        assert bob.call("Check", {"action": "hello"}) == CANT_BE_OPENED
        entries = guard.wait_audit(event="connection-refused")
        assert entries[0]["reason"].endswith("Too many open files")
        resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, before)
        assert served(guard, ALICE)


@pytest.mark.parametrize("error, text", [
    ("ENFILE", "Too many open files in system"),
    ("ENOMEM", "Cannot allocate memory"),
    ("ENOBUFS", "No buffer space available"),
])
def test_an_accept_that_fails_is_tried_again(start_guard, folder, error, text):
    guard = start_guard(ACTIONS, under=[
        "strace", "-D", "-qq", "-e", "trace=accept4", "-e", f"inject=accept4:error={error}:when=1..3",
        "-o", str(folder / "trace")])
    began = time.monotonic()
    with guard.connect(as_=ALICE) as client:
        assert is_open(client)
    assert time.monotonic() - began > 0.6
    assert guard.stderr().count(f"accept: {text}; retrying every 200 ms") == 1
