"""Senders who attack: the guard, each other, and whoever a reply could be made to reach."""

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import harness
from crowd import Process
from identity import ALICE, BOB, CAROL, ROOT, Identity
from packets import Sender, message
from processes import descriptors, sessions, stopped
from sent_descriptors import OLDER, kernel_refuses, lingering_tcp

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: senders of other uids")

TRUE = {"summary": "True", "exec": ["/bin/true"], "allow": [{"everyone": True}], "datagram": True}
PING = message("Ping", {"ping": "x"})
PONG = b'{"parameters":{"pong":"x"}}'


@pytest.fixture
def guard(start_guard):
    return start_guard({"true": TRUE}, datagrams=True)


def assert_served(guard, as_, count=1):
    with Sender(guard.datagram_path, as_) as sender:
        for i in range(count):
            try:
                assert sender.call("Ping", {"ping": str(i)}) == {"parameters": {"pong": str(i)}}
            except BlockingIOError as error:
                raise AssertionError(f"no reply number {i} to {as_}: {guard.doing()}") from error


@pytest.mark.parametrize("forged", [
    (None, 0, 0), (None, ALICE.uid, 0), (None, BOB.uid, BOB.gid), (1, ALICE.uid, ALICE.gid)])
def test_forged_credentials_are_refused_by_the_kernel(guard, forged):
    pid, uid, gid = forged
    with Sender(guard.datagram_path, ALICE) as sender:
        with pytest.raises(PermissionError):
            sender.forge(message("WhoAmI"), pid or os.getpid(), uid, gid)
        assert sender.nothing()
        reply = sender.call("WhoAmI")["parameters"]
    assert (reply["uid"], reply["gid"]) == (ALICE.uid, ALICE.gid)
    assert guard.audit() == []


def test_ids_that_are_none_are_refused(guard):
    """Root may forge; what it can't make is an identity that is none."""
    with Sender(guard.datagram_path) as sender:
        for uid, gid in ((0xffffffff, 0), (0, 0xffffffff)):
            with pytest.raises(OSError) as error:
                sender.forge(PING, os.getpid(), uid, gid)
            assert error.value.errno == errno.EINVAL
        sender.forge(message("WhoAmI"), os.getpid(), 65534, 65534)
        # The reply to nobody does not reach root's folder.
        assert_served(guard, BOB)
        assert sender.nothing()


def client_in(folder, owner):
    """A socket in a folder that nobody but its owner may enter."""
    folder.mkdir(mode=0o700)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.bind(str(folder / "s"))
    os.chmod(folder / "s", 0o666)
    for path in (folder / "s", folder):
        os.chown(path, owner.uid, owner.gid)
    return client


@pytest.mark.parametrize("owner", [ROOT, BOB], ids=["root", "another user"])
@pytest.mark.parametrize("kind", ["link", "link to the folder", "a socket for all to write to"])
def test_a_reply_reaches_nothing_that_its_sender_could_not_reach(guard, folder, owner, kind):
    """The attack: rename the path that was bound, and put something else there."""
    with client_in(folder / "private", owner) as victim, \
            Sender(guard.datagram_path, ALICE) as sender:
        path = sender.folder / "s"
        if kind == "link":
            swap = lambda: (path.rename(sender.folder / "t"), path.symlink_to(folder / "private/s"))
        elif kind == "link to the folder":
            swap = lambda: (sender.folder.rename(f"{sender.folder}.moved"),
                            sender.folder.symlink_to(folder / "private"))
        else:
            # As that of systemd for notifications, or the journal's: they go by the credentials of who
            # sends, and a reply is sent by the guard.
            os.chmod(folder / "private", 0o755)
            swap = lambda: (path.rename(sender.folder / "t"), path.symlink_to(folder / "private/s"))
        with stopped(guard.pid):
            sender.send(PING)
            swap()
        # The reply after this one is there, so that one was sent or given up.
        with Sender(guard.datagram_path, ALICE) as other:
            assert other.call("Ping", {"ping": "y"}) == {"parameters": {"pong": "y"}}
        victim.setblocking(False)
        with pytest.raises(BlockingIOError):
            victim.recv(1000)
        assert sender.nothing()
        if kind == "link to the folder":
            sender.folder.unlink()
            shutil.rmtree(f"{sender.folder}.moved")


def test_a_reply_does_not_come_back_to_the_guard_as_a_call_of_its_own(guard):
    """From a session that is taken over it could be one, and the guard's credentials are root's."""
    with Sender(guard.datagram_path, ALICE) as sender:
        with stopped(guard.pid):
            sender.send(PING)
            (sender.folder / "s").unlink()
            (sender.folder / "s").symlink_to(guard.datagram_path)
        assert_served(guard, ALICE, 5)
    # Had it come back, it would be recorded as no message.
    assert guard.audit() == []


def test_a_path_through_a_link_to_a_folder(guard, folder):
    """As /var/run is one: it is in the kernel's cache like the rest, once it has been followed."""
    (folder / "real").mkdir()
    folder.chmod(0o755)
    (folder / "real").chmod(0o1777)
    link = folder / "link"
    link.symlink_to("real")

    def is_used():
        # Whoever follows it changes its time of access, which not even the cache does by itself.
        os.stat(link)
        times = os.lstat(link)
        return times.st_atime_ns > times.st_ctime_ns

    harness.wait_until(is_used, what="a link that was followed")
    with Sender(guard.datagram_path, ALICE, address=str(folder / "link/s")) as sender:
        for _ in range(5):
            sender.send(PING)
            assert sender.receive() == PONG


