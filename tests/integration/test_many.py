"""Many clients of several users at once: exact replies for all, and nobody's trouble is another's.

What happens at the limits is in test_limits.py.
"""

import os
import signal
import time

import pytest

import harness
import wire
from crowd import Process, flood, keep_up, pings, together
from identity import ALICE, BOB, CAROL, ROOT
from jobs import text_of
from processes import all_descriptors, connections, descriptors, memory, sessions, ticks

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

MIB = 1024 * 1024
STREAMED = 50 * MIB
SANITIZED = os.environ.get("POSTERN_BUILD") == "asan"
ACTIONS = {
    "hello": {"summary": "Greet", "exec": ["/usr/bin/printf", "Hi, %s\\n", "{name}"],
              "arguments": {"name": {"type": "string", "maxLength": 20}},
              "allow": [{"everyone": True}]},
    "sleep": {"summary": "Sleep", "exec": ["/bin/sleep", "1000"], "allow": [{"everyone": True}],
              "onDisconnect": "kill"},
    "stream": {"summary": "Write much", "allow": [{"everyone": True}],
               "exec": ["/bin/sh", "-c", f"head -c {STREAMED} /dev/zero | tr '\\0' x"]},
}


def settled(guard, identities):
    """Each has a session, and no connection is left: the numbers of descriptors, to come back to."""
    for identity in identities:
        with guard.connect(as_=identity) as client:
            assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    return all_descriptors(guard)


def assert_settles(guard, before):
    harness.wait_until(lambda: all_descriptors(guard) == before,
                       what=f"{before} descriptors of guard and sessions again")
    assert not [e for e in guard.audit() if e["event"] == "session-failed"]


# ---- Hundreds ----

def mixed_calls(path, identity, connections, rounds):
    """All connections at once, calls pipelined on each; returns how many replies were exact."""
    clients = [wire.WireClient(path, timeout=60) for _ in range(connections)]
    groups = sorted({identity.gid, *identity.groups})
    seen = identity.shown()
    exact = 0
    for turn in range(rounds):
        for number, client in enumerate(clients):
            name = f"{identity.uid}.{number}.{turn}"
            end = b"\0\n"[number % 2:number % 2 + 1]
            client.send_call("Ping", {"ping": name}, end=end)
            client.send_call("WhoAmI", end=end)
            client.send(b"nonsense\n" if end == b"\n" else b"nonsense\0")
            client.send_call("Check", {"action": "hello", "arguments": {"name": name}}, end=end)
            client.send_call("Run", {"action": "nowhere" + name}, end=end)
            client.send_call("Ping", {"ping": "unanswered"}, oneway=True, end=end)
            if number % 10 == 0:
                client.send_call("Run", {"action": "hello", "arguments": {"name": name}}, end=end)
            client.send_call("Ping", {"ping": name * 100}, end=end)
        for number, client in enumerate(clients):
            name = f"{identity.uid}.{number}.{turn}"
            end = b"\0\n"[number % 2:number % 2 + 1]
            message = f'"nowhere{name}" does not exist or is not granted to you {seen}'
            expected = [
                {"parameters": {"pong": name}},
                {"parameters": {"uid": identity.uid, "gid": identity.gid, "groups": groups,
                                "pid": os.getpid()}},
                {"error": "org.postern.Actions.InvalidMessage",
                 "parameters": {"message": "not JSON: invalid literal"}},
                {"parameters": {}},
                {"error": "org.postern.Actions.NotGranted",
                 "parameters": {"action": "nowhere" + name, "message": message}},
            ]
            for wanted in expected:
                reply = client.read_reply(end)
                if "uid" in wanted["parameters"]:
                    reply["parameters"].pop("unit", None)
                assert reply == wanted, (reply, wanted)
                exact += 1
            if number % 10 == 0:
                reply = client.read_reply(end)
                assert reply["parameters"]["stdout"] == f"Hi, {name}\n", reply
                assert reply["parameters"]["result"]["exitCode"] == 0, reply
                exact += 1
            assert client.read_reply(end) == {"parameters": {"pong": name * 100}}
            exact += 1
    for client in clients:
        client.close()
    return exact


def test_hundreds_of_connections_of_several_users_get_exact_replies(start_guard):
    guard = start_guard(ACTIONS)
    users = (ALICE, BOB, CAROL, ROOT)
    before = settled(guard, users)
    replies = together(*((who, mixed_calls, guard.socket_path, who, 100, 3) for who in users))
    assert replies == [3 * (100 * 6 + 10)] * 4
    assert_settles(guard, before)
    ended = [e for e in guard.audit() if e["event"] == "job-ended"]
    assert sorted(e["uid"] for e in ended) == sorted([who.uid for who in users] * 30)


def test_one_user_over_many_connections_that_come_and_go(start_guard):
    guard = start_guard(ACTIONS)
    before = settled(guard, (ALICE, BOB))

    def come_and_go(path, count):
        return sum(pings(path, 2, f"{number}.") for number in range(count))

    assert together((ALICE, come_and_go, guard.socket_path, 500),
                    (BOB, come_and_go, guard.socket_path, 500)) == [1000, 1000]
    assert_settles(guard, before)


# ---- Death, silence, flood ----

def waits_for_ever(path, ready):
    """One connection with a job, one in mid-message, one with a backlog that nobody reads."""
    clients = [wire.WireClient(path) for _ in range(3)]
    clients[0].send_call("Run", {"action": "sleep"}, more=True)
    clients[1].send(b'{"method":')
    for _ in range(50):
        clients[2].send_call("Ping", {"ping": "x" * 4000})
    assert clients[0].read_reply()["continues"] is True
    os.close(ready)
    signal.pause()


