"""docs/local-sockets.md: its commands show what it says, its tests exist, and its claims hold."""

import array
import collections
import os
import re
import socket
import subprocess
import sys
import threading

import pytest

import harness
from identity import ALICE, BOB, CAROL, Identity, run_as

ROOT_ONLY = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")
TEXT = (harness.REPOSITORY / "docs/local-sockets.md").read_text(encoding="utf-8")
PATIENCE = 30


# ---- What the document shows ----

def shown():
    """(command, output) of every block."""
    for block in re.findall(r"^```console\n(.*?)^```$", TEXT, re.M | re.S):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            yield pytest.param(command, output, id=command[:40])


@pytest.fixture
def as_shown(start_guard, programs):
    """Runs commands with the daemon's paths in the place of those of the document."""
    guard = start_guard({}, datagrams=True, socket_mode="0660", options=["--socket-group", "games"])

    def here(text):
        return text.replace("/run/postern/", f"{guard.folder}/")

    def run(command):
        done = subprocess.run(
            ["/bin/sh", "-c", here(command)], cwd="/", text=True, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8",
                 "POSTERN_SOCKET": str(guard.socket_path),
                 "POSTERN_DATAGRAM": str(guard.datagram_path)})
        return done.stdout

    run.here = here
    return run


@ROOT_ONLY
@pytest.mark.parametrize("command, output", shown())
def test_a_command_shows_what_is_said(as_shown, command, output):
    pattern = re.escape(as_shown.here(output)).replace(r"\.\.\.", ".*")
    got = as_shown(command)
    assert re.fullmatch(pattern, got), got


@ROOT_ONLY
def test_the_client_of_a_few_lines(as_shown):
    (client,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
    done = run_as(None, [sys.executable, "-I", "-c", as_shown.here(client)])
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"parameters":{"pong":"x"}}\n', "")


def test_every_test_that_is_named_exists():
    named = re.findall(r"^- (.*)$", TEXT, re.M)
    assert len(named) > 30
    for line in named:
        file, name = line.split("::")
        if file.endswith(".cc"):
            code = (harness.REPOSITORY / "tests/unit" / file).read_text(encoding="utf-8")
            suite, case = name.split(".")
            assert re.search(rf"^TEST(_F|_P)?\({suite}, {case}\)", code, re.M), line
        else:
            code = (harness.REPOSITORY / "tests/integration" / file).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", code, re.M), line


def test_every_answer_names_its_tests():
    answers = TEXT.split("\n## ")[1:]
    assert len(answers) > 10
    for answer in answers:
        assert re.search(r"^- test_\w+\.py::", answer, re.M), answer.partition("\n")[0]


# ---- What it claims of the kernel ----

class Pair:
    """A datagram socket with a name, and senders to it."""

    def __init__(self, folder):
        self.path = str(folder / "d")
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.receiver.bind(self.path)
        self.receiver.settimeout(PATIENCE)
        self._made = [self.receiver]

    def sender(self, blocking=True):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._made.append(made)
        made.connect(self.path)
        made.setblocking(blocking)
        return made

    def close(self):
        for made in self._made:
            made.close()


@pytest.fixture
def datagrams(folder):
    pair = Pair(folder)
    yield pair
    pair.close()


def taken(send):
    """How often `send` can be called before it would have to wait."""
    for count in range(1 << 20):
        try:
            send()
        except BlockingIOError:
            return count
    raise AssertionError("it never has to wait")


def sysctl(name):
    with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as file:
        return int(file.read())


def test_what_is_sent_does_not_change_the_file(datagrams):
    before = os.lstat(datagrams.path)
    datagrams.sender().send(b"x" * 60000)
    after = os.lstat(datagrams.path)
    assert (before.st_size, after.st_size, after.st_mtime_ns, after.st_blocks) == (
        0, 0, before.st_mtime_ns, 0)
    with pytest.raises(OSError, match="No such device or address"):
        os.open(datagrams.path, os.O_RDONLY)


def test_the_guard_has_no_socket_of_the_network(start_guard):
    guard = start_guard({})
    with guard.connect() as client:
        client.call("Ping", {"ping": "x"})
        links = [os.readlink(f"/proc/{guard.pid}/fd/{fd}") for fd in os.listdir(
            f"/proc/{guard.pid}/fd") if os.path.lexists(f"/proc/{guard.pid}/fd/{fd}")]
        inodes = {link[8:-1] for link in links if link.startswith("socket:")}
        of_the_network = set()
        for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
            if os.path.exists(f"/proc/net/{table}"):
                with open(f"/proc/net/{table}", encoding="ascii") as file:
                    of_the_network |= {line.split()[9] for line in file.readlines()[1:]}
        assert inodes and not inodes & of_the_network


def test_datagrams_are_neither_lost_nor_reordered(datagrams):
    """The sender is much faster than the receiver, and waits."""
    count = 20000

    def send_all():
        sender = datagrams.sender()
        for number in range(count):
            sender.send(number.to_bytes(4, "big"))

    thread = threading.Thread(target=send_all)
    thread.start()
    got = [int.from_bytes(datagrams.receiver.recv(16), "big") for _ in range(count)]
    thread.join(PATIENCE)
    assert got == list(range(count))


