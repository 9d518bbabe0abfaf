"""Whatever one user has the guard do, it serves the others.

ALICE floods the guard in every way that her grants allow, or without any; BOB comes anew again and again,
and calls on a connection that he had before. No time is asserted: a reply that does not come within the
patience of a client fails. Where accepting came after everything else, none came while the flood lasted.
"""

import contextlib

import pytest

import floods
import harness
import taken_over
import wire
from identity import ALICE, BOB
from processes import sessions, ticks

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

PATIENCE = 10
ROUNDS = 20


def come_and_go(path):
    """Checks on an old connection, and as many new ones; each reply must be exact."""
    with wire.WireClient(path, timeout=PATIENCE) as old:
        for _ in range(ROUNDS):
            assert old.call("Check", {"action": "true"}) == {"parameters": {}}
            with wire.WireClient(path, timeout=PATIENCE) as fresh:
                assert fresh.call("Check", {"action": "true"}) == {"parameters": {}}
    return ROUNDS


def wait_for_flood(guard, count):
    """All its sessions are there, and they keep the guard busy."""
    harness.wait_until(lambda: len(sessions(guard)) >= count, what=f"{count} sessions")
    before = ticks(guard.pid)
    harness.wait_until(lambda: ticks(guard.pid) >= before + 10, what="the guard is busy")


def assert_serves_bob(guard):
    with floods.crowd.Process(BOB, come_and_go, str(guard.socket_path)) as bob:
        assert bob.join() == ROUNDS


@pytest.mark.parametrize("name, who, flood", [
    pytest.param(name, who, flood, id=flood[0].__name__) for name, who, *flood in floods.FLOODS
    if flood[0] in (floods.look_up, floods.check_big, floods.describe_denied, floods.run_again,
                    floods.connect)])
def test_others_are_served_beside_a_flood(start_guard, name, who, flood):
    guard = start_guard(floods.ACTIONS)
    with floods.flooding(guard.socket_path, who, *flood):
        wait_for_flood(guard, len(who))
        assert_serves_bob(guard)
    assert not [e for e in guard.audit() if e.get("uid") == BOB.uid]


def test_others_are_served_beside_a_session_that_is_taken_over(start_guard, folder):
    """Its packets are the dearest that are still valid, and it sends them without end."""
    with taken_over.programs(folder / "bin", ALICE.uid, "heavy"):
        guard = taken_over.end_tried(start_guard(floods.ACTIONS))
        with floods.flooding(guard.socket_path, floods.identities(1), floods.hold):
            wait_for_flood(guard, 1)
            assert_serves_bob(guard)


def test_one_who_holds_all_its_connections_does_not_keep_others_from_coming(start_guard):
    """More connections at once than one user may have: the rest is refused, and costs nobody else."""
    guard = start_guard(floods.ACTIONS, options=["--limit", "connectionsPerUser=8"])
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(guard.connect(as_=ALICE)) for _ in range(8)]
        for client in kept:
            assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        with floods.flooding(guard.socket_path, [ALICE], floods.connect, 8):
            guard.wait_audit(event="connection-refused", uid=ALICE.uid)
            assert_serves_bob(guard)
        for client in kept:
            assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
