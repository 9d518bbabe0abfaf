"""The life of jobs, with their callers and sessions, and the guard itself, killed at any point of it."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

import harness
from actions import EVERYONE, HELLO, script
from identity import ALICE, BOB, popen_as
from jobs import begin, record, result_of, text_of
from posternctl import command
from processes import sessions
from small_disk import fill, tmpfs

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

NOW = ["--limit", "killGrace=0s"]


WAIT = script("echo began; exec sleep 1000")
# Says that it was asked to end, and ends.
POLITE = script("trap 'echo asked; exit 3' TERM; echo began; while :; do sleep 0.02; done")
# Does not care.
STUBBORN = script("trap '' TERM; echo began; while :; do sleep 0.02; done")
# Leaves a process behind that is in no group, session or parenthood of the job's any more.
ESCAPEE = """
import os, sys, time
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.write(writer, b"x")
        time.sleep(1000)
    os._exit(0)
os.wait()
os.read(reader, 1)
{then}
"""


def escapee(then, **more):
    return {"summary": "Escape", "allow": EVERYONE, **more,
            "exec": ["/usr/bin/python3", "-I", "-c", ESCAPEE.format(then=then)]}


def is_alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_gone(pid):
    harness.wait_until(lambda: not is_alive(pid), what=f"process {pid} is gone")


def pid_of(guard, job):
    return record(guard, job)["pid"]


# ---- The end that a job comes to ----

def test_sigterm_ends_jobs_and_their_callers_hear_of_it(start_guard):
    # Time enough to do what is asked politely, however busy the machine is.
    guard = start_guard({"polite": POLITE, "wait": WAIT, "stubborn": STUBBORN},
                        options=["--limit", "killGrace=2s"])
    clients = {name: guard.connect(as_=ALICE) for name in ("polite", "wait", "stubborn")}
    jobs = {name: begin(client, name) for name, client in clients.items()}
    assert {text for _, text in jobs.values()} == {"began\n"}
    guard.process.send_signal(signal.SIGTERM)
    assert result_of(clients["polite"]) == ("asked\n", {"outcome": "stopped"})
    assert result_of(clients["wait"]) == ("", {"outcome": "stopped", "signal": 15})
    assert result_of(clients["stubborn"]) == ("", {"outcome": "stopped", "signal": 9})
    assert guard.wait() == 0
    for name, client in clients.items():
        assert client.read_to_end() == b""
        client.close()
        assert record(guard, jobs[name][0])["state"] == "ended"
    ended = {e["job"]: e["result"]["outcome"] for e in guard.audit() if e["event"] == "job-ended"}
    assert ended == {job: "stopped" for job, _ in jobs.values()}


@pytest.mark.parametrize("action, text, result", [
    (POLITE, "asked\n", {"outcome": "timeout"}),
    (WAIT, "", {"outcome": "timeout", "signal": 15}),
    (STUBBORN, "", {"outcome": "timeout", "signal": 9}),
])
def test_when_its_time_is_up_a_job_is_asked_and_then_killed(start_guard, action, text, result):
    # Time enough to begin, and to do what is asked, however busy the machine is.
    guard = start_guard({"slow": {**action, "timeout": "2s"}}, options=["--limit", "killGrace=2s"])
    with guard.connect(as_=ALICE) as client, \
            popen_as(ALICE, [harness.program("posternctl"), "--socket", str(guard.socket_path), "run",
                             "slow"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                     text=True) as process:
        assert begin(client, "slow")[1] == "began\n"
        assert result_of(client) == (text, result)
        assert (process.stdout.read(), process.wait(60)) == ("began\n" + text, 124)


def test_exit_codes_and_signals_are_the_jobs_own(start_guard):
    guard = start_guard({"seven": script("exit 7"), "killed": script("kill -KILL $$")})
    assert guard.ctl("run", "seven", as_=ALICE).returncode == 7
    assert guard.ctl("run", "killed", as_=ALICE).returncode == 128 + 9


@pytest.mark.parametrize("user", ["root", "bin"])
@pytest.mark.parametrize("then", ["sys.exit(5)", "time.sleep(1000)"])
def test_nothing_that_a_job_started_outlives_it(start_guard, user, then):
    # One that does not end by itself has time enough to begin.
    time = "1h" if "exit" in then else "3s"
    guard = start_guard({"escape": escapee(then, user=user, timeout=time)}, options=NOW)
    if guard.cgroup_path is None:
        pytest.skip("without a cgroup of its own only its process group is ended")
    with guard.connect(as_=ALICE) as client:
        job, pid = begin(client, "escape")
        if "exit" not in then:
            assert is_alive(int(pid)) and os.getsid(int(pid)) != os.getsid(pid_of(guard, job))
        _, result = result_of(client)
        assert not is_alive(int(pid))
    if "exit" in then:
        assert result == {"outcome": "exited", "exitCode": 5}
    else:
        assert result["outcome"] == "timeout"


@pytest.mark.parametrize("how", ["close", "kill"])
@pytest.mark.parametrize("policy", ["keep", "kill"])
def test_what_becomes_of_a_job_when_its_caller_goes(start_guard, policy, how, folder):
    waits = script(f"echo began; while [ ! -e {folder}/go ]; do sleep 0.02; done; exit 4",
                   onDisconnect=policy)
    guard = start_guard({"waits": waits, "hello": HELLO}, options=NOW)
    with guard.connect(as_=BOB) as other:
        if how == "close":
            with guard.connect(as_=ALICE) as client:
                job, _ = begin(client, "waits")
        else:
            with popen_as(ALICE, [harness.program("posternctl"), "--socket", str(guard.socket_path),
                                  "run", "--json", "waits"], stdout=subprocess.PIPE) as process:
                job = json.loads(process.stdout.readline())["job"]
                process.stdout.readline()
                process.kill()
        if policy == "keep":
            assert is_alive(pid_of(guard, job))
            (folder / "go").touch()
        entry = guard.wait_audit(event="job-ended", job=job)[0]
        expected = ("exited", 4) if policy == "keep" else ("disconnected", None)
        assert (entry["result"]["outcome"], entry["result"].get("exitCode")) == expected
        assert other.run("hello")[-1]["parameters"]["result"]["exitCode"] == 0


# ---- Killed ----

def test_after_kill_9_of_the_guard_the_next_start_ends_what_is_left_and_says_lost(start_guard):
    guard = start_guard({"wait": WAIT, "escape": escapee("time.sleep(1000)", user="bin")})
    clients = [guard.connect(as_=ALICE), guard.connect(as_=BOB)]
    first, _ = begin(clients[0], "wait")
    second, text = begin(clients[1], "escape")
    pids = [pid_of(guard, first), pid_of(guard, second), int(text)]
    guard.kill()
    for client in clients:
        # Their sessions go with it, so the callers see the end.
        assert client.read_to_end() == b""
        client.close()
    assert [is_alive(pid) for pid in pids] == [True] * 3
    guard.restart()
    assert [is_alive(pid) for pid in pids] == [False] * 3
    for job, action, uid in ((first, "wait", ALICE.uid), (second, "escape", BOB.uid)):
        entries = [e for e in guard.audit() if e.get("job") == job]
        assert [e["event"] for e in entries] == ["job-started", "job-lost"]
        assert (entries[1]["action"], entries[1]["uid"]) == (action, uid)
        assert record(guard, job)["state"] == "lost"
    # And once only.
    guard.stop()
    guard.restart()
    assert len([e for e in guard.audit() if e["event"] == "job-lost"]) == 2
    with guard.connect(as_=ALICE) as client:
        assert begin(client, "wait")[1] == "began\n"


@contextlib.contextmanager
def waiting_posternctl(guard):
    """ALICE's posternctl, whose job of "wait" has begun."""
    with popen_as(ALICE, command(guard.socket_path, "run", "wait"), stdout=subprocess.PIPE,
                  stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "began\n"
        yield process


def test_after_kill_9_of_a_guard_that_does_not_come_back_posternctl_says_so(start_guard):
    guard = start_guard({"wait": WAIT})
    with waiting_posternctl(guard) as process:
        guard.kill()
        assert process.wait(60) == 125
        [job] = os.listdir(guard.state_folder / "jobs")
        assert process.stderr.read() == (
            f"posternctl: {guard.socket_path}: the daemon closed the connection during the call; job {job} (wait) may "
            f"still be running: when the daemon runs again, posternctl --socket {guard.socket_path} attach {job} "
            "shows it\n")


def test_after_kill_9_of_the_guard_posternctl_hears_from_the_next_that_its_job_is_lost(start_guard):
    guard = start_guard({"wait": WAIT})
    with waiting_posternctl(guard) as process:
        guard.kill()
        guard.restart()
        assert process.wait(60) == 125
        [job] = os.listdir(guard.state_folder / "jobs")
        assert process.stdout.read() == ""
        assert process.stderr.read() == (
            f"posternctl: wait: what became of job {job} is not known: the daemon died\n")


@pytest.mark.parametrize("policy", ["keep", "kill"])
def test_kill_9_of_a_session_ends_its_connections_and_nothing_else(start_guard, policy):
    guard = start_guard({"wait": {**WAIT, "onDisconnect": policy}, "hello": HELLO}, options=NOW)
    with guard.connect(as_=BOB) as bob:
        assert bob.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        [bobs] = sessions(guard)
        with guard.connect(as_=ALICE) as alice:
            job, _ = begin(alice, "wait")
            [alices] = set(sessions(guard)) - {bobs}
            os.kill(alices, signal.SIGKILL)
            assert alice.read_to_end() == b""
        entry = guard.wait_audit(event="session-failed")[0]
        assert (entry["uid"], entry["reason"]) == (ALICE.uid, "its process died of signal 9")
        if policy == "keep":
            assert is_alive(pid_of(guard, job))
        else:
            # Its caller might have come back: it waits for that some seconds.
            ended = guard.wait_audit(event="job-ended", job=job, seconds=60)[0]
            assert ended["result"]["outcome"] == "disconnected"
        with guard.connect(as_=ALICE) as alice:
            assert alice.run("hello")[-1]["parameters"]["result"]["exitCode"] == 0
        assert bob.run("hello")[-1]["parameters"]["result"]["exitCode"] == 0
        assert bobs in sessions(guard)


# ---- What a job is given ----

def test_the_environment_of_a_job_is_the_declared_one_byte_for_byte(start_guard):
    env = {"summary": "Env", "exec": ["/usr/bin/env", "-0"], "user": "games", "allow": EVERYONE,
           "environment": {"GREETING": "Grüße $HOME {x} %h\n", "LANG": "C"}}
    hostile = {name: "x" for name in (
        "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PYTHONPATH", "PERL5LIB", "PERL5OPT", "RUBYLIB",
        "BASH_ENV", "ENV", "IFS", "GCONV_PATH", "LOCPATH", "HOME", "POSTERN_JOB", "TERM")}
    guard = start_guard({"env": env}, env={key: value for key, value in hostile.items()
                                           if not key.startswith("LD_")})
    with guard.connect(as_=ALICE) as client:
        replies = client.run("env")
    text = text_of(replies)
    job = replies[0]["parameters"]["job"]
    assert text == (
        "GREETING=Grüße $HOME {x} %h\n\0HOME=/usr/games\0LANG=C\0LOGNAME=games\0"
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\0POSTERN_ACTION=env\0"
        f"POSTERN_GID={ALICE.gid}\0POSTERN_JOB={job}\0POSTERN_UID={ALICE.uid}\0"
        "SHELL=/usr/sbin/nologin\0USER=games\0")
    done = guard.ctl("run", "env", as_=BOB, env={"PATH": "/usr/bin", **hostile, "LD_PRELOAD": ""})
    assert "=x" not in done.stdout and done.returncode == 0


FACTS = r"""
import fcntl, json, os, sys, termios
try:
    open("/dev/tty"); tty = "open"
except OSError as error:
    tty = error.strerror
try:
    fcntl.ioctl(0, termios.TIOCSTI, b"x"); inject = "done"
except OSError as error:
    inject = error.strerror
fds = []
for fd in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        fds.append(fd + " " + os.path.basename(os.readlink("/proc/self/fd/" + fd)).partition(":")[0])
    except FileNotFoundError:
        pass
status = dict(line.split(":\t", 1) for line in open("/proc/self/status"))
print(json.dumps({"ids": [os.getresuid(), os.getresgid(), os.getgroups()], "cwd": os.getcwd(),
    "fds": fds, "tty": tty, "inject": inject, "leads": os.getsid(0) == os.getpid() == os.getpgid(0),
    "umask": status["Umask"].strip(), "capabilities": status["CapEff"].strip(),
    "blocked": status["SigBlk"].strip(), "stdin": os.read(0, 10).decode()}))
"""


def test_a_job_has_its_user_its_descriptors_and_no_terminal(start_guard):
    facts = {"summary": "Facts", "exec": ["/usr/bin/python3", "-I", "-c",
                                          FACTS.replace("{", "{{").replace("}", "}}")],
             "user": "games", "groups": ["games", "bin"], "workingDirectory": "/usr",
             "allow": [{"user": ALICE.uid}]}
    guard = start_guard({"facts": facts})
    # The caller has a controlling terminal.
    done = guard.ctl("run", "facts", as_=ALICE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ids": [[5, 5, 5], [60, 60, 60], [2, 60]], "cwd": "/usr",
        "fds": ["0 null", "1 pipe", "2 pipe"], "tty": "No such device or address",
        "inject": "Inappropriate ioctl for device", "leads": True, "umask": "0022",
        "capabilities": "0" * 16, "blocked": "0" * 16, "stdin": ""}


# Types a line into the terminal that the client has, as its controlling one: none comes back.
ON_A_TERMINAL = r"""
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
text = b""
try:
    while part := os.read(terminal, 65536):
        text += part
except OSError:
    pass
os.write(1, text)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_job_can_not_type_into_its_callers_terminal(start_guard):
    inject = ("import fcntl, os, termios\n"
              "for fd in (0, 1, 2):\n"
              "    try:\n"
              "        fcntl.ioctl(fd, termios.TIOCSTI, b'x')\n"
              "    except OSError as error:\n"
              "        print(fd, error.strerror)\n")
    guard = start_guard({"inject": {"summary": "Inject", "allow": EVERYONE,
                                    "exec": ["/usr/bin/python3", "-I", "-c", inject]}})
    with popen_as(None, [sys.executable, "-c", ON_A_TERMINAL, harness.program("posternctl"), "--socket",
                         str(guard.socket_path), "run", "inject"], stdout=subprocess.PIPE,
                  start_new_session=True) as process:
        text = process.stdout.read().decode()
        assert process.wait(60) == 0
    reason = "Inappropriate ioctl for device"
    assert text.split("\r\n") == [f"0 {reason}", f"1 {reason}", f"2 {reason}", ""]


# ---- Output ----

@pytest.mark.parametrize("user", ["root", "games"])
def test_a_job_of_another_user_may_reopen_its_output(start_guard, user):
    guard = start_guard({"reopen": script("echo one > /dev/stdout; echo two > /dev/stderr; "
                                          "echo three >> /dev/stderr", user=user)})
    done = guard.ctl("run", "reopen", as_=ALICE)
    assert done.returncode == 0 and done.stdout == "one\n"
    assert done.stderr.endswith("three\n")


def test_fifty_megabytes_come_through_byte_for_byte(start_guard):
    size = 50 * 1000 * 1000
    program = (f"import sys\nn = {size} // 1000\n"
               "for i in range(n): sys.stdout.buffer.write(i.to_bytes(4, 'big') * 250)\n"
               "sys.stderr.write('done')\n")
    guard = start_guard({"big": {"summary": "Big", "allow": EVERYONE,
                                 "exec": ["/usr/bin/python3", "-I", "-c", program]}})
    done = guard.ctl("run", "big", as_=ALICE, text=False)
    assert (done.returncode, done.stderr) == (0, b"done")
    assert len(done.stdout) == size
    assert done.stdout == b"".join(i.to_bytes(4, "big") * 250 for i in range(size // 1000))


@pytest.mark.parametrize("runtime", [True, False])
def test_on_a_full_disk_new_jobs_fail_and_running_ones_go_on(start_guard, folder, runtime):
    waits = script(f"echo began; while [ ! -e {folder}/go ]; do sleep 0.02; done; exit 4")
    with tmpfs(folder / "small", "256k") as small:
        guard = start_guard({"waits": waits, "touch": script(f"touch {folder}/touched")},
                            state_folder=small / "state", runtime=runtime)
        with guard.connect(as_=ALICE) as client, guard.connect(as_=BOB) as other:
            begin(client, "waits")
            fill(small / "filler")
            reply = other.call("Run", {"action": "touch"})
            assert reply["error"] == "org.postern.Actions.Unavailable"
            assert not (folder / "touched").exists()
            (folder / "go").touch()
            assert result_of(client) == ("", {"outcome": "exited", "exitCode": 4})
            (small / "filler").unlink()
            assert other.run("touch")[-1]["parameters"]["result"]["exitCode"] == 0
            assert (folder / "touched").exists()