def test_a_client_killed_in_mid_call_is_noticed_by_nobody(start_guard):
    guard = start_guard(ACTIONS)
    before = settled(guard, (ALICE, BOB))
    with guard.connect(as_=ALICE) as sibling, guard.connect(as_=BOB) as bob:
        bob.send_call("Run", {"action": "sleep"}, more=True)
        bobs_job = bob.read_reply()["parameters"]["job"]
        wait, ready = os.pipe()
        with Process(ALICE, waits_for_ever, guard.socket_path, ready) as dying:
            os.close(ready)
            assert os.read(wait, 1) == b""
            os.close(wait)
            dying.kill()
        started = guard.wait_audit(event="job-started", uid=ALICE.uid)
        # Its job ends, as the action says; the one of the other user goes on.
        ended = guard.wait_audit(event="job-ended")
        assert [(e["uid"], e["job"]) for e in ended] == [(ALICE.uid, started[0]["job"])]
        assert ended[0]["result"]["outcome"] == "disconnected"
        for client in (sibling, guard.connect(as_=BOB)):
            assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
            client.close()
        assert bobs_job not in [e["job"] for e in guard.audit() if e["event"] == "job-ended"]
    guard.wait_audit(event="job-ended", job=bobs_job)
    assert_settles(guard, before)


def test_a_flood_by_one_user_keeps_nobody_waiting(start_guard):
    guard = start_guard(ACTIONS)
    quiet = start_guard(ACTIONS)
    before = settled(guard, (ALICE, BOB, CAROL))

    def runs(path, count):
        with wire.WireClient(path) as client:
            for number in range(count):
                replies = client.run("hello", {"name": str(number)})
                text = text_of(replies)
                assert text == f"Hi, {number}\n", replies
        return count

    with Process(ALICE, flood, guard.socket_path, 50, ["Ping", "Nothing", "Check"]):
        with guard.connect(as_=ALICE) as sibling:
            # It is under way: the session is at work.
            harness.wait_until(lambda: max(map(ticks, sessions(guard))) > 20,
                               what="the flood keeps its session busy")
            assert keep_up(guard, quiet, (BOB, pings, 300), (CAROL, runs, 10)) == [300, 10]
            # And the other connections of that user have their turn too.
            assert sibling.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    assert_settles(guard, before)


def session_of(guard, identity):
    """The pid of the only session that speaks for this identity, found by its descriptors' number."""
    with guard.connect(as_=identity) as client:
        client.call("Ping", {"ping": "x"})
        numbers = {pid: descriptors(pid) for pid in sessions(guard)}
        with guard.connect(as_=identity) as another:
            another.call("Ping", {"ping": "x"})
            grown = [pid for pid, number in numbers.items() if descriptors(pid) == number + 1]
    assert len(grown) == 1
    return grown[0]


def test_a_client_that_does_not_read_costs_one_backlog(start_guard):
    guard = start_guard(ACTIONS)
    before = settled(guard, (ALICE, BOB))
    session = session_of(guard, ALICE)
    peak = memory(session, "VmHWM")
    with guard.connect(as_=ALICE) as lazy, guard.connect(as_=ALICE) as sibling:
        lazy.send_call("Run", {"action": "stream"}, more=True)
        # The job is not held up by its reader.
        ended = guard.wait_audit(event="job-ended", seconds=60, uid=ALICE.uid)
        assert ended[0]["result"]["exitCode"] == 0
        assert together((BOB, pings, guard.socket_path, 50)) == [50]
        assert sibling.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        # 1 MiB at most is kept for it; as much again while one reply is made. (What a sanitizer
        # holds back is no backlog.)
        assert SANITIZED or memory(session, "VmHWM") - peak < 3 * MIB
        # Now it reads, and has missed nothing.
        count = 0
        for reply in iter_replies(lazy):
            count += len(reply["parameters"].get("stdout", ""))
        assert count == STREAMED
        assert SANITIZED or memory(session, "VmHWM") - peak < 3 * MIB
    assert_settles(guard, before)


def iter_replies(client):
    while True:
        reply = client.read_reply()
        yield reply
        if not reply.get("continues"):
            assert reply["parameters"]["result"]["exitCode"] == 0
            return


def test_a_session_that_stands_still_is_dropped_and_others_are_served(start_guard):
    guard = start_guard(ACTIONS)
    settled(guard, (ALICE, BOB))
    session = session_of(guard, ALICE)
    with guard.connect(as_=ALICE) as held:
        assert held.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        os.kill(session, signal.SIGSTOP)
        stopped = time.time()
        others = [guard.connect(as_=ALICE) for _ in range(30)]
        assert together((BOB, pings, guard.socket_path, 100)) == [100]
        for client in (held, *others):
            assert client.read_to_end() == b""
            client.close()
    failed = guard.wait_audit(event="session-failed")
    assert [(e["uid"], e["reason"]) for e in failed] == [
        (ALICE.uid, "it does not acknowledge or read")]
    # By the guard's own account, so that what else is done here takes no part in it.
    assert 9 < harness.time_of(failed[0]) - stopped < 25
    # The next connection gets a new session.
    assert together((ALICE, pings, guard.socket_path, 10)) == [10]
    assert session not in sessions(guard)
