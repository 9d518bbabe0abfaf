"""posternctl --datagram and posternctl notify, against a daemon that says what the test wants."""

import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

import harness
from fake_daemon import (JOB, PATIENCE, FakeDaemon, FakeDatagramDaemon, argument, described, error,
                         reply)
from harness import program, wait_until
from identity import ALICE, BOB, GAMES, popen_as, run_as
from posternctl import command, outcome

ROOT_ONLY = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")
ARGUMENTS = [argument("service", values=["nginx", "php-fpm"]), argument("count", "integer"),
             argument("force", "boolean"), argument("ports", "list", items="integer")]
STARTED = reply({"job": JOB})
PONG = [lambda call: [reply({"pong": call["parameters"]["ping"]})]]
SCRIPT = {"Ping": PONG, "Describe": [described(arguments=ARGUMENTS)], "Run": [STARTED],
          "Check": [reply({})], "WhoAmI": [reply({"uid": 5, "gid": 60, "groups": [], "pid": 77})]}
# What each verb that takes --datagram is called with.
VERBS = {"run": ["run", "web.restart"], "check": ["check", "web.restart"], "ping": ["ping"],
         "whoami": ["whoami"], "describe": ["describe", "web.restart"]}


def environment(box, **more):
    return {"PATH": "/usr/bin:/bin", "TMPDIR": str(box), **more}


def ctl(daemon, box, *words, as_=None, env=None, **kwargs):
    return run_as(as_, command(daemon, *words), env=env or environment(box), **kwargs)


def described_as(path, line):
    return f"posternctl: {path}: {line}\n"


# ---- The calls ----

def test_ping(folder, box):
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        code, out, err = outcome(ctl(daemon, box, "ping", "--datagram"))
        assert (code, err) == (0, "")
        assert re.fullmatch(re.escape(daemon.path) + r": answered in \d+\.\d\d ms\n", out)
        done = json.loads(ctl(daemon, box, "--datagram", "--json", "ping").stdout)
        assert done.pop("roundTripMicroseconds") > 0
        assert done == {"pong": "posternctl"}
        # One packet without a terminator, and the reply came the same way.
        assert daemon.packets[0] == (b'{"method":"org.postern.Actions.Ping",'
                                     b'"parameters":{"ping":"posternctl"}}')


def test_run_starts_the_job_and_names_it(folder, box):
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        done = ctl(daemon, box, "run", "--datagram", "web.restart", "service=nginx", "count=-12",
                   "force=true", "ports=80", "ports=x")
        assert outcome(done) == (0, f"{JOB}\n", "")
        assert daemon.calls == [
            {"method": "org.postern.Actions.Describe", "parameters": {"action": "web.restart"}},
            {"method": "org.postern.Actions.Run",
             "parameters": {"action": "web.restart",
                            "arguments": {"service": "nginx", "count": -12, "force": True,
                                          "ports": [80, "x"]}}}]
        # An address for each call, so that no late answer is taken for that of another call.
        assert len(set(daemon.senders)) == 2
        done = ctl(daemon, box, "run", "--datagram", "--json", "web.restart")
        assert outcome(done) == (0, f'{{"job":"{JOB}"}}\n', "")


def test_describe_check_and_whoami(folder, box):
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        assert ctl(daemon, box, "describe", "--datagram", "web.restart").stdout.startswith(
            "web.restart - Does it\n\nArguments:\n  service  string; one of nginx, php-fpm\n")
        assert outcome(ctl(daemon, box, "check", "--datagram", "web.restart", "count=3")) == (
            0, "web.restart: would run\n", "")
        assert daemon.calls[-1] == {"method": "org.postern.Actions.Check", "parameters": {
            "action": "web.restart", "arguments": {"count": 3}}}
        assert outcome(ctl(daemon, box, "check", "--datagram", "--json", "web.restart")) == (
            0, "{}\n", "")
        assert outcome(ctl(daemon, box, "whoami", "--datagram")) == (0, """\
uid     5 (games)
gid     60 (games)
groups  none
pid     77
unit    not known
""", "")


