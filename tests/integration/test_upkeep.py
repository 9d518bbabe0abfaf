"""What the guard depends on is taken away while it runs: socket files, the state directory, the audit;
and signals that nobody meant for it."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess

import pytest

import harness
import wire
from actions import EVERYONE, HELLO, script
from harness import program, wait_until
from identity import ALICE, popen_as, run_as
from processes import helpers, sessions, stopped
from small_disk import fill, tmpfs
from test_sockets import SOCKET_ACTIVATE

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

UNAVAILABLE = {"error": "org.postern.Actions.Unavailable", "parameters": {"message":
    "no job can be started at the moment: its record or its audit can't be written; try again later, "
    "the administrator finds more in the log"}}


@pytest.fixture(name="start")
def with_administrator(start_guard, folder):
    """A guard with all three sockets, in a directory that is its own, and posternctl of root on it."""
    def begin(actions=None, **kwargs):
        kwargs.setdefault("options", [])
        kwargs["options"] = [*kwargs["options"], "--admin-socket", str(folder / "admin.sock")]
        guard = start_guard(actions or {"hello": HELLO}, datagrams=True, **kwargs)
        guard.admin_path = folder / "admin.sock"
        return guard
    return begin


def admin(guard, *words):
    """posternctl on the administrator's socket: exit code, standard output, standard error."""
    done = run_as(None, [program("posternctl"), "--socket", str(guard.admin_path), *words])
    return done.returncode, done.stdout, done.stderr


def problems(guard):
    code, out, err = admin(guard, "--json", "status")
    assert (code, err) == (0, "")
    return [(one["about"], one["message"]) for one in json.loads(out)["problems"]]


def said(guard, text):
    """What the log has of it: waits until it is there."""
    wait_until(lambda: text in guard.stderr(), what=f"{text!r} in the log")


def run_hello(guard):
    done = guard.ctl("run", "hello", as_=ALICE)
    return done.returncode, done.stdout


def watchers(guard):
    """Its inotify instances (proc_pid_fdinfo(5))."""
    return [fd for fd in pathlib.Path(f"/proc/{guard.pid}/fd").iterdir()
            if os.readlink(fd) == "anon_inode:inotify"]


HI = (0, "hi\n")
UNREACHED = " (its own file was removed or replaced, so callers can't reach the daemon there)"
BOUND_AGAIN = "its file was removed or replaced: bound again; open connections continue"


# ---- Socket files ----

@pytest.mark.parametrize("how", [
    os.unlink,
    lambda path: os.rename(path, f"{path}.old"),
    lambda path: (os.unlink(path), os.unlink(f"{path}.lock")),
], ids=["removed", "renamed", "with its lock"])
def test_a_socket_that_went_is_bound_again(start, how):
    guard = start(options=["--socket-group", "daemon"], socket_mode="0662")
    gid = os.stat(guard.socket_path).st_gid
    with guard.connect(as_=ALICE) as client:
        for path in (guard.socket_path, guard.datagram_path, guard.admin_path):
            before = os.lstat(path)
            how(path)
            said(guard, f"socket {path}: {BOUND_AGAIN}\n")
            after = os.lstat(path)
            assert stat.S_ISSOCK(after.st_mode)
            assert (before.st_mode, before.st_uid, before.st_gid) == (
                after.st_mode, after.st_uid, after.st_gid)
            assert before.st_ino != after.st_ino
            wait_until(lambda path=path: holds_lock(guard, f"{path}.lock"), what="it holds the lock again")
        assert gid == after.st_gid or guard.admin_path == path
        # Who was connected is served as before.
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    assert run_hello(guard) == HI
    done = guard.ctl("notify", "hello", env={"POSTERN_DATAGRAM": str(guard.datagram_path)})
    assert (done.returncode, done.stderr) == (0, "")
    # Its packet came there.
    guard.wait_audit(event="call-refused", uid=0, listener=str(guard.datagram_path),
                     reason="the action is not for the datagram socket")
    assert problems(guard) == []
    second = harness.Guard({}, options=["--admin-socket", str(guard.admin_path)]).launch()
    assert second.wait() == 1
    assert "another posternd uses it" in second.stderr()
    second.close(check=False)


