"""Descriptors of strangers: a close that stands still, and a path that leads nowhere for ever.

Whoever may send to a socket can send descriptors along, on kernels that do not refuse them (before 6.16,
which a newer one plays here). Nobody else is to notice, and the guard is to end when it is told to.
"""

import contextlib
import os
import socket
import threading
import time

import pytest

import harness
import hung_fuse
from crowd import Process
from identity import ALICE, BOB, CAROL, Identity
from packets import Sender, message
from processes import descriptors, stopped
from sent_descriptors import OLDER, lingering_tcp
from wire import WireClient

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: senders of other uids")
needs_fuse = pytest.mark.skipif(not hung_fuse.available(), reason="needs /dev/fuse")

TRUE = {"summary": "True", "exec": ["/bin/true"], "allow": [{"everyone": True}], "datagram": True}
PING = message("Ping", {"ping": "x"})
MANY = 100
REFUSED = "refused for a while: datagrams of this user carry descriptors"


@pytest.fixture
def guard(start_guard, folder):
    """On a kernel that lets descriptors through: the first options that it sets on its sockets fail."""
    older = [*OLDER[:-1], OLDER[-1] + ":when=1..3", "-o", str(folder / "trace")]
    return start_guard({"true": TRUE}, datagrams=True, under=older)


def assert_served(guard, *identities):
    """By a packet, by a connection of their own, and with a job."""
    for identity in identities:
        with Sender(guard.datagram_path, identity) as sender:
            for i in range(5):
                assert sender.call("Ping", {"ping": str(i)}) == {"parameters": {"pong": str(i)}}
        with guard.connect(as_=identity) as client:
            reply = client.call("Run", {"action": "true"})
            assert reply["parameters"]["result"]["exitCode"] == 0, reply


def newcomers():
    """Users who have no session yet."""
    return [Identity(65100 + i, 65100 + i) for i in range(4)]


@contextlib.contextmanager
def many_lingering():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(lingering_tcp()) for _ in range(MANY)]


def assert_ends(guard):
    """Within its time, and another one takes its place; and once more after kill -9."""
    guard.stop()
    guard.restart()
    guard.kill()
    guard.restart()
    assert_served(guard, BOB)


def test_hundreds_of_lingering_sockets_in_packets(guard):
    assert_served(guard, BOB)
    with contextlib.ExitStack() as stack:
        with stopped(guard.pid):
            for number in range(4):
                sender = stack.enter_context(Sender(guard.datagram_path, Identity(64500 + number, 64500)))
                sockets = stack.enter_context(many_lingering())
                sender.send(PING, [one.fileno() for one in sockets])
                for one in sockets:
                    one.close()
        assert_served(guard, BOB, *newcomers())
        assert_ends(guard)


def test_who_sends_descriptors_is_put_aside(guard):
    with open("/dev/null", "rb") as null, Sender(guard.datagram_path, ALICE) as sender:
        sender.send(PING, [null.fileno()])
        assert b"no file descriptors may be sent along" in sender.receive()
        sender.send(PING)
        assert_served(guard, BOB)
        refused = guard.wait_audit(event="packet-refused", reason=REFUSED)
        assert [entry["uid"] for entry in refused] == [ALICE.uid]
        # For a second.
        def served():
            sender.send(PING)
            with contextlib.suppress(BlockingIOError):
                return sender.socket.recv(1000, socket.MSG_DONTWAIT)
            return None
        assert harness.wait_until(served, what="ALICE is served again")


def test_lingering_sockets_in_connections_that_are_refused(start_guard, folder):
    older = [*OLDER[:-1], OLDER[-1] + ":when=1..3", "-o", str(folder / "trace")]
    guard = start_guard({"true": TRUE}, datagrams=True, under=older,
                        options=["--limit", "connectionsPerUser=1"])
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(guard.connect(as_=ALICE))
        assert first.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        for _ in range(4):
            sockets = stack.enter_context(many_lingering())
            with stopped(guard.pid):
                client = stack.enter_context(guard.connect(as_=ALICE))
                socket.send_fds(client.socket, [PING], [one.fileno() for one in sockets])
                for one in sockets:
                    one.close()
        guard.wait_audit(event="connection-refused", count=4)
        assert_served(guard, BOB, *newcomers())
        guard.stop()