def test_a_stream_has_no_boundaries_and_datagrams_have(datagrams):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for piece in (b"one", b"two"):
            ours.send(piece)
        assert theirs.recv(100) == b"onetwo"
    sender = datagrams.sender()
    for piece in (b"one", b"", b"two"):
        sender.send(piece)
    assert [datagrams.receiver.recv(100) for _ in range(3)] == [b"one", b"", b"two"]


@ROOT_ONLY
def test_who_sent_a_packet_and_who_connected(folder, datagrams):
    """With the ids of ALICE as real ones and of BOB as effective ones, as a setuid program has."""
    datagrams.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    os.chmod(datagrams.path, 0o666)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    os.chmod(folder / "s", 0o666)
    listener.listen()
    code = ("import os, socket, sys\n"
            f"os.setgroups([]); os.setresgid({ALICE.gid}, {BOB.gid}, {BOB.gid})\n"
            f"os.setresuid({ALICE.uid}, {BOB.uid}, {BOB.uid})\n"
            "d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.connect(sys.argv[1]); d.send(b'x')\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2]); s.recv(1)\n")
    with listener, subprocess.Popen([sys.executable, "-I", "-c", code, datagrams.path,
                                     str(folder / "s")]) as client:
        connection, _ = listener.accept()
        with connection:
            peer = array.array("i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        _, ((_, kind, data),), _, _ = datagrams.receiver.recvmsg(10, socket.CMSG_SPACE(12))
        sent = array.array("i", data)
    assert kind == socket.SCM_CREDENTIALS
    assert list(peer) == [client.pid, BOB.uid, BOB.gid]
    assert list(sent) == [client.pid, ALICE.uid, ALICE.gid]


def test_only_a_stream_tells_that_the_other_end_is_gone(datagrams):
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert ours.recv(1) == b""
    sender = datagrams.sender()
    datagrams.receiver.close()
    sender.setblocking(False)
    with pytest.raises(BlockingIOError):
        sender.recv(1)  # nothing is told
    with pytest.raises(ConnectionRefusedError):
        sender.send(b"x")


def test_so_many_packets_wait(datagrams):
    """Of several senders; a further one would have to wait."""
    senders = [datagrams.sender(blocking=False) for _ in range(4)]
    each = iter(range(1 << 20))
    assert taken(lambda: senders[next(each) % 4].send(b"x")) == sysctl("net.unix.max_dgram_qlen") + 1
    for sender in senders:
        with pytest.raises(BlockingIOError):
            sender.send(b"x")
    datagrams.receiver.recv(1)
    senders[0].send(b"x")


def test_so_many_connections_wait(folder):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen(3)
        clients = []

        def connect():
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].setblocking(False)
            clients[-1].connect(str(folder / "s"))

        assert taken(connect) == 4
        for client in clients:
            client.close()


def test_the_largest_packet(datagrams):
    sender = datagrams.sender(blocking=False)
    # Twice what is asked for, as socket(7) says; and 212992 is net.core.wmem_default of the kernel.
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 106496)
    assert sender.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 212992
    sender.send(b"x" * 212960)
    with pytest.raises(OSError, match="Message too long"):
        sender.send(b"x" * 212961)
    assert len(datagrams.receiver.recv(1 << 20)) == 212960
    assert taken(lambda: sender.send(b"x" * 65536)) == 4


@ROOT_ONLY
def test_a_change_of_mode_does_not_end_what_is_connected(start_guard):
    guard = start_guard({})
    with guard.connect(as_=ALICE) as client:
        guard.socket_path.chmod(0o600)
        with pytest.raises(PermissionError):
            guard.connect(as_=ALICE)
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}


@ROOT_ONLY
def test_many_senders_to_one_receiver(datagrams):
    """Six processes of three users: each packet is whole, and each sender's are in their order."""
    os.chmod(datagrams.path, 0o666)
    count = 500
    code = ("import os, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(sys.argv[1])\n"
            f"for n in range({count}): s.send(b'%d %d ' % (os.getpid(), n) + b'x' * n)\n")
    users = [ALICE, BOB, CAROL] * 2
    senders = [subprocess.Popen([sys.executable, "-I", "-c", code, datagrams.path],
                                preexec_fn=user.take) for user in users]
    got = collections.defaultdict(list)
    for _ in range(count * len(senders)):
        pid, number, rest = datagrams.receiver.recv(1000).split(b" ")
        assert rest == b"x" * int(number)
        got[int(pid)].append(int(number))
    assert got == {sender.pid: list(range(count)) for sender in senders}
    assert [sender.wait(PATIENCE) for sender in senders] == [0] * len(senders)


def test_a_path_belongs_to_one_socket(datagrams):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as second:
            with pytest.raises(OSError, match="Address already in use"):
                second.bind(datagrams.path)


@ROOT_ONLY
def test_an_abstract_name_has_no_file_and_no_owner():
    name = f"\0postern-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(name)
        code = ("import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                "s.connect('\\0' + sys.argv[1]); s.send(b'x')")
        done = run_as(Identity(64009, 64009), [sys.executable, "-I", "-c", code, name[1:]])
        assert (done.returncode, done.stderr) == (0, "")
        assert made.recv(10) == b"x"
        with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
            assert "@" + name[1:] in file.read()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        with pytest.raises(ConnectionRefusedError):
            second.connect(name)