ERRORS = [("NotGranted", 126), ("InvalidArgument", 122), ("InvalidMessage", 122),
          ("NotByDatagram", 122),
          ("LimitReached", 123), ("Unavailable", 123), ("StartFailed", 127),
          ("org.varlink.service.MethodNotFound", 125), ("org.varlink.service.InvalidParameter", 122)]


@pytest.mark.parametrize("name, code", ERRORS)
def test_an_error_has_the_exit_code_that_it_has_on_the_stream(folder, box, name, code):
    refusal = error(name, message="no\x1b such", action="web.restart")
    with FakeDatagramDaemon(folder, {method: [refusal] for method in SCRIPT}) as daemon:
        for words in VERBS.values():
            assert outcome(ctl(daemon, box, "--datagram", *words)) == (
                code, "", "posternctl: no\\u001b such\n")
            done = ctl(daemon, box, "--datagram", "--json", *words)
            assert (done.returncode, json.loads(done.stdout), done.stderr) == (code, refusal, "")


def test_without_a_description_values_are_strings(folder, box):
    denial = error("NotGranted", action="web.restart", message="denied")
    unavailable = error("Unavailable", message="later")
    with FakeDatagramDaemon(folder, {"Describe": [unavailable], "Run": [denial]}) as daemon:
        assert outcome(ctl(daemon, box, "run", "--datagram", "web.restart", "count=3")) == (
            126, "", "posternctl: denied\n")
        assert daemon.calls[1]["parameters"]["arguments"] == {"count": "3"}


@pytest.mark.parametrize("answer, said", [
    (b"hello", "the answer is not a valid reply: the reply is not JSON"),
    (b"[]", "the answer is not a valid reply: the reply is not a JSON object"),
    (b"", "the answer is not a valid reply: the reply is not JSON"),
    (b'{"parameters": {"pong": "other"}}',
     "the daemon's answer can't be understood: it does not echo what was sent"),
], ids=["text", "array", "empty", "pong"])
def test_an_answer_that_is_none(folder, box, answer, said):
    with FakeDatagramDaemon(folder, {"Ping": [answer]}) as daemon:
        assert outcome(ctl(daemon, box, "ping", "--datagram")) == (
            125, "", described_as(daemon.path, said))


def test_a_run_whose_answer_names_no_job(folder, box):
    with FakeDatagramDaemon(folder, {**SCRIPT, "Run": [reply({})]}) as daemon:
        assert outcome(ctl(daemon, box, "run", "--datagram", "web.restart")) == (
            125, "", described_as(daemon.path, "the daemon's answer can't be understood: it names no "
                                  "job"))


def test_the_longest_call_and_one_longer(folder, box):
    pieces = ["x=" + "y" * 4000] * 16
    bare = {"method": "org.postern.Actions.Run", "parameters": {
        "action": "a", "arguments": {"x": [piece[2:] for piece in pieces], "z": ""}}}
    fits = "z=" + "y" * (65536 - len(json.dumps(bare, separators=(",", ":"))))
    with FakeDatagramDaemon(folder, {**SCRIPT, "Run": [STARTED]}) as daemon:
        assert ctl(daemon, box, "run", "--datagram", "a", *pieces, fits).returncode == 0
        assert ctl(daemon, box, "notify", "a", *pieces, fits).returncode == 0
        wait_until(lambda: len(daemon.packets) == 3)
        assert [len(packet) for packet in daemon.packets[1:]] == [65536, 65536]
        too_long = described_as(daemon.path, "the call has 65537 bytes, but one datagram has at most 65536")
        assert outcome(ctl(daemon, box, "notify", "a", *pieces, fits + "y")) == (122, "", too_long)
        assert outcome(ctl(daemon, box, "run", "--datagram", "a", *pieces, fits + "y")) == (
            122, "", too_long.replace("\n", "; a was not started\n"))


# ---- Its own address ----

