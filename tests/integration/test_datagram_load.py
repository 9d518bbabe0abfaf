"""Many senders of packets at once: each packet is answered exactly once, and in order."""

import json
import os
import signal
import subprocess

import pytest

import harness
from identity import ALICE, BOB, CAROL, ME, popen_as
from packets import Sender, message
from processes import descriptors, sessions

TRUE = {"summary": "True", "exec": ["/bin/true"], "allow": [{"everyone": True}], "datagram": True}
# 20 senders, 100,000 packets.
SENDERS = {ALICE: 7, BOB: 7, CAROL: 6} if harness.IS_ROOT else {ME: 20}
EACH = 5000


def load(verb, server, place, senders, count, as_):
    place.mkdir()
    if harness.IS_ROOT:
        os.chown(place, as_.uid, as_.gid)
    return popen_as(as_, [harness.program("tests/datagram-load"), verb, server, place, str(senders),
                          str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_hundred_thousand_packets_are_each_answered_once_and_in_order(start_guard, folder):
    guard = start_guard({"true": TRUE}, datagrams=True)
    programs = [load("pings", guard.datagram_path, folder / str(as_.uid), count, EACH, as_)
                for as_, count in SENDERS.items()]
    for process in programs:
        out, err = process.communicate(timeout=280)
        assert (process.returncode, err) == (0, ""), out
        assert json.loads(out)["per_second"] > 0
    assert guard.audit() == []
    assert len(sessions(guard)) == len(SENDERS)
    harness.wait_until(lambda: descriptors(guard.pid) < 60, what="nothing is left open")


def test_runs_of_many_packets_start_each_job_once(start_guard, folder):
    written = folder / "written"
    action = {"summary": "Write", "exec": ["/bin/sh", "-c", "echo $1 >>$0", str(written), "{n}"],
              "arguments": {"n": {"type": "integer"}}, "allow": [{"everyone": True}],
              "datagram": True}
    guard = start_guard({"write": action}, datagrams=True, options=[
        "--limit", "jobsPerUser=4096", "--limit", "recordsPerUser=4096",
        "--limit", "startsPerUser=10000"])
    with Sender(guard.datagram_path) as sender:
        jobs = set()
        for number in range(100):
            sender.socket.sendto(message("Run", {"action": "write", "arguments": {"n": number}}),
                                 str(guard.datagram_path))
            jobs.add(json.loads(sender.receive())["parameters"]["job"])
    assert len(jobs) == 100
    guard.wait_audit(event="job-ended", count=100, seconds=60)
    assert sorted(map(int, written.read_text().split())) == list(range(100))


STOPPING = {"error": "org.postern.Actions.Unavailable", "parameters": {
    "message": "no job can be started at the moment: the daemon is stopping; try again"}}


@pytest.mark.parametrize("late", [False, True])
def test_what_was_received_is_answered_before_the_guard_ends(start_guard, late):
    """Asked to stop with packets in its hands: they are answered, or still in the kernel's queue.

    It waits for two seconds. What could not be answered by then (`late`: the session stands still) is
    named in the audit, one entry for each packet; a job that was starting is told to have been stopped.
    """
    guard = start_guard({"true": TRUE}, datagrams=True)
    senders = [Sender(guard.datagram_path) for _ in range(8)]
    try:
        if late:
            senders[0].call("Ping", {"ping": "x"})
            session, = sessions(guard)
            os.kill(session, signal.SIGSTOP)
        for sender in senders:
            sender.send(message("Run", {"action": "true"}))
        if late:
            harness.wait_until(lambda: all(sender.unreceived() == 0 for sender in senders),
                               what="the guard has them")
        guard.process.terminate()
        assert guard.wait() == 0
        events = guard.audit()
        started = [e["job"] for e in events if e["event"] == "job-started"]
        dropped = [e["reason"] for e in events if e["event"] == "packet-refused"]
        replies = [json.loads(sender.receive()) for sender in senders if not sender.nothing()]
        answered = [reply["parameters"]["job"] for reply in replies if "error" not in reply]
        assert sorted(answered) == sorted(job for job in started if job in answered)
        assert len(started) - len(answered) <= len(dropped)
        assert all(reply == STOPPING for reply in replies if "error" in reply)
        if late:
            assert dropped == ["dropped: its session ended"] * 8
            assert replies == [] and started == []
        else:
            assert set(dropped) <= {"dropped: its session ended", "dropped: the daemon stops"}
    finally:
        for sender in senders:
            sender.close()


def test_packets_and_connections_share_a_guard_not_their_limits(start_guard):
    guard = start_guard({"true": TRUE}, datagrams=True, options=["--limit", "connectionsPerUser=1"])
    with guard.connect() as client, Sender(guard.datagram_path) as sender:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        for _ in range(100):
            assert sender.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        with guard.connect() as refused:
            assert json.loads(refused.read_to_end()[:-1])["parameters"]["limit"] == "connectionsPerUser"
    guard.wait_audit(event="connection-refused", reason="limit connectionsPerUser")


def test_over_the_limit_of_sessions_a_packet_is_refused_with_a_line_in_the_audit(start_guard):
    """Sessions with a connection do not give way to a packet of the same user."""
    if not harness.IS_ROOT:
        pytest.skip("needs root: callers of other uids")
    guard = start_guard({"true": TRUE}, datagrams=True, options=["--limit", "sessionsPerUser=1"])
    with guard.connect(as_=ALICE) as client, Sender(guard.datagram_path, ALICE) as sender:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        sender.send(message("Ping", {"ping": "x"}))
        entry, = guard.wait_audit(event="packet-refused")
        assert (entry["uid"], entry["reason"]) == (ALICE.uid, "limit sessionsPerUser")
        assert sender.nothing()
