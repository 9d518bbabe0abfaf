"""What a daemon is started with: put right, refused, or named before it is ready; and what ready means."""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys

import pytest

import harness
import taken_over
from actions import HELLO
from identity import ALICE
from processes import helpers, sessions

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a daemon of root")

PASSED = ("; start it through its socket unit (systemctl start posternd.socket), or without LISTEN_FDS and with "
          "--socket PATH")
# In the process that becomes the daemon, so that LISTEN_PID can be right.
BECOME = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture(name="start")
def start_to_its_end(start_guard, folder):
    """Starts a daemon that can't: what it said, and its exit code."""
    def start(*, env=None, under=(), options=(), before=None, pass_fds=(), audit=None):
        (folder / "actions").mkdir(exist_ok=True)
        command = [*under, harness.program("posternd"), "--socket", str(folder / "s"), "--actions",
                   str(folder / "actions"), "--state", str(folder / "state"), "--audit",
                   audit or str(folder / "audit"), "--jobs", "direct", "--session-user", harness.SESSION_USER, *options]
        done = subprocess.run(command, env={"PATH": "/usr/bin:/bin", **(env or {})}, preexec_fn=before,
                              pass_fds=pass_fds, capture_output=True, text=True, timeout=60, check=False)
        return done.stderr, done.returncode
    return start


def refused(message):
    return f"posternd: critical: {message}\n", 1


def serves(guard):
    with guard.connect(as_=ALICE) as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        reply = client.call("Run", {"action": "hello"})
        assert reply["parameters"]["result"]["exitCode"] == 0, reply
    return guard.stderr()


# ---- Descriptors ----

@pytest.mark.parametrize("count, names, message", [
    ("1", None, "LISTEN_FDS=1, but descriptor 3 is not open" + PASSED),
    ("100000", None, "LISTEN_FDS=100000, but descriptor 3 is not open" + PASSED),
    ("abc", None, 'LISTEN_FDS="abc" is not a number of descriptors' + PASSED),
    ("0", None, 'LISTEN_FDS="0" is not a number of descriptors' + PASSED),
    ("-1", None, 'LISTEN_FDS="-1" is not a number of descriptors' + PASSED),
    ("2147483647", None, 'LISTEN_FDS="2147483647" is not a number of descriptors' + PASSED),
])
def test_sockets_that_were_promised_are_not_there(start, count, names, message):
    env = {"LISTEN_FDS": count, **({"LISTEN_FDNAMES": names} if names else {})}
    assert start(env=env, under=[sys.executable, "-c", BECOME]) == refused(message)


def passed(start, file, **env):
    """With one descriptor, 3, and LISTEN_FDS as given."""
    script = ("import os, sys; fd = int(sys.argv[1]); os.dup2(fd, 3, inheritable=True)\n"
              "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], sys.argv[2:])")
    return start(env={"LISTEN_FDS": "1", **env}, under=[sys.executable, "-c", script, str(file.fileno())],
                 pass_fds=[file.fileno()])


def test_more_are_promised_than_there_are(start, folder):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "passed"))
        listener.listen()
        assert passed(start, listener, LISTEN_FDS="2") == refused(
            "LISTEN_FDS=2, but descriptor 4 is not open" + PASSED)
        assert passed(start, listener, LISTEN_FDNAMES="a:b") == refused(
            'LISTEN_FDNAMES="a:b" has 2 names for LISTEN_FDS=1')


def test_what_is_passed_is_no_socket(start, folder):
    with open(folder / "file", "w", encoding="ascii") as file:
        assert passed(start, file) == refused(
            'passed descriptor 3 ("unknown") is refused: it is not a socket')


def test_a_process_id_that_is_none(start):
    assert start(env={"LISTEN_FDS": "1", "LISTEN_PID": "me"}) == refused(
        'LISTEN_PID="me" is not a process id')