def test_the_address_is_private_and_gone_afterwards(folder, box):
    seen = []

    def look(call):
        path = pathlib.Path(daemon.senders[-1])
        seen.append((path, path.parent.lstat(), path.lstat()))
        return [reply({"pong": call["parameters"]["ping"]})]

    with FakeDatagramDaemon(folder, {"Ping": [look]}) as daemon:
        # A umask that would take everything away from everybody, oneself included.
        done = run_as(ALICE if harness.IS_ROOT else None,
                      ["/bin/sh", "-c", 'umask 0777; exec "$@"', "sh",
                       *command(daemon, "ping", "--datagram")], env=environment(box))
        assert (done.returncode, done.stderr) == (0, "")
    ((path, above, itself),) = seen
    assert re.fullmatch(re.escape(f"{box}/posternctl-") + r"[A-Za-z0-9]{6}/reply", str(path))
    uid = ALICE.uid if harness.IS_ROOT else os.geteuid()
    assert (stat.S_ISDIR(above.st_mode), stat.S_IMODE(above.st_mode), above.st_uid) == (
        True, 0o700, uid)
    assert (stat.S_ISSOCK(itself.st_mode), stat.S_IMODE(itself.st_mode), itself.st_size,
            itself.st_uid) == (True, 0o600, 0, uid)


def test_where_the_address_is_made(folder, box):
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        def folder_of(**env):
            done = run_as(None, command(daemon, "ping", "--datagram"),
                          env={"PATH": "/usr/bin:/bin", **env})
            assert (done.returncode, done.stderr) == (0, "")
            return os.path.dirname(os.path.dirname(daemon.senders[-1]))

        assert folder_of(XDG_RUNTIME_DIR=str(runtime), TMPDIR=str(box)) == str(runtime)
        assert folder_of(TMPDIR=str(box)) == str(box)
        assert folder_of(XDG_RUNTIME_DIR="", TMPDIR="") == "/tmp"
        # Not there, too long for an address, not absolute, writable by others: not usable.
        long = folder / ("x" * (100 - len(str(folder)) - 1))
        long.mkdir(mode=0o700)
        for bad in (folder / "none", long, "runtime", box):
            assert folder_of(XDG_RUNTIME_DIR=str(bad), TMPDIR=str(box)) == str(box)
        assert os.listdir(runtime) == os.listdir(long) == []
        # Nor are those in /tmp, where others may have theirs at this moment.
        assert not any(os.path.lexists(os.path.dirname(path)) for path in daemon.senders)


