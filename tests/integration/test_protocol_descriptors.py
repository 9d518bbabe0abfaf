"""Descriptors that clients send along: they reach nobody, stay nowhere, and hold up nobody.

Linux 6.16 refuses them to the sender (SO_PASSRIGHTS); an older kernel delivers them, and then the
session closes them and sends the client away.
"""

import contextlib
import errno
import os
import signal
import socket
import struct

import pytest

import harness
from identity import ALICE, BOB
from processes import connections, descriptors, sessions, stopped

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

SO_PASSRIGHTS = 83
PING = b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}\0'
PONG = b'{"parameters":{"pong":"x"}}\0'
SENT_AWAY = (b'{"error":"org.postern.Actions.InvalidMessage","parameters":{"message":'
             b'"no file descriptors may be sent along"}}\0')
MOST = 253  # the kernel's maximum for one message


def kernel_refuses():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:
            return False
        return True


# A newer kernel plays the older one: the option fails as it does there.
OLDER = ["strace", "-D", "-qq", "-e", "trace=setsockopt", "-e",
         "inject=setsockopt:error=ENOPROTOOPT"]


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


def counts(guard):
    """Descriptors of the guard and of all its sessions."""
    return [descriptors(pid) for pid in (guard.pid, *sessions(guard))]


def assert_served(guard, identity):
    with guard.connect(as_=identity) as client:
        client.send(PING)
        assert client.read_frame() + b"\0" == PONG


@pytest.fixture
def guard(begin):
    running = begin()
    for identity in (ALICE, BOB):
        assert_served(running, identity)
    harness.wait_until(lambda: len(sessions(running)) == 2, what="two sessions")
    return running


@pytest.fixture
def before(guard):
    """The numbers of descriptors once the connections that were there are gone."""
    harness.wait_until(lambda: connections(guard) == 0, what="all connections are closed")
    return counts(guard)


def test_what_comes_with_descriptors_is_not_carried_out(guard, before):
    with open("/etc/passwd", "rb") as file, guard.connect(as_=ALICE) as client:
        send_with(guard, client, PING, [file.fileno()])
        if guard.refuses:
            # Nothing of it has arrived, and the connection is as it was.
            client.send(PING)
            assert client.read_frame() + b"\0" == PONG
        else:
            assert client.read_to_end() == SENT_AWAY
    harness.wait_until(lambda: counts(guard) == before, what="as many descriptors as before")


def test_descriptors_sent_before_the_connection_is_accepted(guard, before):
    os.kill(guard.pid, signal.SIGSTOP)
    try:
        with open("/etc/passwd", "rb") as file, guard.connect(as_=ALICE) as client:
            send_with(guard, client, PING, [file.fileno()] * MOST)
    finally:
        os.kill(guard.pid, signal.SIGCONT)
    assert_served(guard, BOB)
    harness.wait_until(lambda: counts(guard) == before, what="as many descriptors as before")


def test_a_hundred_thousand_messages_with_descriptors_leave_none_behind(guard, before):
    with open("/etc/passwd", "rb") as file:
        client = guard.connect(as_=ALICE)
        # Delivered ones cost a connection each.
        for number in range(100_000 if guard.refuses else 2000):
            if number > 0 and not guard.refuses:  # the one before was sent away
                client.close()
                client = guard.connect(as_=ALICE)
            send_with(guard, client, PING, [file.fileno()] * (MOST if number % 100 == 0 else 2))
        client.close()
    assert_served(guard, BOB)
    harness.wait_until(lambda: counts(guard) == before, what="as many descriptors as before")
    assert not [e for e in guard.audit() if e["event"] == "session-failed"]


@contextlib.contextmanager
def lingering_tcp():
    """A TCP connection whose last close stands still: SO_LINGER, and data that nobody takes.

    For longer than any test waits: whoever closes it where others are served serves nobody more. What was
    sent is closed here before it is received, so that theirs is the last close.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        lingering = socket.create_connection(listener.getsockname())
        taken, _ = listener.accept()
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        lingering.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                lingering.send(b"x" * 65536)
        try:
            yield lingering
        finally:
            taken.close()  # resets it: ours closes at once
            lingering.close()


def test_a_lingering_tcp_socket_holds_up_nobody_else(guard, before):
    with lingering_tcp() as lingering:
        with guard.connect(as_=ALICE) as client, stopped(*sessions(guard)):
            send_with(guard, client, PING, [lingering.fileno()])
            if not guard.refuses:
                lingering.close()
        for _ in range(20):
            assert_served(guard, BOB)
    assert_served(guard, ALICE)
    harness.wait_until(lambda: counts(guard) == before, what="as many descriptors as before")


def test_a_lingering_tcp_socket_in_a_refused_connection(begin):
    guard = begin(options=["--limit", "connections-per-uid=1"])
    with guard.connect(as_=ALICE) as served, lingering_tcp() as lingering:
        served.send(PING)
        assert served.read_frame() + b"\0" == PONG
        with stopped(guard.pid):
            refused = guard.connect(as_=ALICE)
            # Unread in its queue when the guard closes it.
            send_with(guard, refused, PING, [lingering.fileno()])
            if not guard.refuses:
                lingering.close()
        guard.wait_audit(event="connection-refused", reason="limit connections-per-uid")
        with guard.connect(as_=BOB) as bob:
            for _ in range(20):
                bob.send(PING)
                assert bob.read_frame() + b"\0" == PONG
        refused.close()
