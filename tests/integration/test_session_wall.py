"""A session that its own caller has taken over, on a real channel to a real guard.

ALICE's session is tests/integration/hostile_session, everybody else's is the real one. Whatever it
does, that session ends and nothing else: the guard goes on, BOB is served meanwhile, no job starts, and
there is one audit line about it.
"""

import contextlib
import os
import time

import pytest

import harness
import taken_over
from identity import ALICE, BOB
from jobs import no_such_job
from packets import Sender, message
from processes import sessions

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

HELLO = {"summary": "Greet", "exec": ["/usr/bin/printf", "Hi, %s\\n", "{name}"],
         "arguments": {"name": {"type": "string"}}, "allow": [{"everyone": True}]}
SLEEP = {"summary": "Sleep", "exec": ["/bin/sleep", "1000"], "allow": [{"everyone": True}]}
ROOT_ONLY = {"summary": "Root", "exec": ["/bin/true"], "allow": [{"user": "root"}]}


@pytest.fixture
def hostile(folder, programs, start_guard):
    """hostile(mode): a guard in whose place of ALICE's session that mode is played."""
    with contextlib.ExitStack() as stack:

        def start(mode, **kwargs):
            place = folder / "bin"
            stack.enter_context(taken_over.programs(place, ALICE.uid, mode))
            guard = start_guard({"hello": HELLO, "sleep": SLEEP, "root-only": ROOT_ONLY}, **kwargs)
            if not mode.startswith("tried-"):
                taken_over.end_tried(guard)
            guard.answers = place / "answers"
            return guard

        yield start


def assert_only_that_session_ended(guard, reason):
    """One line about the session; BOB is served; nobody's job was started but BOB's own."""
    entries = guard.wait_audit(event="session-failed")
    assert [(e["uid"], e["reason"]) for e in entries] == [(ALICE.uid, reason)]
    with guard.connect(as_=BOB) as client:
        replies = client.run("hello", {"name": "bob"})
    assert replies[-1]["parameters"]["result"]["exitCode"] == 0
    started = [e for e in guard.audit() if e["event"] == "job-started"]
    assert [e["uid"] for e in started] == [BOB.uid]


@pytest.mark.parametrize("mode, reason", [
    ("wrong-length", "it sent no valid message: wrong length"),
    ("many-values", "it sent no valid message: malformed body"),
    ("truncated", "it sent no valid message: wrong length"),
    ("wrong-version", "it sent no valid message: wrong version"),
    ("wrong-kind", "it sent no valid message: unknown kind"),
    ("guards-kind", "it sent no valid message: unknown kind"),
    ("answered-connection", "it answered a connection as if it were a datagram"),
    ("acknowledge-twice", "it acknowledged a connection that it was not given"),
    ("closed-id", "it named a connection that it does not have"),
    ("call-before-ready", "it spoke before it was ready"),
    ("call-before-acknowledgement", "it used a connection before acknowledging it"),
    ("ready-twice", "it said twice that it is ready"),
    ("other-version", "it is of another version"),
    ("bad-key", "it sent a key that is none"),
    ("long-action", "it asked for more than a message can hold"),
    ("long-job", "it asked for more than a message can hold"),
    ("long-arguments", "it asked for more than a message can hold"),
])
def test_a_session_that_breaks_the_rules_ends_alone(hostile, mode, reason):
    guard = hostile(mode)
    with guard.connect(as_=ALICE) as client:
        assert client.read_to_end() == b""
    assert_only_that_session_ended(guard, reason)


@pytest.mark.parametrize("mode, reason", [
    ("ready-twice", "it said twice that it is ready"),
    ("wrong-length", "it sent no valid message: wrong length"),
    ("call-before-acknowledgement", "it used a connection before acknowledging it"),
])
def test_the_session_that_was_tried_is_trusted_no_more_than_others(hostile, mode, reason):
    """It was ready before there was a caller, and is the first one's."""
    guard = hostile(f"tried-{mode}")
    [tried] = sessions(guard)
    with guard.connect(as_=ALICE) as client:
        assert client.read_to_end() == b""
    harness.wait_until(lambda: tried not in sessions(guard), what="it ends")
    assert_only_that_session_ended(guard, reason)