@ROOT_ONLY
def test_the_runtime_folder_of_another_user_is_not_used(folder, box):
    """As after `sudo -E`: its owner could put something else where the daemon answers."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.chown(runtime, ALICE.uid, ALICE.gid)
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        env = environment(box, XDG_RUNTIME_DIR=str(runtime))
        for who in (None, ALICE):
            assert ctl(daemon, box, "ping", "--datagram", as_=who, env=env).returncode == 0
        assert [os.path.dirname(os.path.dirname(path)) for path in daemon.senders] == [
            str(box), str(runtime)]
        assert os.listdir(runtime) == []


def test_a_folder_in_which_no_address_can_be_made(folder, box):
    loose = folder / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    (folder / "file").touch()
    long = folder / ("x" * (100 - len(str(folder)) - 1))
    long.mkdir()
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        for tmpdir, said in (
                (loose, f"TMPDIR: {loose}: others can write to it, and it has no sticky bit"),
                (folder / "none", f"TMPDIR: {folder}/none: No such file or directory"),
                (folder / "file", f"TMPDIR: {folder}/file: not a directory"),
                ("tmp", "TMPDIR: tmp: not an absolute path"),
                (long, f"{long}: too long: a socket in it would have a path of 124 bytes, "
                       "but the limit is 107; name another directory with TMPDIR")):
            assert outcome(ctl(daemon, box, "ping", "--datagram", env=environment(tmpdir))) == (
                125, "", f"posternctl: no answer can be received: {said}\n")
        assert daemon.calls == []


@ROOT_ONLY
def test_a_folder_of_somebody_else_or_without_permission(folder, box):
    others = folder / "others"
    others.mkdir()
    os.chown(others, BOB.uid, BOB.gid)
    closed = folder / "closed"
    closed.mkdir(mode=0o755)
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        for tmpdir, said in (
                (others, f"TMPDIR: {others}: it belongs to another user"),
                (closed, f"{closed}: can't create a directory in it: Permission denied; name another directory with TMPDIR")):
            assert outcome(ctl(daemon, box, "ping", "--datagram", as_=ALICE,
                               env=environment(tmpdir))) == (
                125, "", f"posternctl: no answer can be received: {said}\n")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_waits_leaves_nothing_behind(folder, box, verb, number, code):
    silent = {method: [] for method in SCRIPT}
    with FakeDatagramDaemon(folder, silent) as daemon:
        with popen_as(None, command(daemon, "--datagram", *VERBS[verb]), env=environment(box),
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            wait_until(lambda: daemon.calls)
            assert os.listdir(box) != []
            client.send_signal(number)
            out, err = client.communicate(timeout=PATIENCE)
    what = "web.restart was not started" if verb == "run" else "no answer had come"
    assert (client.returncode, out, err) == (code, "", f"posternctl: interrupted: {what}\n")


def test_interrupted_when_the_call_may_have_been_taken(folder, box):
    with FakeDatagramDaemon(folder, {**SCRIPT, "Run": []}) as daemon:
        with popen_as(None, command(daemon, "run", "--datagram", "web.restart"),
                      env=environment(box), stderr=subprocess.PIPE, text=True) as client:
            wait_until(lambda: len(daemon.calls) == 2)
            client.send_signal(signal.SIGINT)
            assert client.communicate(timeout=PATIENCE)[1] == (
                "posternctl: interrupted: whether web.restart was started is not known, no answer had "
                "come\n")
    assert client.returncode == 130


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_left_behind_when_nobody_reads_the_output(folder, box, verb):
    """SIGPIPE ends it; what was made for the answer is gone by then."""
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = ctl(daemon, box, "--datagram", *VERBS[verb], stdout=writer)
        finally:
            os.close(writer)
        assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_ctrl_c_ends_it_while_nobody_reads_the_output(folder, box):
    """A terminal or pipe that stands still must not make it deaf."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, b"x" * 4096):
            pass
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        with popen_as(None, command(daemon, "whoami", "--datagram"), env=environment(box),
                      stdout=writer) as client:
            wait_until(lambda: daemon.calls and os.listdir(box) == [])
            client.send_signal(signal.SIGINT)
            try:
                assert client.wait(PATIENCE) == -signal.SIGINT
            finally:
                client.kill()
    os.close(reader)
    os.close(writer)


# ---- Whose packets it takes ----

def test_only_the_daemon_can_answer(folder, box):
    """The kernel refuses everybody else, root and the client's own user included."""
    tried = []

    def intrude(call):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            try:
                stranger.sendto(b'{"parameters":{"pong":"posternctl"}}', daemon.senders[-1])
            except OSError as refused:
                tried.append(type(refused))
        return [error("NotGranted", message="the daemon's own")]

    with FakeDatagramDaemon(folder, {"Ping": [intrude]}) as daemon:
        assert outcome(ctl(daemon, box, "ping", "--datagram")) == (
            126, "", "posternctl: the daemon's own\n")
    assert tried == [PermissionError]


@ROOT_ONLY
def test_other_users_do_not_even_reach_the_address(folder, box):
    tried = []

    def intrude(call):
        done = run_as(BOB, ["/usr/bin/python3", "-I", "-c", "import socket, sys\n"
                            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                            "try: s.sendto(b'x', sys.argv[1])\n"
                            "except OSError as e: print(type(e).__name__)", daemon.senders[-1]])
        tried.append(done.stdout)
        return [reply({"pong": call["parameters"]["ping"]})]

    with FakeDatagramDaemon(folder, {"Ping": [intrude]}) as daemon:
        assert ctl(daemon, box, "ping", "--datagram", as_=ALICE).returncode == 0
    assert tried == ["PermissionError\n"]


# ---- Sockets that it can't send to ----

SENDERS = [["--datagram", "ping"], ["notify", "a"]]
both = pytest.mark.parametrize("words", SENDERS, ids=["datagram", "notify"])


@both
def test_no_such_socket(folder, box, words):
    path = folder / "none.dgram"
    assert outcome(ctl(path, box, *words)) == (125, "", described_as(
        path, "no such socket; is the daemon running, and is this the path that it listens on?"))
    path = folder / "none" / "s.dgram"
    assert outcome(ctl(path, box, *words)) == (125, "", described_as(
        path, f"no such socket: there is no directory {folder}/none; is the daemon running, and is this "
        "the path that it listens on?"))