def test_a_sender_that_dies_at_once(guard):
    """Its packet counts; its reply goes nowhere."""
    for number in range(20):
        with Sender(guard.datagram_path, ALICE) as sender:
            sender.send(message("Run", {"action": "true"}))
        guard.wait_audit(event="job-ended", count=number + 1)
    assert_served(guard, BOB)


def send_with(guard, as_, fds):
    """Whether the kernel let the descriptors through."""
    with Sender(guard.datagram_path, as_) as sender:
        try:
            sender.send(PING, fds)
        except PermissionError:
            return False
        reply = json.loads(sender.receive())
        assert reply == {"error": "org.postern.Actions.InvalidMessage",
                         "parameters": {"message": "no file descriptors may be sent along"}}
        return True


@pytest.fixture(params=["refused", "delivered"] if kernel_refuses() else ["delivered"])
def any_kernel(request, start_guard, folder):
    """A guard; a newer kernel plays the older one (before 6.5, without pidfds too) where it is asked
    to: the first options that the guard sets on its sockets, all but SO_PASSCRED, fail as there."""
    under = []
    if request.param == "delivered" and kernel_refuses():
        under = [*OLDER[:-1], OLDER[-1] + ":when=1..3", "-o", str(folder / "trace")]
    return start_guard({"true": TRUE}, datagrams=True, under=under)


def open_paths(pid):
    paths = []
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            paths.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return paths


def test_descriptors_in_a_packet_are_closed_and_it_is_refused(any_kernel):
    guard = any_kernel
    for as_ in (ALICE, BOB, CAROL):
        assert_served(guard, as_)
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        # What the guard has for that is there from the first time on.
        through = [send_with(guard, Identity(64004, 64004), [null])]
        assert_served(guard, BOB)
        # The thread that has replied may still be about to let go of the socket that it replied to.
        harness.wait_until(lambda: not any("postern-sender" in path for path in open_paths(guard.pid)),
                           what="the replies are sent")
        before = descriptors(guard.pid)
        through += [send_with(guard, as_, [null] * count) for as_, count in ((ALICE, 1), (CAROL, 253))]
    finally:
        os.close(null)
    assert_served(guard, BOB)
    harness.wait_until(lambda: descriptors(guard.pid) == before, what="as many descriptors as before")
    refused = [e for e in guard.audit() if e["event"] == "packet-refused"]
    assert len(refused) == sum(through)
    assert {e["reason"] for e in refused} <= {"it carries descriptors"}


def test_a_lingering_tcp_socket_in_a_packet_holds_up_nobody(any_kernel):
    guard = any_kernel
    assert_served(guard, ALICE)
    with lingering_tcp() as lingering, Sender(guard.datagram_path, ALICE) as sender:
        with stopped(guard.pid), contextlib.suppress(PermissionError):
            sender.send(PING, [lingering.fileno()])
            lingering.close()
        assert_served(guard, BOB, 20)


def test_a_full_receive_queue_is_seen_by_the_sender(guard):
    os.kill(guard.pid, signal.SIGSTOP)
    senders = []
    try:
        with pytest.raises(BlockingIOError):
            for _ in range(10_000):
                sender = Sender(guard.datagram_path, ALICE)
                senders.append(sender)
                sender.send(PING, flags=socket.MSG_DONTWAIT)
        full, accepted = senders[-1], senders[:-1]
        assert accepted
        # Who may wait does: until the guard goes on.
        with Sender(guard.datagram_path, BOB) as patient:
            waiting = os.fork()
            if waiting == 0:
                try:
                    BOB.take()
                    patient.socket.sendto(PING, str(guard.datagram_path))
                    os._exit(0)
                except BaseException:
                    os._exit(1)
            os.kill(guard.pid, signal.SIGCONT)
            assert os.waitpid(waiting, 0)[1] == 0
            assert patient.receive() == PONG
        for sender in accepted:
            assert sender.receive() == PONG
        full.send(PING)
        assert full.receive() == PONG
    finally:
        os.kill(guard.pid, signal.SIGCONT)
        for sender in senders:
            sender.close()


def flood(path, folder, unread):
    """Sends from `unread` sockets that are never read, until it is killed."""
    senders = []
    for i in range(unread):
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.bind(f"{folder}/{i}")
        senders.append(sender)
    large = message("Ping", {"ping": "\x01" * 4000})
    while True:
        for sender in senders:
            sender.sendto(large, path)


def test_a_flood_that_reads_no_reply_takes_none_from_others(guard, folder):
    os.chmod(folder, 0o777)
    with Process(ALICE, flood, str(guard.datagram_path), str(folder), 100):
        harness.wait_until(lambda: sessions(guard), what="the flood")
        for _ in range(5):
            assert_served(guard, BOB, 20)


def test_a_large_number_of_users_at_once(guard):
    """More identities than replies are sent at a time."""
    with Sender(guard.datagram_path, ROOT) as sender:
        os.chmod(sender.folder, 0o777)
        with Sender(guard.datagram_path, CAROL) as other:
            for i in range(100):
                sender.forge(PING, os.getpid(), 70000 + i, 70000 + i)
            assert other.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    assert_served(guard, ALICE)


def test_the_socket_is_a_socket_and_nothing_else(guard):
    status = os.lstat(guard.datagram_path)
    assert stat.S_ISSOCK(status.st_mode) and status.st_size == 0
    done = subprocess.run(["ss", "-xlpn"], capture_output=True, text=True, check=True)
    line, = [line for line in done.stdout.splitlines() if str(guard.datagram_path) in line.split()]
    assert line.startswith("u_dgr") and f"pid={guard.pid}," in line