def holds_lock(guard, path):
    """Whether it has this file open, which lies there, with a lock (proc_pid_fdinfo(5))."""
    for fd in pathlib.Path(f"/proc/{guard.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(fd) == path:
                return "\nlock:" in pathlib.Path(f"/proc/{guard.pid}/fdinfo/{fd.name}").read_text("ascii")
    return False


def test_a_lock_that_went_is_taken_again(start):
    guard = start()
    for path in (guard.socket_path, guard.datagram_path, guard.admin_path):
        lock = f"{path}.lock"
        os.unlink(lock)
        wait_until(lambda lock=lock: holds_lock(guard, lock), what="it holds the lock again")
        assert stat.S_IMODE(os.stat(lock).st_mode) == 0o600
    assert problems(guard) == []
    assert "bound again" not in guard.stderr()


def test_a_renamed_socket_is_served_too_and_may_come_back(start):
    guard = start()
    old = f"{guard.socket_path}.old"
    os.rename(guard.socket_path, old)
    said(guard, f"socket {guard.socket_path}: {BOUND_AGAIN}\n")
    for path in (old, str(guard.socket_path)):
        with wire.WireClient(path, as_=ALICE) as client:
            assert client.call("Ping", {"ping": path}) == {"parameters": {"pong": path}}
    os.rename(old, guard.socket_path)
    assert problems(guard) == []
    assert run_hello(guard) == HI


def datagram(client, server, message):
    client.sendto(json.dumps(message).encode(), str(server))
    return json.loads(client.recv(65536))


def test_a_datagram_socket_that_was_bound_again_answers_from_there(start, box):
    guard = start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as early, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as late:
        for client, name in ((early, "early"), (late, "late")):
            client.bind(str(box / name))
            client.settimeout(harness.PATIENCE)
        early.connect(str(guard.datagram_path))
        guard.datagram_path.unlink()
        said(guard, f"socket {guard.datagram_path}: {BOUND_AGAIN}\n")
        late.connect(str(guard.datagram_path))
        # Each gets nothing but what comes from the socket that it is connected to (unix(7)).
        for client in (early, late):
            client.send(b'{"method": "org.postern.Actions.Ping", "parameters": {"ping": "x"}}')
            assert json.loads(client.recv(65536)) == {"parameters": {"pong": "x"}}
        for name in ("early", "late"):
            (box / name).unlink()


def test_a_directory_that_was_removed_and_made_again(start, folder):
    places = [folder / "one/two", folder / "one"]
    places[0].mkdir(parents=True)
    path = places[0] / "s.sock"
    guard = start(options=["--socket", str(path)])
    harness.remove_folder(folder / "one")
    said(guard, f"error: socket \"{path}\": ")
    about, message = problems(guard)[0]
    assert about == "socket" and "does not exist" in message and message.endswith(UNREACHED)
    places[0].mkdir(parents=True)
    said(guard, f"socket {path}: {BOUND_AGAIN}\n")
    with wire.WireClient(str(path), as_=ALICE) as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    assert problems(guard) == []
    guard.stop()
    shutil.rmtree(folder / "one")


@pytest.mark.parametrize("make, why", [
    (lambda path: path.write_text(""),
     "there is a regular file at that path; posternd leaves it alone, so remove it yourself"),
    (lambda path: path.symlink_to("/nowhere"),
     "there is a symbolic link at that path; posternd leaves it alone, so remove it yourself"),
    (lambda path: path.mkdir(), "there is a directory at that path; posternd leaves it alone, so remove it yourself"),
])
def test_where_something_else_lies_it_is_said_until_that_is_gone(start, make, why):
    guard = start()
    path = guard.socket_path
    # While the daemon stands still: it sees no moment at which the path is free.
    with stopped(guard.pid):
        path.unlink()
        make(path)
    problem = f"socket \"{path}\": {why}{UNREACHED}"
    said(guard, f"error: {problem}\n")
    assert problems(guard) == [("socket", problem)]
    code, out, err = admin(guard, "status")
    assert code == 0 and problem in " ".join(out.split()) and err == ""
    code, out, err = admin(guard, "reload")
    assert (code, err) == (1, f"posternctl: {problem}\n")
    assert guard.stderr().count(problem) == 1
    (os.unlink if path.is_symlink() or path.is_file() else os.rmdir)(path)
    said(guard, f"socket {path}: {BOUND_AGAIN}\n")
    said(guard, f"socket {path}: callers can reach the daemon there again\n")
    assert admin(guard, "reload")[0] == 0
    assert run_hello(guard) == HI


def test_another_programs_socket_is_left_alone(start):
    guard = start()
    path = str(guard.socket_path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{path}.other")
        other.listen()
        os.rename(f"{path}.other", path)
        said(guard, f"socket \"{path}\": another program is listening there{UNREACHED}\n")
        assert stat.S_ISSOCK(os.lstat(path).st_mode)
        assert problems(guard)[0][0] == "socket"
        other.settimeout(harness.PATIENCE)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            other.accept()[0].close()  # the guard's own attempt
            other.accept()[0].close()
    # Its own uid's, and nobody listens: stale, as at a start.
    assert problems(guard) == []
    assert run_hello(guard) == HI


def test_without_inotify_a_reload_and_the_status_look(start, folder):
    """As where a mount over the directory hides it, of which inotify tells nothing."""
    hidden = folder / "hidden"
    hidden.mkdir()
    path = hidden / "s.sock"
    guard = start(options=["--socket", str(path)])
    subprocess.run(["mount", "-t", "tmpfs", "none", str(hidden)], check=True)
    try:
        assert not path.exists()
        assert admin(guard, "reload")[0] == 0
        said(guard, f"socket {path}: {BOUND_AGAIN}\n")
        with wire.WireClient(str(path), as_=ALICE) as client:
            assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        guard.stop()
    finally:
        subprocess.run(["umount", str(hidden)], check=True)
    for name in os.listdir(hidden):
        (hidden / name).unlink()


@pytest.mark.skipif(SOCKET_ACTIVATE is None, reason="needs systemd-socket-activate")
@pytest.mark.parametrize("how", [os.unlink, lambda path: os.rename(path, f"{path}.old")])
def test_what_is_systemds_is_said_with_the_command_that_mends_it(folder, how):
    (folder / "actions").mkdir()
    paths = {name: f"{folder}/{name}.sock" for name in ("callers", "admin")}
    command = [SOCKET_ACTIVATE, "-l", paths["callers"], "-l", paths["admin"],
               "--fdname=postern:postern-admin", program("posternd"), "--actions",
               f"{folder}/actions", "--state", f"{folder}/state", "--audit", f"{folder}/audit",
               "--session-user", harness.SESSION_USER]
    log = folder / "stderr"

    def ctl(path, *words):
        done = run_as(None, [program("posternctl"), "--socket", path, *words])
        return done.returncode, done.stdout, done.stderr

    with open(log, "wb") as stderr, popen_as(None, command, stderr=stderr, stdin=subprocess.DEVNULL,
                                             env={"PATH": "/usr/bin:/bin"}) as process:
        try:
            wait_until(lambda: f"Listening on {paths['admin']}" in log.read_text())
            assert ctl(paths["admin"], "reload")[0] == 0
            how(paths["callers"])
            problem = (f"socket {paths['callers']}: its file was removed or replaced, so "
                       "callers can't reach the daemon there; run: systemctl restart posternd.socket")
            wait_until(lambda: f"error: {problem}\n" in log.read_text(), what="the problem in the log")
            assert ctl(paths["admin"], "reload") == (1, "0 actions are loaded, 0 files are bad\n",
                                                     f"posternctl: {problem}\n")
            with wire.WireClient(paths["admin"]) as client:
                how(paths["admin"])
                wait_until(lambda: log.read_text().count("error: socket") == 2)
                # Who is connected is served as before.
                status = client.call("org.postern.Admin.Status")["parameters"]
            assert [one["message"] for one in status["problems"]] == [
                problem, problem.replace("callers.sock", "admin.sock").replace(
                    "posternd.socket", "posternd-admin.socket")]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


# ---- The state directory ----

@pytest.mark.parametrize("runtime", [True, False], ids=["in memory first", "on disk"])
@pytest.mark.parametrize("how", [
    shutil.rmtree,
    lambda path: shutil.rmtree(path / "jobs"),
    lambda path: os.rename(path, path.with_suffix(".old")),
], ids=["removed", "jobs removed", "renamed"])
def test_a_state_directory_that_went_is_made_again(start, how, runtime):
    guard = start(runtime=runtime)
    assert run_hello(guard) == HI
    key = (guard.state_folder / "groups.key").read_bytes()
    # Nothing is written there any more, which a removal would meet.
    [job] = os.listdir(guard.state_folder / "jobs")
    on_disk = guard.state_folder / "jobs" / job / "record.json"
    wait_until(lambda: on_disk.exists() and json.loads(on_disk.read_text())["state"] == "ended",
               what="its record is on the disk")
    how(guard.state_folder)
    assert run_hello(guard) == HI
    assert (f"state directory {guard.state_folder} was removed, renamed or replaced: made again; what "
            "was in it of jobs is lost\n") in guard.stderr()
    assert stat.S_IMODE(guard.state_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((guard.state_folder / "jobs").stat().st_mode) == 0o700
    assert (guard.state_folder / "groups.key").read_bytes() == key
    # Its record comes to the disk.
    [job] = os.listdir(guard.state_folder / "jobs")
    wait_until(lambda: (guard.state_folder / "jobs" / job / "record.json").exists())
    assert problems(guard) == []


def test_a_job_that_runs_when_its_directory_goes_ends_well(start, folder):
    go = folder / "go"
    go.mkdir()
    guard = start({"wait": script(f"echo began; while [ ! -e {go}/on ]; do sleep 0.02; done; echo done")})
    with popen_as(ALICE, [program("posternctl"), "--socket", str(guard.socket_path), "run", "wait"],
                  stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout.readline() == "began\n"
        shutil.rmtree(guard.state_folder)
        assert problems(guard) == []
        [job] = os.listdir(guard.state_folder / "jobs")
        (go / "on").touch()
        assert (client.stdout.read(), client.wait(60)) == ("done\n", 0)
    ended = guard.wait_audit(event="job-ended")
    assert ended[0]["job"] == job
    record = guard.state_folder / "jobs" / job / "record.json"
    wait_until(lambda: json.loads(record.read_text())["state"] == "ended", what="its last record")


def test_what_can_not_be_made_again_is_said_and_heals(start):
    guard = start()
    shutil.rmtree(guard.state_folder)
    guard.state_folder.write_text("in its place")
    with guard.connect(as_=ALICE) as client:
        assert client.call("Run", {"action": "hello"}) == UNAVAILABLE
        assert client.call("Check", {"action": "hello"}) == UNAVAILABLE
    done = guard.ctl("check", "hello", as_=ALICE)
    assert (done.returncode, done.stdout) == (123, "")
    [(about, message)] = problems(guard)
    assert about == "state"
    assert message.startswith(f"state directory {guard.state_folder} was removed, renamed or replaced, "
                              "and can't be re-created (")
    assert message.endswith("; restart the daemon: systemctl restart posternd.service")
    assert guard.stderr().count(f"{message}; no job is started before\n") == 1
    assert guard.wait_audit(event="call-refused")[0]["reason"] == message
    assert admin(guard, "reload")[::2] == (1, f"posternctl: {message}\n")
    guard.state_folder.unlink()
    assert run_hello(guard) == HI
    assert problems(guard) == []


FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE = 0x80086601, 0x40086602, 0x10


def set_immutable(path, on):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("l", fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, bytes(8)))[0]
        flags = flags | FS_IMMUTABLE if on else flags & ~FS_IMMUTABLE
        fcntl.ioctl(descriptor, FS_IOC_SETFLAGS, struct.pack("l", flags))
    finally:
        os.close(descriptor)


def test_a_state_directory_that_can_not_be_written_to_is_said_and_heals(start):
    guard = start()
    jobs = guard.state_folder / "jobs"
    try:
        set_immutable(jobs, True)
    except OSError:
        pytest.skip("no flags on this file system")
    try:
        assert run_hello(guard) == (123, "")
        message = (f"state directory {guard.state_folder}: Operation not permitted; see that the daemon "
                   "can write to it, or restart it with another one")
        assert problems(guard) == [("state", message)]
        assert f"hello: no job can be started: {message}\n" in guard.stderr()
    finally:
        set_immutable(jobs, False)
    assert run_hello(guard) == HI
    assert f"state directory {guard.state_folder} can be used again\n" in guard.stderr()


# ---- The audit ----

def events(path):
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


OPENED_AGAIN = "the one before was removed, renamed or replaced: opened again"


@pytest.mark.parametrize("tell", ["reload", "HUP", "USR1", "nobody"])
@pytest.mark.parametrize("create", [True, False])
def test_a_rotated_audit_file_is_opened_again(start, tell, create):
    guard = start()
    audit = guard.audit_file
    assert run_hello(guard) == HI
    rotated = audit.with_suffix(".1")
    os.rename(audit, rotated)
    if create:
        audit.touch(0o644)
    if tell == "reload":
        assert admin(guard, "reload")[0] == 0
    elif tell != "nobody":
        guard.process.send_signal(getattr(signal, f"SIG{tell}"))
    if tell != "nobody":
        said(guard, f"audit file {audit}: {OPENED_AGAIN}\n")
        assert audit.exists()
    before = rotated.read_bytes()
    assert run_hello(guard) == HI
    assert rotated.read_bytes() == before and events(rotated) == ["job-started", "job-ended"]
    wait_until(lambda: events(audit) == ["job-started", "job-ended"])
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600
    assert guard.stderr().count(OPENED_AGAIN) == 1
    assert problems(guard) == []


def test_copytruncate_needs_nothing(start):
    guard = start()
    assert run_hello(guard) == HI
    os.truncate(guard.audit_file, 0)
    assert run_hello(guard) == HI
    assert guard.audit_file.read_bytes().startswith(b"{")
    assert OPENED_AGAIN not in guard.stderr()


@pytest.mark.parametrize("make, why", [
    (lambda path: path.symlink_to("/etc/passwd"),
     "it is a symbolic link, not a regular file; remove it, or give the path of a file"),
    (os.mkfifo, "it is a FIFO, not a regular file; remove it, or give the path of a file"),
    (lambda path: path.mkdir(), "it is a directory, not a regular file; remove it, or give the path of a file"),
    (lambda path: (path.touch(), os.chown(path, ALICE.uid, 0)),
     f"it is owned by uid {ALICE.uid}; run: chown 0 PATH"),
    (lambda path: (path.touch(), os.link(path, f"{path}.link")),
     "it has 2 names (hard links); move it away, a new one is made"),
], ids=["link", "fifo", "directory", "another's", "hard link"])
def test_where_the_audit_can_not_be_opened_again_nothing_is_started(start, make, why):
    guard = start()
    audit = guard.audit_file
    audit.unlink()
    make(audit)
    why = why.replace("PATH", str(audit))
    message = f"audit file {audit}: it was removed, renamed or replaced: {why}"
    with guard.connect(as_=ALICE) as client:
        assert client.call("Run", {"action": "hello"}) == UNAVAILABLE
        assert client.call("Check", {"action": "hello"}) == UNAVAILABLE
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    assert f"error: {message}; no job is started until it can be written\n" in guard.stderr()
    assert f"hello: no job can be started: {message}\n" in guard.stderr()
    assert problems(guard) == [("audit", message)]
    assert admin(guard, "reload")[::2] == (1, f"posternctl: {message}\n")
    assert run_hello(guard) == (123, "")
    assert guard.stderr().count("no job is started until") == 1
    if audit.is_dir() and not audit.is_symlink():
        audit.rmdir()
    else:
        audit.unlink()
    assert run_hello(guard) == HI
    wait_until(lambda: sorted(events(audit)) == ["job-ended", "job-started", "records-lost"])
    assert problems(guard) == []


def test_on_a_full_disk_the_log_and_the_status_say_so(start, folder):
    with tmpfs(folder / "small", "64k") as small:
        guard = start(audit_file=small / "audit")
        fill(small / "filler")
        with guard.connect(as_=ALICE) as client:
            for _ in range(40):
                if "error" in (reply := client.call("Run", {"action": "hello"})):
                    break
            assert reply == UNAVAILABLE
        message = (f"audit file {small}/audit: No space left on device; make room on that file system")
        assert f"hello: no job can be started: {message}\n" in guard.stderr()
        assert problems(guard) == [("audit", message)]
        (small / "filler").unlink()
        assert run_hello(guard) == HI
        assert problems(guard) == []
        guard.stop()


def snippet():
    return (harness.REPOSITORY / "packaging/debian/postern.logrotate").read_text()


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="needs logrotate")
def test_the_shipped_logrotate_snippet(start, folder):
    """With its own words but for the paths, and for systemctl, which has no service here."""
    logs = folder / "log"
    logs.mkdir(mode=0o700)
    guard = start(audit_file=logs / "audit.log")
    text = snippet().replace("/var/log/postern/", f"{logs}/")
    [command] = re.findall(r"^\s*(systemctl kill .*)$", text, re.M)
    assert "--signal=USR1" in command and "--kill-whom=main posternd.service" in command
    text = text.replace(command, f"kill -USR1 {guard.pid}")
    settings = folder / "logrotate.conf"
    settings.write_text(text)
    settings.chmod(0o644)

    def rotate():
        subprocess.run(["logrotate", "--force", "--state", str(folder / "state.logrotate"), str(settings)],
                       check=True, stdin=subprocess.DEVNULL)

    for number in (1, 2):
        assert run_hello(guard) == HI
        wait_until(lambda: events(logs / "audit.log")[-1] == "job-ended")
        rotate()
        wait_until(lambda: guard.stderr().count(OPENED_AGAIN) == number, what="the file opened again")
        assert stat.S_IMODE((logs / "audit.log").stat().st_mode) == 0o600
    assert run_hello(guard) == HI
    assert events(logs / "audit.log")[0] == "job-started"
    assert {"audit.log", "audit.log.1", "audit.log.2.gz"} == set(os.listdir(logs))
    assert events(logs / "audit.log.1") == ["job-started", "job-ended"]


# ---- Signals ----

# All that end a process by default, but those of faults, and those below SIGRTMIN that Python has no name for.
STRANGERS = [signal.SIGQUIT, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
             signal.SIGXCPU, signal.SIGXFSZ, signal.SIGPWR, signal.SIGSTKFLT,
             *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)]
SILENT = [signal.SIGPIPE, signal.SIGIO, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGCONT, 32, 33]


def test_strange_signals_end_nobody_and_are_named_once(start):
    guard = start({"hello": HELLO, "wait": script("echo began; exec sleep 1000")})
    with guard.connect(as_=ALICE) as client:
        client.send_call("Run", {"action": "wait"}, more=True)
        assert client.read_reply()["parameters"]
        own = [*sessions(guard), *helpers(guard, "postern-output"), *helpers(guard, "postern-dropper")]
        assert own
        for number in [*STRANGERS, *SILENT, *STRANGERS]:
            for pid in (guard.pid, *own):
                os.kill(pid, number)
        for pid in own:
            os.kill(pid, signal.SIGHUP)
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGUSR1)
        for pid in sessions(guard):
            os.kill(pid, signal.SIGTERM)
        assert run_hello(guard) == HI
        assert own == [pid for pid in own if pathlib.Path(f"/proc/{pid}").exists()], (
            sessions(guard), helpers(guard, "postern-output"), helpers(guard, "postern-dropper"))
    names = [f"SIGRTMIN+{number - signal.SIGRTMIN}" if number >= signal.SIGRTMIN
             else signal.Signals(number).name for number in STRANGERS]
    ignored = re.findall(r"^posternd: warning: (\S+) from pid (\d+) \(uid 0\) is ignored: SIGTERM stops the daemon, "
                         "SIGHUP loads the action files and opens the audit file again, SIGUSR1 "
                         "only opens the audit file again$", guard.stderr(), re.M)
    assert sorted(ignored) == sorted((name, str(os.getpid())) for name in names)


def test_jobs_get_no_signal_ignored_or_blocked(start):
    guard = start({"status": {"summary": "Status", "exec": ["/bin/grep", "-E", "Sig(Ign|Blk)",
                                                           "/proc/self/status"], "allow": EVERYONE}})
    done = guard.ctl("run", "status", as_=ALICE)
    assert done.stdout.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]
