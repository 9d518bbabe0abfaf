"""posternctl and sockets that it can't reach: the exact line and exit code of each."""

import json
import os
import pathlib
import socket
import subprocess

import pytest

import fake_daemon
import identity
from harness import program
from identity import ALICE, GAMES, run_as

USERS_GID = 100  # group "users" of every Debian


def ctl(*words, as_=None, env=None):
    return run_as(as_, [program("posternctl"), *map(str, words)],
                  env={"PATH": "/usr/bin:/bin", **(env or {})})


def assert_line(done, line, code=125):
    assert (done.stdout, done.stderr, done.returncode) == ("", f"posternctl: {line}\n", code)


def test_no_such_socket(folder):
    path = folder / "none.sock"
    assert_line(ctl("--socket", path, "ping"),
                f"{path}: no such socket; is the daemon running, and is this the path that it "
                "listens on?")


def test_no_such_folder(folder):
    path = folder / "none" / "s.sock"
    assert_line(ctl("--socket", path, "ping"),
                f"{path}: no such socket: there is no directory {folder}/none; is the daemon running, "
                "and is this the path that it listens on?")


def test_a_link_that_leads_nowhere(folder):
    path = folder / "s.sock"
    path.symlink_to(folder / "none")
    assert_line(ctl("--socket", path, "ping"),
                f"{path}: no such socket: the symbolic link points to nothing")


@pytest.mark.skipif(os.path.exists("/run/postern"), reason="a daemon is set up on this machine")
def test_no_such_socket_of_the_system():
    assert_line(ctl("ping"),
                "/run/postern/postern.sock: no such socket: there is no directory /run/postern; "
                "the socket file was removed, or the daemon is not set up: systemctl restart posternd.socket, and "
                "for each boot systemctl enable posternd.socket (another socket: --socket PATH, or "
                "--user for a daemon of your own)")


@pytest.mark.skipif(os.path.exists("/run/postern-admin"), reason="a daemon is set up on this machine")
def test_no_such_socket_of_the_administrators(folder):
    assert_line(ctl("status"),
                "/run/postern-admin/admin.sock: no such socket: there is no directory /run/postern-admin; "
                "the socket file was removed, or the daemon is not set up: systemctl restart "
                "posternd-admin.socket posternd.service, and for each boot systemctl enable "
                "posternd-admin.socket (another socket: --socket PATH, or --user for a daemon of your own)")
    (folder / "postern-admin").mkdir()
    assert_line(ctl("--user", "status", env={"XDG_RUNTIME_DIR": str(folder)}),
                f"{folder}/postern-admin/admin.sock: no such socket; your own daemon is not "
                "running, or its socket file was removed: systemctl --user restart posternd-admin.socket posternd.service, or "
                "start one with posternd (the system's own: without --user)")


def test_no_such_socket_of_the_user(folder):
    (folder / "postern").mkdir()
    assert_line(ctl("--user", "ping", env={"XDG_RUNTIME_DIR": str(folder)}),
                f"{folder}/postern/postern.sock: no such socket; your own daemon is not "
                "running, or its socket file was removed: systemctl --user restart posternd.socket, or start one with posternd "
                "(the system's own: without --user)")


def test_user_without_runtime_folder_is_no_fallback():
    assert_line(ctl("--user", "ping"),
                "--user: XDG_RUNTIME_DIR is not set, so it is not known where your own daemon listens; "
                "name its socket with --socket PATH")


def test_which_socket_counts(folder):
    """The option, else --user, else the variable; one that fails is never replaced by another."""
    script = {"Ping": [fake_daemon.reply({"pong": "posternctl"})]}
    with fake_daemon.FakeDaemon(folder, script) as daemon:
        env = {"POSTERN_SOCKET": daemon.path}
        assert ctl("ping", env=env).returncode == 0
        none = folder / "none.sock"
        assert ctl("--socket", none, "ping", env=env).stderr.startswith(f"posternctl: {none}: no such")
        assert ctl("--user", "ping", env=env).stderr.startswith("posternctl: --user: XDG_RUNTIME")
        runtime = {**env, "XDG_RUNTIME_DIR": str(folder)}
        assert f"{folder}/postern/postern.sock: no such" in ctl("--user", "ping", env=runtime).stderr
        other = {"POSTERN_SOCKET": str(none)}
        assert ctl("ping", "--socket", daemon.path, env=other).returncode == 0
        assert ctl("ping", env=other).returncode == 125
        assert ctl("ping", env={"POSTERN_SOCKET": "", "XDG_RUNTIME_DIR": str(folder)}
                   ).stderr.startswith("posternctl: /run/postern/postern.sock: ")
        assert daemon.connections == 2