@pytest.mark.parametrize("mode", ["claims-output", "takes-back-output"])
def test_a_session_that_lies_about_what_its_client_has_ends(hostile, mode):
    guard = hostile(mode)
    with guard.connect(as_=ALICE) as client:
        assert client.read_to_end() == b""
    entries = guard.wait_audit(event="session-failed")
    assert [(e["uid"], e["reason"]) for e in entries] == [
        (ALICE.uid, "it said that its client has output that there is not")]
    with guard.connect(as_=BOB) as client:
        assert client.run("hello", {"name": "bob"})[-1]["parameters"]["result"]["exitCode"] == 0


def send_packet(guard, as_=ALICE):
    with Sender(guard.datagram_path, as_, bound=False) as sender:
        sender.send(message("Ping", {"ping": "x"}))


def assert_packets_of_others_are_served(guard, count=1):
    with Sender(guard.datagram_path, BOB) as bob:
        for i in range(count):
            assert bob.call("Ping", {"ping": str(i)}) == {"parameters": {"pong": str(i)}}


@pytest.mark.parametrize("mode, reason, dropped", [
    ("packet-twice", "it named a connection that it does not have", 0),
    ("packet-twice-at-once", "it named a connection that it does not have", 0),
    ("packet-foreign-id", "it named a connection that it does not have", 1),
    ("packet-future-id", "it named a connection that it does not have", 1),
    ("packet-call-after-reply", "it named a connection that it does not have", 0),
    ("packet-two-calls", "it made two calls of one datagram", 1),
    ("packet-accepted", "it used a datagram as if it were a connection", 1),
    ("packet-closed", "it used a datagram as if it were a connection", 1),
    ("packet-administration", "it used a datagram as if it were a connection", 1),
    ("packet-long-reply", "its reply to a datagram is too long", 1),
    ("packet-dies", "its process ended with exit code 0", 1),
])
def test_a_session_that_breaks_the_rules_of_packets_ends_alone(hostile, mode, reason, dropped):
    guard = hostile(mode, datagrams=True)
    send_packet(guard)
    assert_only_that_session_ended(guard, reason)
    refused = [e["reason"] for e in guard.audit() if e["event"] == "packet-refused"]
    assert refused == ["dropped: its session ended"] * dropped
    assert_packets_of_others_are_served(guard)


def test_a_session_that_answers_packets_unread_ends_alone(hostile):
    """It could make the guard keep packets without end: each that is answered makes room for one more."""
    guard = hostile("packet-not-given", datagrams=True)
    with Sender(guard.datagram_path, ALICE, bound=False) as sender:
        for _ in range(30):
            sender.send(message("Ping", {"ping": "x"}) + b" " * 30_000)
    assert_packets_of_others_are_served(guard)  # so those before were received
    (guard.answers.parent / "go").touch()
    assert_only_that_session_ended(guard, "it used a datagram that it was not given")


def test_a_reply_to_a_packet_is_any_bytes(hostile):
    """They are the caller's own session's, for the caller: the guard does not look at them."""
    guard = hostile("packet-any-bytes", datagrams=True)
    with Sender(guard.datagram_path, ALICE) as sender:
        sender.send(message("Ping", {"ping": "x"}))
        assert sender.receive() == b"\x1b[31m\n\0{"
    assert guard.audit() == []