@both
def test_nobody_receives(bound, box, words):
    made, path = bound(kind=socket.SOCK_DGRAM)
    made.close()
    assert outcome(ctl(path, box, *words)) == (125, "", described_as(
        path, "no program is listening there: the daemon that created this socket has exited"))


@both
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_a_socket_for_connections(bound, box, words, kind):
    _, path = bound(kind=kind)
    assert outcome(ctl(path, box, *words)) == (125, "", described_as(
        path, "wrong type of socket: it is a stream socket; --datagram and notify need the "
        "datagram socket"))


def test_a_stream_client_at_the_datagram_socket_and_the_reverse(folder, box):
    """Neither has any effect on the daemon."""
    with FakeDaemon(folder, SCRIPT) as stream, FakeDatagramDaemon(folder, SCRIPT) as datagrams:
        assert outcome(ctl(datagrams, box, "ping")) == (125, "", described_as(
            datagrams.path, "wrong type of socket: it is a datagram or seqpacket socket, posternctl "
            "needs a stream socket"))
        assert ctl(stream, box, "ping", "--datagram").returncode == 125
        assert (stream.connections, datagrams.packets) == (0, [])
        assert ctl(datagrams, box, "ping", "--datagram").returncode == 0


@both
def test_not_a_socket(folder, box, words):
    (folder / "file").touch()
    assert outcome(ctl(folder / "file", box, *words)) == (
        125, "", described_as(folder / "file", "not a socket but a regular file"))


@ROOT_ONLY
@both
def test_no_permission(bound, box, words):
    _, path = bound(kind=socket.SOCK_DGRAM, mode=0o660, uid=0, gid=100)
    assert outcome(ctl(path, box, *words, as_=GAMES)) == (125, "", described_as(
        path, 'no permission: only root and members of the group "users" may connect (mode 0660); ask '
        "the administrator: usermod -aG users games, then log in again (for a service: "
        "SupplementaryGroups=users in its unit)"))
    os.chmod(path, 0o755)
    assert outcome(ctl(path, box, *words, as_=GAMES)) == (125, "", described_as(
        path, "no permission: only root may connect (mode 0755: connecting needs write permission)"))


@ROOT_ONLY
@both
def test_a_folder_that_denies(folder, bound, box, words):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    _, path = bound(kind=socket.SOCK_DGRAM, parent=closed)
    assert outcome(ctl(path, box, *words, as_=ALICE)) == (125, "", described_as(
        path, f"no permission: only root may enter the directory {closed} (mode 0700)"))


@ROOT_ONLY
def test_with_the_permission_it_is_served(folder, box):
    with FakeDatagramDaemon(folder, SCRIPT, mode=0o660) as daemon:
        os.chown(daemon.path, 0, 64100)
        for words in SENDERS:
            assert ctl(daemon, box, *words, as_=ALICE).returncode == 0
            assert ctl(daemon, box, *words, as_=GAMES).returncode == 125


# ---- A full queue ----