def test_nobody_listens(bound):
    _, path = bound(listen=False)
    assert_line(ctl("--socket", path, "ping"),
                f"{path}: no program is listening there: the daemon that created this socket has exited")


def test_a_datagram_socket(bound):
    _, path = bound(kind=socket.SOCK_DGRAM)
    assert_line(ctl("--socket", path, "ping"),
                f"{path}: wrong type of socket: it is a datagram or seqpacket socket, posternctl needs "
                "a stream socket")


@pytest.mark.parametrize("make, kind", [
    (pathlib.Path.touch, "a regular file"), (pathlib.Path.mkdir, "a directory"),
    (os.mkfifo, "a pipe")], ids=["file", "folder", "pipe"])
def test_not_a_socket(folder, make, kind):
    path = folder / "s.sock"
    make(path)
    assert_line(ctl("--socket", path, "ping"), f"{path}: not a socket but {kind}")


def test_a_file_in_the_path(folder):
    (folder / "file").touch()
    assert_line(ctl("--socket", folder / "file" / "s.sock", "ping"),
                f"{folder}/file/s.sock: {folder}/file is not a directory")


def test_a_path_that_is_not_absolute():
    assert_line(ctl("--socket", "s.sock", "ping"),
                "--socket: s.sock: not an absolute path; the path of a socket begins with /")
    assert_line(ctl("ping", env={"POSTERN_SOCKET": "@postern"}),
                "POSTERN_SOCKET: @postern: not an absolute path; the path of a socket begins with /")
    assert_line(ctl("--socket", "", "ping"), "--socket: the path of the socket is empty")


def test_the_longest_path_and_one_longer(folder):
    path = str(folder) + "/" + "x" * (106 - len(str(folder)))
    assert len(path) == 107
    assert_line(ctl("--socket", path, "ping"),
                f"{path}: no such socket; is the daemon running, and is this the path that it "
                "listens on?")
    assert_line(ctl("--socket", path + "x", "ping"),
                f"--socket: {path}x: too long: 108 bytes, but the path of a Unix socket has at most 107")


PERMISSIONS = [
    # mode, owner, group, who asks, what is said after "no permission: "
    (0o660, 0, USERS_GID, GAMES,
     'only root and members of the group "users" may connect (mode 0660); ask the administrator: '
     "usermod -aG users games, then log in again"),
    (0o660, 0, USERS_GID, ALICE,
     'only root and members of the group "users" may connect (mode 0660); ask the administrator: '
     "usermod -aG users YOUR-USER, then log in again"),
    (0o660, 5, USERS_GID, ALICE,
     'only games, root and members of the group "users" may connect (mode 0660); ask the '
     "administrator: usermod -aG users YOUR-USER, then log in again"),
    (0o660, 0, 0, ALICE, "only root may connect (mode 0660)"),
    (0o660, 0, 64999, ALICE,
     "only root and members of the group gid 64999 may connect (mode 0660)"),
    (0o600, 0, 0, ALICE, "only root may connect (mode 0600)"),
    # Reading is not what connecting needs.
    (0o640, 0, USERS_GID, ALICE, "only root may connect (mode 0640)"),
    (0o644, 0, USERS_GID, ALICE,
     "only root may connect (mode 0644: connecting needs write permission)"),
    (0o600, 5, 60, ALICE, "only games and root may connect (mode 0600)"),
    (0o600, 64777, 60, ALICE, "only uid 64777 and root may connect (mode 0600)"),
    (0o755, 0, 0, ALICE, "only root may connect (mode 0755: connecting needs write permission)"),
    (0o755, 5, 60, ALICE,
     "only games and root may connect (mode 0755: connecting needs write permission)"),
    (0o400, 64001, 0, ALICE,
     "mode 0400 denies its own owner; connecting needs write permission"),
    (0o606, 0, 64100, ALICE,
     "mode 0606 denies members of its group; connecting needs write permission"),
]


@pytest.mark.needs_root
@pytest.mark.parametrize("mode, uid, gid, who, said", PERMISSIONS)
def test_no_permission(bound, mode, uid, gid, who, said):
    _, path = bound(mode=mode, uid=uid, gid=gid)
    assert_line(ctl("--socket", path, "ping", as_=who), f"{path}: no permission: {said}")