def test_sockets_that_are_meant_for_another_process_are_not_taken(start_guard):
    guard = start_guard({"hello": HELLO}, env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    said = serves(guard)
    assert (f'posternd: warning: LISTEN_FDS="1" is meant for process 1 (LISTEN_PID), but this is process {guard.pid}: '
            "no socket is taken from it\n") in said


def test_hundreds_of_descriptors_are_closed(start_guard):
    plain = start_guard({"hello": HELLO})
    script = ("import os, sys\n"
              "for _ in range(400): os.set_inheritable(os.open('/etc/passwd', os.O_RDONLY), True)\n"
              "os.execv(sys.argv[1], sys.argv[1:])")
    guard = start_guard({"hello": HELLO}, under=[sys.executable, "-c", script])
    assert [os.readlink(entry) for entry in pathlib.Path(f"/proc/{guard.pid}/fd").iterdir()].count(
        "/etc/passwd") == 0
    serves(guard)
    serves(plain)


def test_closed_standard_streams_and_a_directory_that_is_gone(start_guard, folder):
    gone = folder / "gone"
    script = ("import os, sys\n"
              "os.mkdir(sys.argv[1]); os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); os.umask(0o777)\n"
              "os.closerange(0, 3); os.execv(sys.argv[2], sys.argv[2:])")
    guard = start_guard({"hello": HELLO}, under=[sys.executable, "-c", script, str(gone)])
    assert [os.readlink(f"/proc/{guard.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    assert os.readlink(f"/proc/{guard.pid}/cwd") == "/"
    serves(guard)
    assert os.stat(guard.audit_file).st_mode & 0o777 == 0o600


def test_an_audit_file_in_a_directory_that_is_gone(start, folder):
    script = ("import os, sys; os.mkdir(sys.argv[1]); os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
              "os.execv(sys.argv[2], sys.argv[2:])")
    assert start(under=[sys.executable, "-c", script, str(folder / "gone")], audit="audit") == (
        'posternd: --audit "audit": the working directory does not exist; give an absolute path\n'
        "Try: posternd --help\n", 2)


# ---- Signals and limits ----

def test_ignored_and_blocked_signals(start_guard):
    script = ("import os, signal, sys\n"
              "every = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}\n"
              "for one in every:\n"
              "    try: signal.signal(one, signal.SIG_IGN)\n"
              "    except (OSError, ValueError): pass\n"
              "signal.pthread_sigmask(signal.SIG_BLOCK, every)\n"
              "os.execv(sys.argv[1], sys.argv[1:])")
    guard = start_guard({"hello": HELLO}, under=[sys.executable, "-c", script])
    serves(guard)
    status = pathlib.Path(f"/proc/{guard.pid}/status").read_text(encoding="ascii")
    blocked = int(re.search(r"^SigBlk:\s+(\w+)$", status, re.M).group(1), 16)
    assert not blocked & 1 << signal.SIGCHLD - 1, "children can't be waited for"
    guard.reload()  # SIGHUP
    # stop() sends SIGTERM


@pytest.mark.parametrize("least", [40, 64])
def test_too_few_descriptors_for_a_call(start, least):
    limit = [resource.RLIMIT_NOFILE, (least, least)]
    assert start(before=lambda: resource.setrlimit(*limit)) == refused(
        f"it may have {least} descriptors (hard RLIMIT_NOFILE: LimitNOFILE=, ulimit -Hn): too few to serve a call; "
        "allow at least 128, better 65536")


def prlimit(*limits):
    return ["prlimit", *limits]


def test_few_descriptors_are_named_and_serve_a_call(start_guard):
    guard = start_guard({"hello": HELLO}, under=prlimit("--nofile=128:128"))
    assert ("posternd: warning: it may have 128 descriptors (hard RLIMIT_NOFILE: LimitNOFILE=, ulimit -Hn): a "
            "few dozen callers use them up; allow 65536\n") in serves(guard)


def test_a_soft_limit_alone_is_raised(start_guard):
    guard = start_guard({"hello": HELLO}, under=prlimit("--nofile=32:4096"))
    assert "descriptors" not in serves(guard)


def test_limits_that_a_service_does_not_expect_are_named(start_guard):
    # A session user that has no processes in other tests: they would count.
    guard = start_guard({"hello": HELLO}, under=prlimit("--fsize=1000000", "--cpu=1000", "--nproc=63"),
                        session_user="uucp", options=["--output-user", "uucp"])
    said = serves(guard)
    assert ("posternd: warning: it was started with RLIMIT_FSIZE=1000000 (LimitFSIZE=): no record, "
            "output or audit file can grow larger\n") in said
    assert ("posternd: warning: it was started with RLIMIT_CPU=1000 (LimitCPU=): the kernel kills "
            "it after that many seconds of CPU time\n") in said
    assert ("posternd: warning: it was started with RLIMIT_NPROC=63 (LimitNPROC=): sessions and jobs may not be "
            "started\n") in said


def test_a_file_that_may_not_grow_ends_no_daemon(start_guard):
    """SIGXFSZ would."""
    guard = start_guard({"hello": HELLO}, under=prlimit("--fsize=3000"))
    for _ in range(12):
        with guard.connect(as_=ALICE) as client:
            client.call("Run", {"action": "hello"})
    assert guard.process.poll() is None
    with guard.connect(as_=ALICE) as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}


# ---- The environment ----

def test_variables_that_change_the_daemon_are_named(start_guard):
    guard = start_guard({"hello": HELLO}, env={"MALLOC_ARENA_MAX": "2", "LD_BIND_NOW": "1"})
    assert re.search(r"posternd: warning: its environment has (MALLOC_ARENA_MAX, LD_BIND_NOW|LD_BIND_NOW, "
                     r"MALLOC_ARENA_MAX), which affect the daemon itself \(sessions and jobs do not get "
                     r"them\); unset them unless they are intended\n", serves(guard))


@pytest.mark.parametrize("address, warning", [
    ("rubbish", 'NOTIFY_SOCKET="rubbish" is not the address of a Unix socket: the service manager is not notified'),
    ("/" + "x" * 400, 'NOTIFY_SOCKET="/' + "x" * 199 + '..." is not the address of a Unix '
                      "socket: the service manager is not notified"),
    ("/nonexist/notify", "NOTIFY_SOCKET=/nonexist/notify: No such file or directory; the service manager is not "
                         "told that the daemon is ready"),
])
def test_a_service_manager_that_can_not_be_told(folder, start_guard, address, warning):
    script = ("import os, sys; os.environ['NOTIFY_SOCKET'] = sys.argv[1]; os.execv(sys.argv[2], sys.argv[2:])")
    guard = start_guard({"hello": HELLO})
    del folder
    other = harness.Guard({"hello": HELLO}, under=[sys.executable, "-c", script, address])
    try:
        other.launch()
        harness.wait_until(lambda: " is ready, " in other.stderr(), what="it is ready")
        assert f"posternd: warning: {warning}\n" in serves(other)
    finally:
        other.close()
    serves(guard)


# ---- Capabilities ----

def without(*names):
    lacks = ",".join(f"-{name}" for name in names)
    return ["setpriv", f"--bounding-set={lacks}", f"--inh-caps={lacks}"]


@pytest.mark.parametrize("lacks, named", [
    (["setuid"], "CAP_SETUID"), (["setgid"], "CAP_SETGID"),
    (["setuid", "setgid", "kill"], "CAP_SETUID and CAP_SETGID")])
def test_root_without_what_sessions_need(start, lacks, named):
    assert start(under=without(*lacks)) == refused(
        f"it runs as root but lacks {named}: no session can be started, so no call can be served; give it "
        "CAP_SETUID, CAP_SETGID and CAP_KILL (CapabilityBoundingSet= of a unit, --cap-add of a container), or run "
        "it as an ordinary user, to serve only that user")


def test_root_that_can_not_end_what_it_starts(start_guard):
    guard = start_guard({"hello": HELLO}, under=without("kill"))
    assert ("posternd: warning: it lacks CAP_KILL: sessions that do not exit by themselves can't be ended, nor can "
            "jobs of other users that have no cgroup\n") in serves(guard)


def test_three_capabilities_are_enough(start_guard):
    guard = start_guard({"hello": HELLO}, under=[
        "setpriv", "--bounding-set=-all,+setuid,+setgid,+kill", "--inh-caps=-all"])
    assert "lacks" not in serves(guard)


# ---- Ready ----

def test_the_first_caller_gets_the_session_that_was_tried(start_guard):
    guard = start_guard({"hello": HELLO})
    [tried] = sessions(guard)
    serves(guard)
    assert sessions(guard) == [tried]


def test_the_session_that_was_tried_may_end(start_guard):
    guard = start_guard({"hello": HELLO})
    [tried] = sessions(guard)
    os.kill(tried, signal.SIGKILL)
    harness.wait_until(lambda: sessions(guard) == [], what="it is reaped")
    assert ("posternd: warning: the session that waited for the first caller: its process died of signal 9\n"
            in serves(guard))
    assert len(sessions(guard)) == 1


def test_a_session_program_that_may_not_be_executed(start, folder):
    with taken_over.programs(folder / "bin", ALICE.uid, "none"):
        (folder / "bin/postern-session").chmod(0o644)
        assert start() == refused(
            "no session can be started, so no call can be served: postern-session: Permission denied; look at "
            "that program, and at the number of processes that the daemon may have (TasksMax=, RLIMIT_NPROC)")


@pytest.mark.parametrize("mode, why", [
    ("trial-says-why", "postern-session: seccomp: load: Invalid argument"),
    ("trial-dies", "postern-session died of signal 31"),
    ("trial-other-kind", "postern-session is of another version; install the package again"),
    ("trial-silent", "postern-session did not become ready within 10 s"),
])
def test_a_session_program_that_is_broken(start, folder, mode, why):
    with taken_over.programs(folder / "bin", ALICE.uid, mode):
        said, code = start()
    # What it says itself goes to the same place, sooner or later.
    said = "".join(line for line in said.splitlines(keepends=True) if line != f"{why}\n")
    assert (said, code) == refused(f"no session can be started, so no call can be served: {why}")


def test_as_many_processes_as_before(start_guard):
    """The trial is the session that the first caller would have had."""
    guard = start_guard({"hello": HELLO})
    before = len(sessions(guard))
    serves(guard)
    assert (before, len(sessions(guard))) == (1, 1)
    assert len(helpers(guard, "postern-output")) == 1
