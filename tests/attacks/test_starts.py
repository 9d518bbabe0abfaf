"""One user asks for more starts than there are to be had: others are served, and nothing is started twice."""

import contextlib
import json
import signal

import pytest

import harness
from identity import ALICE, BOB
from packets import Sender, message

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

HELLO = {"summary": "Greet", "exec": ["/bin/echo", "Hi"], "allow": [{"everyone": True}],
         "datagram": True}
# Two at once, and then one a second: what comes after them waits for seconds, at most ten.
SLOWLY = ["--limit", "startsPerUser=1", "--limit", "jobsPerUser=200", "--limit", "recordsPerUser=200"]
TOO_MANY = {"error": "org.postern.Actions.LimitReached", "parameters": {
    "limit": "startsPerUser",
    "message": "you start more than 1 jobs a second (limit startsPerUser); try again later"}}


def started(guard, identity):
    return [e for e in guard.audit() if e["event"] == "job-started" and e["uid"] == identity.uid]


def outstanding(guard, stack, count, **parameters):
    """So many calls of ALICE that are not answered, each on a connection of its own."""
    # Calls that come before the action files are at rest wait for that, and no more of them than jobs.
    with guard.connect(as_=BOB) as bob:
        assert bob.call("Check", {"action": "hello"}) == {"parameters": {}}
    clients = [stack.enter_context(guard.connect(as_=ALICE)) for _ in range(count)]
    for client in clients:
        client.send_call("Run", {"action": "hello", **parameters})
    guard.wait_audit(event="job-started", uid=ALICE.uid, count=2)
    return clients


@pytest.mark.long
def test_a_hundred_outstanding_starts_of_one_user(start_guard):
    guard = start_guard({"hello": HELLO}, options=SLOWLY)
    with contextlib.ExitStack() as stack:
        clients = outstanding(guard, stack, 100)
        with guard.connect(as_=BOB) as bob:
            reply = bob.call("Run", {"action": "hello"})
            assert reply["parameters"]["stdout"] == "Hi\n"
        # At most two in the burst and one for each of the ten seconds that one waits.
        before_bob = guard.audit().index(started(guard, BOB)[0])
        assert len([e for e in guard.audit()[:before_bob] if e["event"] == "job-started"]) < 13
        replies = [client.read_reply() for client in clients]
    assert [r for r in replies if "error" in r and r != TOO_MANY] == []
    count = len([r for r in replies if "error" not in r])
    assert 2 <= count <= 13
    assert len(started(guard, ALICE)) == count
    # The audit has the first of many that are alike.
    refused = {e["reason"] for e in guard.audit() if e["event"] == "call-refused"}
    assert refused == {"limit startsPerUser"}


def test_what_waits_counts_for_the_limit_of_jobs(start_guard):
    guard = start_guard({"hello": HELLO}, options=[
        "--limit", "startsPerUser=1", "--limit", "jobsPerUser=6"])
    with contextlib.ExitStack() as stack:
        clients = outstanding(guard, stack, 20)
        replies = [client.read_reply() for client in clients]
    limits = [r["parameters"]["limit"] for r in replies if "error" in r]
    # Six at a time, of which some have ended while the others came.
    assert set(limits) == {"jobsPerUser"}
    assert len(limits) <= 14


def test_a_packet_that_comes_too_fast_is_refused_at_once(start_guard):
    guard = start_guard({"hello": HELLO}, datagrams=True, options=SLOWLY)
    with Sender(guard.datagram_path) as sender:
        replies = []
        while TOO_MANY not in replies:
            sender.socket.sendto(message("Run", {"action": "hello"}), str(guard.datagram_path))
            replies.append(json.loads(sender.receive()))
    assert len(replies) > 2
    assert all("job" in r["parameters"] for r in replies[:-1])


def test_a_grant_that_is_revoked_meanwhile(start_guard):
    guard = start_guard({"hello": HELLO}, options=SLOWLY)
    with contextlib.ExitStack() as stack:
        clients = outstanding(guard, stack, 9)
        guard.remove_action("hello")
        guard.reload()
        count = len(started(guard, ALICE))
        assert count < 9
        replies = [client.read_reply() for client in clients]
    denied = [r for r in replies if r.get("error") == "org.postern.Actions.NotGranted"]
    assert len(denied) == 9 - count
    assert len(started(guard, ALICE)) == count


def test_the_guard_stops_meanwhile(start_guard):
    guard = start_guard({"hello": HELLO}, options=SLOWLY)
    with contextlib.ExitStack() as stack:
        clients = outstanding(guard, stack, 9)
        guard.process.send_signal(signal.SIGTERM)
        replies = [client.read_reply() for client in clients]
        assert guard.wait() == 0
    refused = replies.count({"error": "org.postern.Actions.Unavailable", "parameters": {
        "message": "no job can be started at the moment: the daemon is stopping; try again", "retryable": True}})
    assert 0 < refused <= 7
    assert len(started(guard, ALICE)) == 9 - refused


def test_the_guard_is_killed_meanwhile(start_guard, folder):
    written = folder / "written"
    written.touch()
    written.chmod(0o666)
    action = {"summary": "Write", "exec": ["/bin/sh", "-c", "echo $1 >>$0", str(written), "{n}"],
              "arguments": {"n": {"type": "integer"}}, "allow": [{"everyone": True}]}
    guard = start_guard({"hello": HELLO, "write": action}, options=SLOWLY)

    def write(number):
        client = guard.connect(as_=ALICE)
        client.send_call("Run", {"action": "write", "arguments": {"n": number},
                                 "key": f"write-{number}"})
        return client

    with contextlib.ExitStack() as stack:
        outstanding(guard, stack, 2)
        clients = [stack.enter_context(write(number)) for number in range(6)]
        # The last one waits behind the others.
        harness.wait_until(lambda: "0" in written.read_text(), what="the first has run")
        guard.kill()
        before = written.read_text().split()
        assert clients[-1].read_to_end() == b""
    guard.restart()
    assert "5" not in before
    with write(5) as again, write(5) as same:
        jobs = {client.read_reply()["parameters"]["job"] for client in (again, same)}
    assert len(jobs) == 1
    assert written.read_text().split().count("5") == 1