def test_packet_sockets_whose_close_waits_where_no_signal_ends_it(start_guard, folder):
    """Some milliseconds each: hundreds of them keep whatever process drops them for seconds."""
    older = [*OLDER[:-1], OLDER[-1] + ":when=1..3", "-o", str(folder / "trace")]
    guard = start_guard({"true": TRUE}, datagrams=True, under=older,
                        options=["--limit", "connectionsPerUser=1"])

    def send(to):
        sockets = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for _ in range(30)]
        socket.send_fds(to, [PING], [one.fileno() for one in sockets])
        for one in sockets:
            one.close()

    with contextlib.ExitStack() as stack:
        first = stack.enter_context(guard.connect(as_=ALICE))
        assert first.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        sender = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sender.connect(str(guard.datagram_path))
        before = descriptors(guard.pid)
        for _ in range(8):
            with stopped(guard.pid):
                client = stack.enter_context(guard.connect(as_=ALICE))
                send(client.socket)
                send(sender)
        guard.wait_audit(event="connection-refused", count=8)
        guard.wait_audit(event="packet-refused", reason="it carries descriptors")
        assert_served(guard, BOB, *newcomers())
        # The channels of those processes, and a few sessions'.
        assert descriptors(guard.pid) < before + 40
        guard.process.terminate()
        assert guard.wait() == 0


def flood_with_lingering(path, ready):
    """Connection after connection that is refused, each with sockets that linger; for ever."""
    with WireClient(path) as first:
        assert first.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        kept = []
        while True:
            stack = contextlib.ExitStack()
            sockets = [stack.enter_context(lingering_tcp()) for _ in range(3)]
            with WireClient(path) as client, contextlib.suppress(OSError):  # it was refused before
                socket.send_fds(client.socket, [PING], [one.fileno() for one in sockets])
            # Where the guard was quicker, it is this close that stands still.
            for one in sockets:
                threading.Thread(target=one.close, daemon=True).start()
            # Their other ends are there for a while: until then closing them stands still.
            kept.append(stack)
            if len(kept) > 50:
                kept.pop(0).close()
                os.write(ready, b"x")


def test_a_flood_of_connections_that_are_refused_with_lingering_sockets(start_guard, folder):
    """While a session or a job is being started, its process has all that the guard has: were it the last
    to let go of such a connection, it would stand still."""
    older = [*OLDER[:-1], OLDER[-1] + ":when=1..3", "-o", str(folder / "trace")]
    guard = start_guard({"true": TRUE}, datagrams=True, under=older,
                        options=["--limit", "connectionsPerUser=1"])
    began, ready = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, began)
        for number in range(2):
            flooder = Identity(64700 + number, 64700)
            stack.enter_context(Process(flooder, flood_with_lingering, str(guard.socket_path), ready))
        os.close(ready)
        os.read(began, 1)
        assert_served(guard, *(Identity(65200 + i, 65200 + i) for i in range(20)))
        assert guard.process.poll() is None
    refused = [entry for entry in guard.audit() if entry["event"] == "connection-refused"]
    assert {entry["reason"] for entry in refused} <= {"limit connectionsPerUser",
                                                      "too many connections at once"}


def send_hung(path, mount, count, by_connection):
    """Never ends once it has closed one of its own."""
    files = [os.open(f"{mount}/f{number}", os.O_RDONLY) for number in range(count)]
    if by_connection:
        client = WireClient(path)
        socket.send_fds(client.socket, [PING], files)
    else:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.connect(path)
        socket.send_fds(sender, [PING], files)
    time.sleep(3600)


@needs_fuse
@pytest.mark.parametrize("by_connection", [False, True], ids=["packet", "connection"])
def test_descriptors_of_a_hung_fuse(guard, folder, by_connection):
    assert_served(guard, BOB)
    path = str(guard.socket_path if by_connection else guard.datagram_path)
    folder.chmod(0o755)
    with hung_fuse.mounted(folder / "mount") as mount, contextlib.ExitStack() as stack:
        stack.callback(mount.end)
        process = stack.enter_context(Process(ALICE, send_hung, path, str(mount.path), 70, by_connection))
        if by_connection:
            harness.wait_until(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) > 70, what="it has sent")
        else:
            guard.wait_audit(event="packet-refused", reason="it carries descriptors")
        assert_served(guard, BOB, *newcomers())
        assert_ends(guard)
        mount.end()


