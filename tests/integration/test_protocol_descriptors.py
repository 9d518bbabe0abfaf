"""Descriptors that clients send along: they reach nobody, stay nowhere, and hold up nobody.

Linux 6.16 refuses them to the sender (SO_PASSRIGHTS); an older kernel delivers them, and then the
session closes them and sends the client away.
"""

import contextlib
import errno
import socket

import pytest

import harness
from identity import BOB, GAMES
from processes import all_descriptors, connections, sessions, stopped
from sent_descriptors import OLDER, kernel_refuses, lingering_tcp

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

PING = b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}\0'
PONG = b'{"parameters":{"pong":"x"}}\0'
SENT_AWAY = (b'{"error":"org.postern.Actions.InvalidMessage","parameters":{"message":'
             b'"no file descriptors may be sent along"}}\0')
MOST = 253  # the kernel's maximum for one message


@pytest.fixture(params=["refused", "delivered"] if kernel_refuses() else ["delivered"])
def begin(request, start_guard, folder):
    """Starts a guard; `refuses` of it says whether senders of descriptors are refused."""

    def start(**kwargs):
        refuses = request.param == "refused"
        if not refuses and kernel_refuses():
            kwargs["under"] = [*OLDER, "-o", str(folder / "trace")]
        guard = start_guard(**kwargs)
        guard.refuses = refuses
        return guard

    return start


def send_with(guard, client, data, files):
    """Sends; where descriptors are refused to the sender, exactly that must come of it."""
    if not guard.refuses:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(client.socket, [data], files)
        return
    with pytest.raises(OSError) as caught:
        socket.send_fds(client.socket, [data], files)
    assert caught.value.errno == errno.EPERM


def assert_served(guard, identity):
    with guard.connect(as_=identity) as client:
        client.send(PING)
        assert client.read_frame() + b"\0" == PONG


@pytest.fixture
def guard(begin):
    running = begin()
    for identity in (GAMES, BOB):
        assert_served(running, identity)
    harness.wait_until(lambda: len(sessions(running)) == 2, what="two sessions")
    return running


@pytest.fixture
def before(guard):
    """The numbers of descriptors once the connections that were there are gone."""
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    return all_descriptors(guard)


def test_what_comes_with_descriptors_is_not_carried_out(guard, before):
    with open("/etc/passwd", "rb") as file, guard.connect(as_=GAMES) as client:
        send_with(guard, client, PING, [file.fileno()])
        if guard.refuses:
            # Nothing of it has arrived, and the connection is as it was.
            client.send(PING)
            assert client.read_frame() + b"\0" == PONG
        else:
            assert client.read_to_end() == SENT_AWAY
    harness.wait_until(lambda: all_descriptors(guard) == before, what="as many descriptors as before")


def test_descriptors_sent_before_the_connection_is_accepted(guard, before):
    with stopped(guard.pid):
        with open("/etc/passwd", "rb") as file, guard.connect(as_=GAMES) as client:
            send_with(guard, client, PING, [file.fileno()] * MOST)
    assert_served(guard, BOB)
    harness.wait_until(lambda: all_descriptors(guard) == before, what="as many descriptors as before")


def test_a_hundred_thousand_messages_with_descriptors_leave_none_behind(guard, before):
    with open("/etc/passwd", "rb") as file:
        client = guard.connect(as_=GAMES)
        # Delivered ones cost a connection each.
        for number in range(100_000 if guard.refuses else 2000):
            if number > 0 and not guard.refuses:  # the one before was sent away
                client.close()
                client = guard.connect(as_=GAMES)
            send_with(guard, client, PING, [file.fileno()] * (MOST if number % 100 == 0 else 2))
        client.close()
    assert_served(guard, BOB)
    harness.wait_until(lambda: all_descriptors(guard) == before, what="as many descriptors as before")
    assert not [e for e in guard.audit() if e["event"] == "session-failed"]


def test_a_lingering_tcp_socket_holds_up_nobody_else(guard, before):
    with lingering_tcp() as lingering:
        with guard.connect(as_=GAMES) as client, stopped(*sessions(guard)):
            send_with(guard, client, PING, [lingering.fileno()])
            if not guard.refuses:
                lingering.close()
        for _ in range(20):
            assert_served(guard, BOB)
    assert_served(guard, GAMES)
    harness.wait_until(lambda: all_descriptors(guard) == before, what="as many descriptors as before")


def test_a_lingering_tcp_socket_in_a_refused_connection(begin):
    guard = begin(options=["--limit", "connectionsPerUser=1"])
    with guard.connect(as_=GAMES) as served, lingering_tcp() as lingering:
        served.send(PING)
        assert served.read_frame() + b"\0" == PONG
        with stopped(guard.pid):
            refused = guard.connect(as_=GAMES)
            # Unread in its queue when the guard closes it.
            send_with(guard, refused, PING, [lingering.fileno()])
            if not guard.refuses:
                lingering.close()
        guard.wait_audit(event="connection-refused", reason="limit connectionsPerUser")
        with guard.connect(as_=BOB) as bob:
            for _ in range(20):
                bob.send(PING)
                assert bob.read_frame() + b"\0" == PONG
        refused.close()
