"""The guard's sockets: those that it binds itself, and those that are passed to it."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

import harness
from harness import program
from identity import ALICE, BOB, Identity, popen_as, run_as
from jobs import text_of

ROOT_ONLY = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")
HELLO = {"summary": "Greet", "exec": ["/usr/bin/printf", "Hi, %s\\n", "{name}"],
         "arguments": {"name": {"type": "string"}}, "allow": [{"everyone": True}]}
LIST_DESCRIPTORS = """
import os
for fd in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        print(fd, os.readlink("/proc/self/fd/" + fd))
    except FileNotFoundError:
        pass  # that of the listing itself
"""
FDS = {"summary": "Descriptors", "exec": ["/usr/bin/python3", "-I", "-c", LIST_DESCRIPTORS],
       "allow": [{"everyone": True}]}
SOCKET_ACTIVATE = next((p for p in ("/usr/bin/systemd-socket-activate",
                                    "/usr/lib/systemd/systemd-socket-activate")
                        if os.path.exists(p)), None)


def posternd(folder, *words, **kwargs):
    """Runs a guard that is expected to end by itself; returns its exit code and stderr."""
    command = [program("posternd"), "--actions", f"{folder}/actions", "--state", f"{folder}/state",
               "--audit", f"{folder}/audit"]
    if harness.IS_ROOT and kwargs.get("as_") is None:
        command += ["--session-user", harness.SESSION_USER]
    done = run_as(kwargs.pop("as_", None), [*command, *words], timeout=60, **kwargs)
    assert done.stdout == ""
    return done.returncode, done.stderr


NOT_ABSOLUTE = ("not an absolute path; start it with /, for example /run/postern/postern.sock")


def refusal(path, reason):
    return 1, f'posternd: critical: socket "{path}": {reason}\n'


@pytest.mark.parametrize("path, reason", [
    ("postern.sock", NOT_ABSOLUTE),
    ("./postern.sock", NOT_ABSOLUTE),
    ("@postern", "abstract addresses have no owner and no mode; give an absolute path"),
    ("/run/postern-none/", "a directory, not a file; name a file in it"),
    ("/run/postern-none/s", "/run/postern-none does not exist; create it or correct the path"),
    ("/etc/passwd/s", "/etc/passwd can't be opened: Not a directory"),
    ("/run/" + "x" * 103, "the path has 108 bytes; a socket's path may have at most 107"),
])
def test_an_address_that_can_not_be_bound_safely_is_refused(folder, path, reason):
    assert posternd(folder, "--socket", path) == refusal(path, reason)


@pytest.mark.parametrize("options, said", [
    (["--socket", "{0}/s", "--socket", "{0}/s"],
     '--socket: "{0}/s" is given twice; give each path once'),
    (["--socket", "{0}/s", "--socket", "{0}//./s"],
     '--socket: "{0}//./s" is given twice; give each path once'),
    (["--socket", "{0}/s", "--datagram", "{0}/s"],
     '"{0}/s" is given for --socket and for --datagram; give each its own path'),
    (["--socket", "{0}/s", "--admin-socket", "{0}/s"],
     '"{0}/s" is given for --socket and for --admin-socket; give each its own path'),
])
def test_one_path_for_two_sockets(folder, options, said):
    options = [option.format(folder) for option in options]
    assert posternd(folder, *options) == (
        2, f"posternd: {said.format(folder)}\nTry: posternd --help\n")


def test_the_longest_path_that_fits_is_served(start_guard, folder):
    path = f"{folder}/" + "x" * (107 - len(f"{folder}/"))
    start_guard({"hello": HELLO}, options=["--socket", path])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    assert len(path) == 107


ELSEWHERE = "; or give another path, because others could remove the socket there"


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("option", ["--socket", "--datagram", "--admin-socket"])
def test_a_folder_that_others_may_write_is_refused_unless_sticky(folder, start_guard, mode, option):
    loose = folder / "loose"
    loose.mkdir()
    loose.chmod(mode)
    path = loose / "s"
    words = ["--socket", str(folder / "first"), option, path]
    assert posternd(folder, *words) == refusal(
        path, f"{loose} can be written by users other than its owner (owned by uid {os.geteuid()}, mode "
              f"0{mode:o}); run: chmod go-w {loose}{ELSEWHERE}")
    loose.chmod(mode | 0o1000)
    guard = start_guard({"hello": HELLO}, options=[option, str(path)])
    assert stat.S_ISSOCK(path.lstat().st_mode)
    guard.stop()
    assert not path.exists()


@ROOT_ONLY
@pytest.mark.parametrize("mode", [0o755, 0o1755, 0o1777])
def test_a_folder_of_another_user_is_refused(folder, mode):
    foreign = folder / "foreign"
    foreign.mkdir()
    os.chown(foreign, ALICE.uid, ALICE.gid)
    foreign.chmod(mode)
    (foreign / "below").mkdir()
    for path in (foreign / "s", foreign / "below/s"):
        code, error = posternd(folder, "--socket", path)
        assert (code, error) == refusal(
            path, f"{foreign} is not owned by root (owned by uid 64001, mode 0{mode:o}); run: chown -h root "
                  f"{foreign}{ELSEWHERE}")
    # A link of another's leads elsewhere whenever its owner likes.
    link = folder / "link"
    link.symlink_to(folder)
    os.lchown(link, ALICE.uid, ALICE.gid)
    code, error = posternd(folder, "--socket", link / "s")
    assert code == 1 and f"{link} is not owned by root (owned by uid 64001, mode 0777)" in error
    assert os.listdir(foreign) == ["below"] and "s" not in os.listdir(folder)


@ROOT_ONLY
def test_no_permission_to_bind(folder):
    (folder / "actions").mkdir()
    path = folder / "s"
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    assert posternd(folder, "--socket", path, as_=ALICE, env=environment) == refusal(
        path, "no permission to create files in its directory (Permission denied); run as another user, "
        "or give another path")


@pytest.mark.parametrize("make, what", [
    (lambda p: p.symlink_to("/nowhere"), "a symbolic link"),
    (lambda p: p.write_text("mine"), "a regular file"),
    (lambda p: p.mkdir(), "a directory"),
    (os.mkfifo, "a file that is not a socket"),
])
def test_what_is_at_the_path_already_is_left_alone(folder, make, what):
    path = folder / "s"
    make(path)
    before = path.lstat()
    assert posternd(folder, "--socket", path) == refusal(
        path, f"there is {what} at that path; posternd leaves it alone, so remove it yourself")
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_ctime_ns) == (
        before.st_ino, before.st_mode, before.st_ctime_ns)


@pytest.mark.parametrize("kind, reason", [
    (socket.SOCK_STREAM, "another program is listening there"),
    (socket.SOCK_DGRAM, "another program is listening there"),
])
def test_a_living_socket_of_somebody_else_is_left_alone(folder, kind, reason):
    path = folder / "s"
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind == socket.SOCK_STREAM:
            other.listen()
        inode = path.lstat().st_ino
        assert posternd(folder, "--socket", path) == refusal(path, reason)
        assert path.lstat().st_ino == inode


@ROOT_ONLY
def test_a_stale_socket_of_somebody_else_is_left_alone(folder):
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
    os.chown(path, ALICE.uid, ALICE.gid)
    assert posternd(folder, "--socket", path) == refusal(
        path, f"there is a stale socket of uid {ALICE.uid}; posternd leaves it alone, so remove it yourself")
    assert path.lstat().st_uid == ALICE.uid


def test_two_guards_never_share_a_path(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    path = guard.socket_path
    inode = path.lstat().st_ino
    assert posternd(folder, "--socket", path) == refusal(
        path, f"another posternd uses it (it holds {path}.lock)")
    assert path.lstat().st_ino == inode
    with guard.connect() as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}


def test_after_kill_9_the_next_start_takes_the_socket_over(start_guard):
    guard = start_guard({"hello": HELLO})
    guard.kill()
    made = guard.socket_path.lstat().st_ctime_ns
    with pytest.raises(ConnectionRefusedError):
        guard.connect()
    guard.restart()
    assert guard.socket_path.lstat().st_ctime_ns > made
    with guard.connect() as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}


def test_a_socket_that_is_no_longer_its_own_is_not_removed(start_guard):
    guard = start_guard({"hello": HELLO})
    # In its place at once: where there is none, the guard binds another.
    other = guard.folder / "another"
    other.write_text("another's")
    other.rename(guard.socket_path)
    guard.process.send_signal(signal.SIGTERM)
    assert guard.wait() == 0
    assert guard.socket_path.read_text() == "another's"


@pytest.mark.parametrize("mode", ["0600", "0660", "0666", "0755", None])
def test_type_size_mode_and_group_of_the_socket_file(start_guard, mode):
    options = ["--socket-group", "games"] if harness.IS_ROOT else []
    guard = start_guard({"hello": HELLO}, socket_mode=mode, options=options)
    status = guard.socket_path.lstat()
    expected = 0o660 if mode is None else int(mode, 8)
    assert (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_size,
            status.st_uid) == (stat.S_IFSOCK, expected, 0, os.geteuid())
    if harness.IS_ROOT:
        assert status.st_gid == 60
    lock = os.lstat(f"{guard.socket_path}.lock")
    assert (stat.S_IMODE(lock.st_mode), lock.st_uid) == (0o600, os.geteuid())
    guard.stop()
    assert not os.path.exists(f"{guard.socket_path}.lock")


@ROOT_ONLY
@pytest.mark.parametrize("mode", ["0755", "0600"])
def test_who_may_not_write_to_the_socket_can_not_connect(start_guard, mode):
    guard = start_guard({"hello": HELLO}, socket_mode=mode)
    with pytest.raises(PermissionError):
        guard.connect(as_=ALICE)
    done = guard.ctl("ping", as_=ALICE)
    assert (done.returncode, done.stdout) == (125, "")
    assert str(guard.socket_path) in done.stderr
    with guard.connect() as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    assert guard.audit() == []


@ROOT_ONLY
def test_the_group_of_the_socket_may_connect_and_others_may_not(start_guard):
    guard = start_guard({"hello": HELLO}, socket_mode="0660", options=["--socket-group", "games"])
    with guard.connect(as_=Identity(ALICE.uid, ALICE.gid, (60,))) as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    with pytest.raises(PermissionError):
        guard.connect(as_=BOB)


def test_there_is_no_moment_at_which_the_mode_is_wider(start_guard, folder):
    trace = folder / "trace"
    guard = start_guard({"hello": HELLO}, socket_mode="0600", under=[
        "strace", "-f", "-y", "-e", "trace=fchmod,chmod,fchmodat,bind,listen,umask,socket", "-o", trace])
    # strace is what was started; it hands nothing on by itself.
    posternd_pid = int(re.match(r"\d+", trace.read_text()).group())
    os.kill(posternd_pid, signal.SIGTERM)
    assert guard.wait() == 0
    path = str(guard.socket_path)
    calls = [line.split(None, 1)[1] for line in trace.read_text().splitlines()
             if re.match(r"\d+\s+(fchmod|chmod|fchmodat|bind|listen)\(", line)]
    first = next(i for i, call in enumerate(calls) if call.startswith("bind(") and path in call)
    number = re.match(r"bind\((\d+)<", calls[first]).group(1)
    assert re.match(rf"fchmod\({number}<.*>, 0600\) += 0$", calls[first - 1]), calls
    assert re.match(rf"bind\({number}<.*>, {{sa_family=AF_UNIX, sun_path=\"{path}\"}}, 110\) += 0$",
                    calls[first]), calls
    assert re.match(rf"listen\({number}<.*>, 256\) += 0$", calls[first + 1]), calls
    assert not [call for call in calls if "chmod" in call and path in call.partition("bind")[0]
                and not call.startswith(f"fchmod({number}<")]


def test_ss_shows_who_listens(start_guard):
    guard = start_guard({"hello": HELLO})
    lines = [line for line in run_as(None, ["ss", "-Hxlp"]).stdout.splitlines()
             if str(guard.socket_path) in line]
    assert len(lines) == 1
    assert lines[0].split()[:2] == ["u_str", "LISTEN"]
    assert f'users:(("posternd",pid={guard.pid},' in lines[0]


def test_the_greeting_through_nc(start_guard):
    guard = start_guard({"hello": HELLO})
    line = ('{"method":"org.postern.Actions.Run","parameters":{"action":"hello",'
            '"arguments":{"name":"g1"}}}\n')
    done = run_as(ALICE if harness.IS_ROOT else None, ["nc", "-U", "-N", str(guard.socket_path)],
                  input=line)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r'\{"parameters":\{"job":"[0-9a-f]{32}","result":\{"cpuMicroseconds":\d+,"endedAt":\d+,'
        r'"exitCode":0,"maxResidentKiB":\d+,"outcome":"exited","startedAt":\d+\},'
        r'"stdout":"Hi, g1\\n"\}\}\n', done.stdout)


def test_a_line_in_a_buffer_padded_with_nul_bytes_is_served(start_guard):
    guard = start_guard({"hello": HELLO})
    with guard.connect() as client:
        line = b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}\n'
        for _ in range(3):
            client.send(line.ljust(4096, b"\0"))
            assert client.read_frame(b"\n") == b'{"parameters":{"pong":"x"}}'
        # And a message that ends in NUL, not in a newline, gets a NUL.
        client.send(line.rstrip(b"\n").ljust(4096, b"\0"))
        assert client.read_frame(b"\0") == b'{"parameters":{"pong":"x"}}'


def test_a_datagram_client_at_the_stream_socket(start_guard):
    guard = start_guard({"hello": HELLO})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        with pytest.raises(OSError) as caught:
            client.connect(str(guard.socket_path))
    assert os.strerror(caught.value.errno) == "Protocol wrong type for socket"
    with guard.connect() as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    assert guard.audit() == []


# Closes 0, 1 and 2, and becomes its arguments.
WITHOUT_STANDARD = "import os, sys; os.closerange(0, 3); os.execv(sys.argv[1], sys.argv[1:])"


def test_started_without_0_1_and_2_jobs_have_exactly_these(start_guard):
    guard = start_guard({"fds": FDS, "hello": HELLO},
                        under=[sys.executable, "-I", "-c", WITHOUT_STANDARD])
    assert [os.readlink(f"/proc/{guard.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    with guard.connect() as client:
        replies = client.run("fds")
        assert re.fullmatch(r"0 /dev/null\n1 pipe:\[(\d+)\]\n2 pipe:\[(?!\1)\d+\]\n", text_of(replies))


# ---- Sockets that are passed ----

def passed(folder, *, name="s", make=None, env=None):
    """Starts a guard with descriptor 3 passed as systemd would; returns its exit code and stderr."""
    def give():
        os.dup2(made.fileno(), 3, inheritable=True)
        os.environ["LISTEN_PID"] = str(os.getpid())

    launcher = ("import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); "
                "os.execv(sys.argv[1], sys.argv[1:])")
    made = make()
    command = [sys.executable, "-I", "-c", launcher, program("posternd"), "--actions",
               f"{folder}/actions", "--state", f"{folder}/state", "--audit", f"{folder}/audit"]
    if harness.IS_ROOT:
        command += ["--session-user", harness.SESSION_USER]
    with made, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "LISTEN_FDS": "1", "LISTEN_FDNAMES": name, **(env or {})},
            preexec_fn=give, close_fds=False, text=True) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert stdout == ""
    return process.returncode, stderr


def unix(kind=socket.SOCK_STREAM):
    return socket.socket(socket.AF_UNIX, kind)


def listening_on_ip():
    made = socket.socket(socket.AF_INET)
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


@pytest.mark.parametrize("make, reason", [
    (lambda: open("/etc/passwd", "rb"), "not a socket"),
    (listening_on_ip, "not a Unix socket; give ListenStream= an absolute path"),
    (lambda: unix(socket.SOCK_DGRAM), "not a stream socket; use ListenStream="),
    (lambda: unix(socket.SOCK_SEQPACKET), "not a stream socket; use ListenStream="),
    (unix, "not listening; use ListenStream= with Accept=no"),
])
def test_a_passed_descriptor_that_does_not_fit_is_refused_by_name(folder, make, reason):
    (folder / "actions").mkdir()
    assert passed(folder, name="door", make=make) == (
        1, f'posternd: critical: passed descriptor 3 ("door") is refused: it is {reason}\n')


@pytest.mark.skipif(SOCKET_ACTIVATE is None, reason="needs systemd-socket-activate")
def test_two_named_sockets_of_systemd(folder):
    (folder / "actions").mkdir()
    (folder / "actions/hello.json").write_text(
        '{"summary": "Greet", "exec": ["/bin/echo", "hi"], "allow": [{"everyone": true}]}')
    paths = [f"{folder}/one.sock", f"{folder}/two.sock"]
    command = [SOCKET_ACTIVATE, "-l", paths[0], "-l", paths[1], "--fdname=one:two",
               program("posternd"), "--actions", f"{folder}/actions", "--state", f"{folder}/state",
               "--audit", f"{folder}/audit"]
    if harness.IS_ROOT:
        command += ["--session-user", harness.SESSION_USER]
    with open(folder / "stderr", "wb") as stderr, popen_as(
            None, command, stderr=stderr, stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"}) as process:
        try:
            harness.wait_until(lambda: b"Listening on " + paths[1].encode()
                               in (folder / "stderr").read_bytes())
            for path in paths:
                done = run_as(None, [program("posternctl"), "--socket", path, "run", "hello"])
                assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    log = (folder / "stderr").read_text()
    for path in paths:
        assert f"posternd: listening on {path}\n" in log
        # They are systemd's, and stay.
        assert stat.S_ISSOCK(os.lstat(path).st_mode)


def test_without_any_socket_it_says_what_to_do(folder):
    (folder / "actions").mkdir()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    if not harness.IS_ROOT:
        pytest.skip("an ordinary user's guard has a socket by default")
    assert posternd(folder, env=environment) == (
        3, "posternd: critical: no socket to listen on: start it through its socket unit "
        "(systemctl start posternd.socket), or give --socket PATH\n")


@ROOT_ONLY
def test_a_user_service_without_its_sockets_opens_none(folder):
    """They were stopped: only a daemon that its user starts by hand has sockets by default."""
    runtime = folder / "runtime"
    runtime.mkdir()
    os.chown(runtime, ALICE.uid, ALICE.gid)
    service = ["/bin/sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh", program("posternd")]
    done = run_as(ALICE, service, timeout=60,
                  env={"PATH": "/usr/bin:/bin", "HOME": str(runtime), "XDG_RUNTIME_DIR": str(runtime)})
    assert (done.returncode, done.stdout, done.stderr) == (
        3, "", "posternd: critical: no socket to listen on: start it through its socket unit "
        "(systemctl --user start posternd.socket), or give --socket PATH\n")
    assert not list(runtime.rglob("*.sock")) and not list(runtime.rglob("*.dgram"))


@pytest.mark.skipif(SOCKET_ACTIVATE is None, reason="needs systemd-socket-activate")
@ROOT_ONLY
def test_the_administrators_socket_alone_is_served(folder):
    (folder / "actions").mkdir()
    path = f"{folder}/admin.sock"
    command = [SOCKET_ACTIVATE, "-l", path, "--fdname=postern-admin", program("posternd"),
               "--actions", f"{folder}/actions", "--state", f"{folder}/state", "--audit", f"{folder}/audit",
               "--session-user", harness.SESSION_USER]
    with open(folder / "stderr", "wb") as stderr, popen_as(
            None, command, stderr=stderr, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"}) as process:
        try:
            harness.wait_until(lambda: b"Listening on " + path.encode() in (folder / "stderr").read_bytes())
            done = run_as(None, [program("posternctl"), "--socket", path, "status"])
            assert (done.returncode, done.stderr) == (0, "")
            assert f"{path} (administrator); none for callers: posternd.socket is stopped\n" in done.stdout
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