@pytest.mark.parametrize("count", [65, 2000])
def test_a_session_that_answers_no_packets_holds_up_nobody_else(hostile, count):
    """Not when it has as many as it may have, nor when as many again wait for it as its user may have."""
    guard = hostile("packet-silent", datagrams=True)
    with Sender(guard.datagram_path, ALICE, bound=False) as attacker:
        sent = time.time()
        attacker.send(message("Ping", {"ping": "x"}), times=count)
        assert_packets_of_others_are_served(guard, 2)
        served = time.time()
        assert_packets_of_others_are_served(guard, 18)
    # The reason is that of the shorter time: the longer one that a session has for everything ends it
    # by another. How long that was says the guard, which waits for nothing that we do here.
    entries = guard.wait_audit(event="session-failed")
    assert [(e["uid"], e["reason"]) for e in entries] == [(ALICE.uid, "it does not answer datagrams")]
    ended = harness.time_of(entries[0])
    if count == 65:
        # Others were served while it was there.
        assert served < ended < sent + 8
    else:
        # So many take a busy machine longer to send than the session has.
        assert ended < served + 8
    # None is received for this user for a while, so that nobody waits a second time.
    with Sender(guard.datagram_path, ALICE, bound=False) as attacker:
        attacker.send(message("Ping", {"ping": "x"}), times=200)
    assert_packets_of_others_are_served(guard, 20)
    # Each of them is in the audit, by itself or in a sum.
    def counted():
        refused = [e for e in guard.audit() if e.get("of", e["event"]) == "packet-refused"]
        return sum(e.get("count", 1) for e in refused)
    harness.wait_until(lambda: counted() == count + 200, what="every packet is in the audit")
    reasons = {e["reason"] for e in guard.audit() if e["event"] == "packet-refused"}
    # Of many that are alike it has the first one's.
    assert ("dropped: its session ended" if count == 65 else
            "too many datagrams of this user are waiting to be answered") in reasons
    assert len([e for e in guard.audit() if e["event"] == "session-failed"]) == 1
    assert len(sessions(guard)) == 1


def test_a_session_that_names_anothers_connection_ends_alone(hostile):
    guard = hostile("foreign-id")
    with guard.connect(as_=BOB) as bob:
        assert bob.call("Ping", {"ping": "1"}) == {"parameters": {"pong": "1"}}
        with guard.connect(as_=ALICE) as alice:
            assert alice.read_to_end() == b""
        # Nothing came to BOB's connection, and it still works.
        assert bob.call("Ping", {"ping": "2"}) == {"parameters": {"pong": "2"}}
    assert_only_that_session_ended(guard, "it named a connection that it does not have")