def fill(path):
    """Sends until the kernel takes no more, and returns how many packets it took."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(path)
        for count in range(1 << 20):
            try:
                sender.send(b'{"method":"filler"}')
            except BlockingIOError:
                return count
    raise AssertionError("the queue has no end")


def is_waiting(process):
    """Whether it is in poll(2) or ppoll(2): a client that finds the queue full."""
    return pathlib.Path(f"/proc/{process.pid}/syscall").read_text().split()[0] in ("7", "73", "271")


@both
def test_a_full_queue_is_waited_for(bound, box, words):
    made, path = bound(kind=socket.SOCK_DGRAM)
    filled = fill(path)
    made.settimeout(PATIENCE)
    with popen_as(None, command(path, *words), env=environment(box), stdout=subprocess.PIPE,
                  stderr=subprocess.PIPE, text=True) as client:
        try:
            wait_until(lambda: is_waiting(client))
            assert client.poll() is None
            for _ in range(filled):
                assert made.recv(100) == b'{"method":"filler"}'
            packet, sender = made.recvfrom(1000)
            assert json.loads(packet)["method"].startswith("org.postern.Actions.")
            if sender:
                made.sendto(b'{"parameters":{"pong":"posternctl"}}', sender)
            out, err = client.communicate(timeout=PATIENCE)
        finally:
            client.kill()
    assert (client.returncode, err) == (0, "")
    made.setblocking(False)
    with pytest.raises(BlockingIOError):
        made.recv(100)  # sent once


@both
def test_a_queue_that_stays_full(bound, box, words):
    _, path = bound(kind=socket.SOCK_DGRAM)
    fill(path)
    done = ctl(path, box, *words)
    assert outcome(done) == (123, "", (
        f"posternctl: waiting for the daemon at {path}; its log shows why it does not answer\n"
        + described_as(path, "the daemon accepts no datagrams: its queue stayed full for 10 s")))


def test_interrupted_before_it_could_send(bound, box):
    made, path = bound(kind=socket.SOCK_DGRAM)
    fill(path)
    with popen_as(None, command(path, "run", "--datagram", "a"), env=environment(box),
                  stderr=subprocess.PIPE, text=True) as client:
        wait_until(lambda: is_waiting(client))
        client.send_signal(signal.SIGINT)
        assert client.communicate(timeout=PATIENCE)[1] == (
            "posternctl: interrupted: a was not started\n")
    assert client.returncode == 130


# ---- notify ----

def test_notify_sends_one_packet_and_does_not_wait(folder, box):
    go_on = threading.Event()
    with FakeDatagramDaemon(folder, {"Run": [go_on]}) as daemon:
        assert outcome(ctl(daemon, box, "notify", "disk.added", "device=/dev/sdb", "size:=512",
                           "removable:=true", 'ports:=[80, 443]', "name=a", "name=b", "x:y=1")) == (
            0, "", "")
        assert outcome(ctl(daemon, box, "notify", "--json", "disk.added")) == (
            0, '{"sent":true}\n', "")
        go_on.set()
        wait_until(lambda: len(daemon.calls) == 2)
        assert daemon.calls == [
            {"method": "org.postern.Actions.Run", "parameters": {
                "action": "disk.added", "arguments": {
                    "device": "/dev/sdb", "size": 512, "removable": True, "ports": [80, 443],
                    "name": ["a", "b"], "x:y": "1"}}},
            {"method": "org.postern.Actions.Run", "parameters": {"action": "disk.added"}}]
        assert daemon.senders == [None, None]


@pytest.mark.parametrize("words, said", [
    (["x:=1.5"], "x: the value must be text, an integer, true or false, or a list of these"),
    (["x:=null"], "x: the value must be text, an integer, true or false, or a list of these"),
    (["x:=[[1]]"], "x: the value must be text, an integer, true or false, or a list of these"),
    (["x:={}"], "x: the value must be text, an integer, true or false, or a list of these"),
    (["x:=1", "x:=2"], "x: given twice; write a list as NAME:=[1,2]"),
    (["x:=1", "x=2"], "x: given twice; write a list as NAME:=[1,2]"),
    ([":=1"], '":=1": write an argument as NAME=VALUE or NAME:=JSON'),
    (["x"], '"x": write an argument as NAME=VALUE'),
])
def test_notify_takes_no_value_that_the_daemon_would_have_to_refuse(folder, box, words, said):
    with FakeDatagramDaemon(folder, {}) as daemon:
        assert outcome(ctl(daemon, box, "notify", "a", *words)) == (2, "", f"posternctl: {said}\n")
        assert daemon.packets == []


def test_notify_keeps_to_the_limits_of_the_daemon(folder, box):
    """Text of 32 KiB and lists of 256: one more would be refused where nobody hears it."""
    with FakeDatagramDaemon(folder, {"Run": []}) as daemon:
        for fits, too_much, said in (
                (["x=" + "y" * 32768], ["x=" + "y" * 32769],
                 "x: a string of 32769 bytes is longer than the limit of 32768"),
                (["x=1"] * 256, ["x=1"] * 257, "x[256]: more than 256 elements")):
            assert outcome(ctl(daemon, box, "notify", "a", *fits)) == (0, "", "")
            assert outcome(ctl(daemon, box, "notify", "a", *too_much)) == (
                122, "", f"posternctl: notify: parameters.arguments.{said}\n")
        wait_until(lambda: len(daemon.packets) == 2)


@pytest.mark.parametrize("value", ["", "tru", "01", "[1", '{"a": 1, "a": 2}', "9007199254740993"])
def test_notify_says_what_is_no_json(box, value):
    done = ctl("/nonexistent", box, "notify", "a", "x:=" + value)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("posternctl: x: the value is not JSON: ")
    assert done.stderr.count("\n") == 1


# ---- Which socket ----

@pytest.mark.parametrize("words", [["ping", "--datagram"], ["notify", "a"]])
def test_exactly_one_socket_is_tried(folder, box, words):
    def refused(*more, **env):
        done = run_as(None, [program("posternctl"), *more, *words], env=environment(box, **env))
        assert (done.returncode, done.stdout) == (125, "")
        return done.stderr.partition("posternctl: ")[2].partition(": ")[0]

    # The stream socket is there, and is not what was asked for.
    (folder / "postern").mkdir()
    with FakeDaemon(folder, SCRIPT) as stream:
        os.rename(stream.path, folder / "postern/postern.sock")
        there = {"POSTERN_SOCKET": str(folder / "postern/postern.sock")}
        assert refused(**there) == "/run/postern/postern.dgram"
        assert refused(POSTERN_DATAGRAM="/x/d", **there) == "/x/d"
        assert refused(POSTERN_DATAGRAM="") == "/run/postern/postern.dgram"
        assert refused("--user", XDG_RUNTIME_DIR=str(folder), POSTERN_DATAGRAM="/x/d") == (
            f"{folder}/postern/postern.dgram")
        assert refused("--socket", "/x/s", POSTERN_DATAGRAM="/x/d") == "/x/s"
        assert refused("--user") == "--user"
        assert refused(POSTERN_DATAGRAM="x/d") == "POSTERN_DATAGRAM"
        assert stream.connections == 0


def test_no_daemon_of_the_system_or_of_ones_own(folder, box):
    def said(*words, **env):
        return run_as(None, [program("posternctl"), *words, "ping", "--datagram"],
                      env=environment(box, **env)).stderr

    if not os.path.exists("/run/postern"):
        assert said() == described_as(
            "/run/postern/postern.dgram", "no such socket: there is no directory /run/postern; it "
            "is stopped or not enabled, or its file was removed: systemctl restart posternd-datagram.socket, "
            "and for each boot systemctl enable posternd-datagram.socket (another "
            "socket: --socket PATH, or --user for a daemon of your own)")
    assert said("--user", XDG_RUNTIME_DIR=str(folder)) == described_as(
        f"{folder}/postern/postern.dgram", f"no such socket: there is no directory {folder}/postern; your own daemon is not running, or its socket file was removed: systemctl --user restart "
        "posternd-datagram.socket, or start one with posternd (the system's own: without "
        "--user)")


@pytest.mark.parametrize("words", [["list"], ["call", "a.b"], ["lint", "a"], ["status"], ["reload"],
                                   ["log-level", "info"], ["jobs", "--all"], ["notify", "a"]])
def test_verbs_that_have_no_datagram(words):
    done = run_as(None, [program("posternctl"), "--datagram", *words])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"posternctl: {words[0]}: --datagram does not apply here; it is for run, "
                                  f"describe, check, whoami and ping\nUsage: posternctl {words[0]}")


def test_the_help_names_the_option_where_it_is_one(box):
    for verb in ("run", "list", "describe", "check", "whoami", "ping", "call", "notify"):
        text = run_as(None, [program("posternctl"), verb, "--help"]).stdout
        assert ("\n  --datagram  " in text) == (verb in VERBS), verb
        assert ("$POSTERN_DATAGRAM" in text) == (verb in VERBS or verb == "notify"), verb
    general = run_as(None, [program("posternctl"), "--help"]).stdout
    assert "\nOptions of run, describe, check, whoami and ping:\n  --datagram  " in general