def send_unwritten(path, mount, count, by_connection, ready):
    """Descriptors that nobody can drop: of files of which something is still to be stored."""
    kept = []
    for number in range(count):
        name = f"{mount}/f{number}"
        file = os.open(name, os.O_RDWR)
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        socket.send_fds(near, [b"x"], [file])
        near.close()
        os.close(file)  # the last but the one in the message, which goes with `far`
        kept.append(os.open(name, os.O_RDWR))
        os.write(kept[-1], b"x")
        if by_connection:
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.connect(path)
        socket.send_fds(sender, [PING], [far.fileno()])
        far.close()
        kept.append(sender)
    os.write(ready, b"x")
    time.sleep(3600)


@contextlib.contextmanager
def unwritten(guard, folder, path, count, by_connection):
    """ALICE has sent that many. Whatever process drops one stands still for ever, and no signal ends it."""
    folder.chmod(0o755)
    with hung_fuse.mounted(folder / "mount", unwritten=True) as mount, contextlib.ExitStack() as stack:
        begun, ready = os.pipe()
        stack.callback(os.close, begun)
        # Else it may be she who drops the last reference.
        with stopped(guard.pid):
            stack.enter_context(
                Process(ALICE, send_unwritten, str(path), str(mount.path), count, by_connection, ready))
            os.close(ready)
            stack.callback(mount.end)  # else she does not end
            assert os.read(begun, 1) == b"x"
        yield


def assert_itself_ends(guard):
    """As assert_ends(), but for what stands still in its place."""
    guard.process.terminate()
    assert guard.wait(30) == 0
    guard.restart()
    guard.kill()
    guard.restart()
    assert_served(guard, BOB)


@needs_fuse
def test_descriptors_in_packets_that_nobody_can_drop(guard, folder):
    assert_served(guard, BOB)
    with unwritten(guard, folder, guard.datagram_path, 8, by_connection=False):
        guard.wait_audit(event="packet-refused", uid=ALICE.uid, count=8)
        assert_served(guard, BOB, *newcomers())
        assert_itself_ends(guard)


@needs_fuse
def test_descriptors_in_refused_connections_that_nobody_can_drop(start_guard, folder):
    older = [*OLDER[:-1], OLDER[-1] + ":when=1..3", "-o", str(folder / "trace")]
    guard = start_guard({"true": TRUE}, datagrams=True, under=older,
                        options=["--limit", "connectionsPerUser=1"])
    with guard.connect(as_=ALICE) as first:
        assert first.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        with unwritten(guard, folder, guard.socket_path, 8, by_connection=True):
            guard.wait_audit(event="connection-refused", count=8)
            assert_served(guard, BOB, *newcomers())
            assert_itself_ends(guard)


@needs_fuse
def test_descriptors_in_connections_that_nobody_can_drop(guard, folder):
    """The session of whoever sends them stands still, and no other one."""
    assert_served(guard, BOB)
    with unwritten(guard, folder, guard.socket_path, 8, by_connection=True):
        assert_served(guard, BOB, *newcomers())
        assert_itself_ends(guard)


@needs_fuse
def test_replies_to_paths_of_a_hung_fuse(guard, folder):
    """From as many identities as the sender has groups: each could hold up a place of its own."""
    folder.chmod(0o777)
    with hung_fuse.mounted(folder / "mount", CAROL.uid) as mount, contextlib.ExitStack() as stack:
        stack.callback(mount.end)
        # Known to the kernel, and CAROL's own; whether it may be written to its server would say.
        os.lstat(mount.path / "s")
        for number in range(70):
            place = folder / str(number)
            place.mkdir()
            place.chmod(0o777)
            identity = Identity(CAROL.uid, 66000 + number)
            sender = stack.enter_context(Sender(guard.datagram_path, identity, address=str(place / "s")))
            # By the time of the reply its path leads to a lookup that never ends, or to that socket.
            place.rename(folder / f"{number}.moved")
            place.symlink_to(mount.path / "h" if number % 2 else mount.path)
            sender.send(PING)
        assert_served(guard, BOB, *newcomers())
        assert_ends(guard)


@needs_fuse
def test_no_reply_leaves_a_local_file_system(guard, folder):
    """Whatever is known of it: what it is asked next may never be answered."""
    folder.chmod(0o755)
    with hung_fuse.mounted(folder / "mount", ALICE.uid) as mount:
        address = str(mount.path / "n")
        with Sender(guard.datagram_path, ALICE, address=address) as sender:
            sender.send(PING)
            assert_served(guard, BOB)
            assert sender.nothing()