def test_a_session_that_sends_descriptors_ends_alone(hostile):
    guard = hostile("descriptors")

    def attack(times):
        with guard.connect(as_=ALICE) as client:
            assert client.read_to_end() == b""
        entries = guard.wait_audit(event="session-failed", count=times)
        # Where the kernel refuses them to the sender (Linux 6.16), the session broke off by itself.
        assert entries[-1]["reason"] in ("it sent descriptors",
                                         "its process ended with exit code 0")

    def opened():
        for number in os.listdir(f"/proc/{guard.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                yield os.readlink(f"/proc/{guard.pid}/fd/{number}")

    def descriptors():
        """What they are; what the loop opens for its timers, and the pipes in stock, left out."""
        return sorted(name for name in opened()
                      if name != "anon_inode:[timerfd]" and not name.startswith("pipe:"))

    harness.wait_until(lambda: any(name.startswith("pipe:") for name in opened()),
                       what="postern-output is there")
    before = descriptors()  # there was no session yet that could still be leaving
    for times in (1, 2, 3):
        attack(times)
    harness.wait_until(lambda: descriptors() == before,
                       what="the guard's descriptors are as before")


def test_a_hundred_thousand_random_packets_end_that_session_alone(hostile):
    guard = hostile("random")
    with guard.connect(as_=ALICE) as client:
        assert client.read_to_end() == b""
    entries = guard.wait_audit(event="session-failed")
    assert len(entries) == 1
    assert entries[0]["reason"].startswith("it sent no valid message: ")
    assert_only_that_session_ended(guard, entries[0]["reason"])


def test_a_request_number_under_way_is_not_used_twice(hostile):
    guard = hostile("same-request")
    with guard.connect(as_=ALICE) as client:
        assert client.read_to_end() == b""
    entries = guard.wait_audit(event="session-failed")
    assert [e["reason"] for e in entries] == ["it used the number of a pending call"]
    # The first of the two was a call in order: its job goes on without its session.
    started = guard.wait_audit(event="job-started")
    assert [(e["uid"], e["action"]) for e in started] == [(ALICE.uid, "sleep")]


def test_what_a_connection_may_follow_is_bounded(hostile):
    guard = hostile("follows")
    with guard.connect(as_=ALICE):
        harness.wait_until(lambda: guard.answers.exists() and guard.answers.read_text(),
                           what="the answer")
        assert guard.answers.read_text() == (
            "this connection follows 4 jobs already; connect once more for another\n")


def test_what_a_session_claims_is_judged_by_the_guard(hostile):
    guard = hostile("claims")
    with guard.connect(as_=BOB) as bob:
        bobs = bob.run("hello", {"name": "bob"})[0]["parameters"]["job"]
    (guard.answers.parent / "job").write_text(bobs)
    with guard.connect(as_=ALICE):
        harness.wait_until(
            lambda: guard.answers.exists() and guard.answers.read_text().endswith("done\n"),
            what="all answers")
        not_granted = f'0 "root-only" does not exist or is not granted to you {ALICE.shown()}'
        lines = guard.answers.read_text().splitlines()
        assert lines[:3] == [not_granted] * 3
        assert lines[3].startswith("1 name: ")
        assert lines[4].startswith("1 name: ")
        assert lines[5].startswith("1 name: ")
        assert lines[6] == f'0 "he\\u0000llo" does not exist or is not granted to you {ALICE.shown()}'
        none = [f"5 {no_such_job(job)['parameters']['message']}" for job in (bobs, bobs, f"../jobs/{bobs}")]
        assert lines[7:] == [*none, "done"]
    assert [e["uid"] for e in guard.audit() if e["event"] == "job-started"] == [BOB.uid]
    denied = [(e.get("action"), e.get("job"), e["reason"]) for e in guard.audit()
              if e["event"] == "call-denied"]
    assert [entry[0] for entry in denied[:4]] == ["root-only", "root-only", "root-only", "he\0llo"]
    assert denied[4:] == [("hello", bobs, "the job is another caller's"),
                          ("hello", bobs, "the job is another caller's"),
                          (None, f"../jobs/{bobs}", "no such job")]


def assert_served_meanwhile(guard, count=20):
    """BOB gets his answers while ALICE's session does what it does."""
    with guard.connect(as_=BOB) as bob:
        for number in range(count):
            assert bob.call("Ping", {"ping": str(number)}) == {"parameters": {"pong": str(number)}}
        assert bob.run("hello", {"name": "bob"})[-1]["parameters"]["result"]["exitCode"] == 0


@pytest.mark.parametrize("mode, reason", [
    ("silent", "it did not become ready"),
    ("no-acknowledgement", "it does not acknowledge or read"),
])
def test_a_session_that_stands_still_is_dropped_after_a_bound(hostile, mode, reason):
    guard = hostile(mode)
    began = time.time()
    with guard.connect(as_=ALICE) as client:
        connected = time.time()
        # Many more connections than are handed over without an acknowledgement.
        others = [guard.connect(as_=ALICE) for _ in range(20)]
        assert_served_meanwhile(guard)
        assert client.read_to_end() == b""
        for other in others:
            assert other.read_to_end() == b""
            other.close()
    entries = guard.wait_audit(event="session-failed")
    assert [(e["uid"], e["reason"]) for e in entries] == [(ALICE.uid, reason)]
    # By the guard's own account, so that what else is done here takes no part in it.
    ended = harness.time_of(entries[0])
    assert ended - began > 9 and ended - connected < 25


def test_a_session_that_never_reads_its_answers_blocks_nobody(hostile):
    guard = hostile("flood-unread")
    with guard.connect(as_=ALICE) as client:
        assert_served_meanwhile(guard)
        assert client.read_to_end() == b""
    entries = guard.wait_audit(event="session-failed")
    assert len(entries) == 1
    assert entries[0]["reason"] in ("it does not read what it is sent",
                                    "it does not acknowledge or read")
    assert_served_meanwhile(guard)