@pytest.mark.needs_root
def test_with_the_permission_it_connects(folder):
    script = {"Ping": [fake_daemon.reply({"pong": "posternctl"})]}
    with fake_daemon.FakeDaemon(folder, script, mode=0o660) as daemon:
        os.chown(daemon.path, 0, 64100)
        assert ctl("--socket", daemon.path, "ping", as_=ALICE).returncode == 0
        assert ctl("--socket", daemon.path, "ping", as_=identity.CAROL).returncode == 125


@pytest.mark.needs_root
@pytest.mark.parametrize("mode, gid, who, said", [
    (0o750, USERS_GID, GAMES,
     'only root and members of the group "users" may enter the directory FOLDER (mode 0750); ask the '
     "administrator: usermod -aG users games, then log in again"),
    (0o700, 0, ALICE, "only root may enter the directory FOLDER (mode 0700)"),
    (0o744, 0, ALICE, "only root may enter the directory FOLDER (mode 0744)"),
])
def test_a_folder_that_denies(folder, bound, mode, gid, who, said):
    closed = folder / "closed"
    closed.mkdir()
    _, path = bound(parent=closed)
    os.chown(closed, 0, gid)
    closed.chmod(mode)
    assert_line(ctl("--socket", path, "ping", as_=who),
                f"{path}: no permission: {said.replace('FOLDER', str(closed))}")


def test_closed_without_an_answer(folder):
    refused = ("the daemon closed the connection without an answer: it does not serve this "
               "caller, or a limit is reached; the administrator finds the reason in its audit")
    script = {name: [fake_daemon.CLOSE] for name in ("Ping", "List", "Describe", "WhoAmI")}
    with fake_daemon.FakeDaemon(folder, script) as daemon:
        for words in (["ping"], ["list"], ["describe", "a"], ["run", "a"], ["check", "a"],
                      ["whoami"], ["call", "org.postern.Actions.Ping"]):
            assert_line(ctl("--socket", daemon.path, *words), f"{daemon.path}: {refused}")


def test_refused_at_once(folder):
    """A guard that refuses closes at accept, maybe before the call is sent."""
    path = str(folder / "s.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(4)
    with listener, identity.popen_as(
            None, [program("posternctl"), "--socket", path, "ping"],
            stderr=identity.subprocess.PIPE, text=True) as client:
        for _ in range(2):  # it asks once more: it might have met a guard that was leaving
            listener.accept()[0].close()
        assert client.communicate(timeout=60)[1].startswith(
            f"posternctl: {path}: the daemon closed the connection without an answer: ")
        assert client.returncode == 125


@pytest.mark.parametrize("answer, said", [
    (b'{"parameters": {"po', "the daemon closed the connection during the call"),
    (b"hello\0", "the answer is not a valid reply: "),
    (b"[]\0", "the answer is not a valid reply: "),
    (b'{"parameters": {"pong": "other"}}\0',
     "the daemon's answer can't be understood: it does not echo what was sent"),
], ids=["half", "text", "array", "pong"])
def test_an_answer_that_is_none(folder, answer, said):
    with fake_daemon.FakeDaemon(folder, {"Ping": [answer, fake_daemon.CLOSE]}) as daemon:
        done = ctl("--socket", daemon.path, "ping")
        assert done.stderr.startswith(f"posternctl: {daemon.path}: {said}")
        assert (done.stdout, done.stderr.count("\n"), done.returncode) == ("", 1, 125)


def test_a_daemon_that_does_not_answer_is_waited_for_and_that_is_said_once(folder):
    """Its socket takes the call, as systemd's does while the daemon can't start."""
    path = folder / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with identity.popen_as(None, [program("posternctl"), "--socket", str(path), "--json", "ping"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
            line = waiting.stderr.readline()
            assert line == (f"posternctl: waiting for the daemon at {path}; its log shows why it does not "
                            "answer\n")
            served, _ = listener.accept()
            with served:
                sent = json.loads(served.recv(4096).rstrip(b"\0"))["parameters"]["ping"]
                served.sendall(json.dumps({"parameters": {"pong": sent}}).encode() + b"\0")
                out, rest = waiting.communicate(timeout=60)
    assert (rest, "waiting" in out, waiting.returncode) == ("", False, 0)
