"""Jobs that are cancelled: by whom, what it says, where it is written down, and what is left."""

import json
import os
import pathlib
import subprocess
import tempfile
import threading

import pytest

import harness
from actions import script
from fake_daemon import CLOSE, JOB, FakeDaemon, error, reply
from harness import program, wait_until
from identity import ALICE, BOB, popen_as
from jobs import POORER, begin, end_of, get, no_such_job, record
from posternctl import command, outcome

FOR_EVER = "while :; do sleep 1000 & wait $!; done"
WAIT = script(f"echo began; {FOR_EVER}")
# Without standard error: its shell may say there that what it waited for was terminated.
POLITE = script(f"exec 2>/dev/null; trap 'exit 3' TERM; trap 'exit 4' USR1; echo began; {FOR_EVER}")
STUBBORN = script(f"trap '' TERM; (trap '' TERM; echo began; {FOR_EVER}) & {FOR_EVER}")
BY_ALICE = {"uid": ALICE.uid}

root = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")


def cancel(client, job, **more):
    return client.call("org.postern.Jobs.Cancel", {"job": job, **more})


def ended(job):
    return {"error": "org.postern.Jobs.JobEnded", "parameters": {
        "job": job, "message": f"job {job} of wait has ended; there is nothing left to cancel"}}


def processes_of(job):
    """Those that have this job in their environment."""
    done = subprocess.run(["sh", "-c", f"grep -lz '^POSTERN_JOB={job}$' /proc/[0-9]*/environ 2>/dev/null"],
                          capture_output=True, text=True, check=False)
    return done.stdout.split()


@pytest.fixture
def admin(start_guard):
    """A function that starts a guard with an administrator's socket, whose path it has."""
    with tempfile.TemporaryDirectory(prefix="postern-admin-", dir="/run") as folder:
        path = f"{folder}/admin.sock"

        guards = []

        def start(actions):
            guards.append(start_guard(actions, options=["--admin-socket", path]))
            return guards[-1]
        start.path = path
        yield start
        for guard in guards:
            guard.close()


def ctl_as_root(path, *words):
    done = subprocess.run([program("posternctl"), "--socket", path, *words], check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


# ---- By the protocol ----

@root
@pytest.mark.parametrize("action, more, result, signal", [
    (WAIT, {}, {"outcome": "signaled", "signal": 15}, 15),
    (POLITE, {}, {"outcome": "exited", "exitCode": 3}, 15),
    (POLITE, {"signal": "SIGUSR1"}, {"outcome": "exited", "exitCode": 4}, 10),
    (WAIT, {"signal": "HUP"}, {"outcome": "signaled", "signal": 1}, 1),
    (STUBBORN, {}, {"outcome": "signaled", "signal": 9}, 15),
    (STUBBORN, {"now": True}, {"outcome": "signaled", "signal": 9}, 9),
    (STUBBORN, {"signal": "KILL"}, {"outcome": "signaled", "signal": 9}, 9),
])
def test_the_owner_cancels_it(start_guard, action, more, result, signal):
    # Who is killed at once does not wait for that.
    grace = "1h" if signal == 9 else "50ms" if action is STUBBORN else "2s"
    guard = start_guard({"wait": action}, options=["--limit", f"killGrace={grace}"])
    with guard.connect(as_=ALICE) as client, guard.connect(as_=ALICE) as other:
        job, text = begin(client, "wait")
        assert text == "began\n"
        cancelled = cancel(other, job, **more)
        assert set(cancelled["parameters"]) == {"job", "action", "result"}
        assert (cancelled["parameters"]["job"], cancelled["parameters"]["action"]) == (job, "wait")
        assert end_of(cancelled) == result
        assert cancelled["parameters"]["result"]["cancelledBy"] == BY_ALICE
        # Who follows it hears the same, and so does who asks afterwards.
        last = client.read_replies()[-1]
        assert last["parameters"]["result"] == cancelled["parameters"]["result"]
        assert get(other, job)["parameters"]["job"]["result"] == cancelled["parameters"]["result"]
        assert cancel(other, job) == ended(job)
    assert processes_of(job) == []
    kept = record(guard, job)
    assert (kept["state"], kept["result"]["outcome"]) == ("ended", result["outcome"])
    assert kept["result"]["cancelledBy"] == BY_ALICE
    entry, = guard.wait_audit(event="job-cancelled")
    assert {key: entry.get(key) for key in ("uid", "action", "job", "signal", "reason")} == {
        "uid": ALICE.uid, "action": "wait", "job": job, "signal": signal, "reason": None}
    entry, = guard.wait_audit(event="job-ended")
    assert (entry["cancelledBy"], entry["result"]["outcome"]) == (BY_ALICE, result["outcome"])


@root
def test_for_others_there_is_no_such_job(start_guard):
    guard = start_guard({"wait": WAIT})
    with guard.connect(as_=ALICE) as client:
        job, _ = begin(client, "wait")
        for who in (BOB, POORER, None):
            with guard.connect(as_=who) as other:
                assert cancel(other, job) == no_such_job(job)
        denied = [e for e in guard.audit() if e["event"] == "call-denied"]
        assert [(e["job"], e["reason"]) for e in denied] == [(job, "the job is another caller's")] * 3
        with guard.connect(as_=ALICE) as other:
            assert get(other, job)["parameters"]["job"]["state"] == "running"
            assert end_of(cancel(other, job)) == {"outcome": "signaled", "signal": 15}


@root
def test_a_client_that_does_not_wait_for_the_end_has_cancelled_it(start_guard):
    guard = start_guard({"wait": STUBBORN}, options=["--limit", "killGrace=50ms"])
    with guard.connect(as_=ALICE) as client:
        job, _ = begin(client, "wait")
        with guard.connect(as_=ALICE) as other:
            other.send_call("org.postern.Jobs.Cancel", {"job": job})
            guard.wait_audit(event="job-cancelled")
        assert client.read_replies()[-1]["parameters"]["result"]["cancelledBy"] == BY_ALICE


@root
def test_a_second_one_may_be_harder(start_guard):
    guard = start_guard({"wait": STUBBORN}, options=["--limit", "killGrace=1h"])
    with guard.connect(as_=ALICE) as client, guard.connect(as_=ALICE) as first, \
            guard.connect(as_=ALICE) as second:
        job, _ = begin(client, "wait")
        first.send_call("org.postern.Jobs.Cancel", {"job": job})
        guard.wait_audit(event="job-cancelled")
        assert end_of(cancel(second, job, now=True)) == {"outcome": "signaled", "signal": 9}
        assert end_of(first.read_reply()) == {"outcome": "signaled", "signal": 9}
    assert [e["signal"] for e in guard.audit() if e["event"] == "job-cancelled"] == [15, 9]


@root
def test_a_guard_that_is_killed_has_not_forgotten_who(start_guard):
    guard = start_guard({"wait": STUBBORN}, options=["--limit", "killGrace=1h"])
    with guard.connect(as_=ALICE) as client:
        job, _ = begin(client, "wait")
        with guard.connect(as_=ALICE) as other:
            other.send_call("org.postern.Jobs.Cancel", {"job": job})
            guard.wait_audit(event="job-cancelled")
            assert record(guard, job)["cancelling"] == {"uid": ALICE.uid, "signal": 15, "now": False}
            guard.kill()
    guard.restart()
    with guard.connect(as_=ALICE) as client:
        result = get(client, job)["parameters"]["job"]["result"]
    assert (result["outcome"], result["cancelledBy"]) == ("lost", BY_ALICE)
    entry, = guard.wait_audit(event="job-lost")
    assert entry["cancelledBy"] == BY_ALICE


# ---- The administrator ----

@root
def test_the_administrator_cancels_any_job(admin):
    guard = admin({"wait": WAIT})
    with guard.connect(as_=ALICE) as client:
        job, _ = begin(client, "wait")
        assert ctl_as_root(admin.path, "cancel", job) == (
            0, f"wait: job {job} was cancelled: ended by signal 15 (TERM)\n", "")
        result = client.read_replies()[-1]["parameters"]["result"]
        assert result["cancelledBy"] == {"uid": 0, "user": "root"}
    entry, = guard.wait_audit(event="job-cancelled")
    assert (entry["uid"], entry["reason"]) == (0, f"a job of uid {ALICE.uid}")


@root
def test_all_of_a_user(admin):
    guard = admin({"wait": WAIT})
    with guard.connect(as_=ALICE) as one, guard.connect(as_=ALICE) as two, \
            guard.connect(as_=BOB) as other:
        theirs = {begin(client, "wait")[0] for client in (one, two)}
        bobs, _ = begin(other, "wait")
        code, out, err = ctl_as_root(admin.path, "cancel", "--all-of", str(ALICE.uid))
        assert (code, err) == (0, "")
        assert set(out.splitlines()) == {f"wait: job {job} was cancelled" for job in theirs}
        for client in (one, two):
            assert end_of(client.read_replies()[-1]) == {"outcome": "signaled", "signal": 15}
        assert ctl_as_root(admin.path, "cancel", "--all-of", str(ALICE.uid)) == (
            0, "", f"posternctl: {ALICE.uid} has no running jobs\n")
        assert ctl_as_root(admin.path, "cancel", "--all-of", "typo") == (
            122, "", 'posternctl: cancel: --all-of: "typo" is not a user that the daemon knows; give a '
            "user's name, or a uid\n")
        code, out, err = ctl_as_root(admin.path, "--json", "cancel", "--now", "--all-of", str(BOB.uid))
        assert (code, err) == (0, "")
        assert [job["job"] for job in json.loads(out)["jobs"]] == [bobs]
        assert end_of(other.read_replies()[-1]) == {"outcome": "signaled", "signal": 9}


@root
def test_all_of_a_user_is_for_the_administrator_alone(start_guard):
    guard = start_guard({"wait": WAIT})
    with guard.connect() as client:
        assert client.call("org.postern.Admin.CancelAllOf", {"user": "0"}) == {
            "error": "org.varlink.service.PermissionDenied", "parameters": {}}


@root
def test_the_log_level_is_shown_and_its_change_is_in_the_audit(admin):
    guard = admin({})
    assert ctl_as_root(admin.path, "log-level") == (0, "info\n", "")
    assert ctl_as_root(admin.path, "log-level", "debug") == (0, "", "")
    assert ctl_as_root(admin.path, "--json", "log-level") == (0, '{"logLevel":"debug"}\n', "")
    entry, = guard.wait_audit(event="log-level-changed")
    assert (entry["uid"], entry["level"]) == (0, "debug")
    assert ctl_as_root(admin.path, "log-level", "loud")[0] == 2
    assert len(guard.wait_audit(event="log-level-changed")) == 1


# ---- posternctl ----

@root
def test_run_says_who_has_cancelled_it(start_guard):
    guard = start_guard({"wait": WAIT, "polite": POLITE})
    for action, code, how in (("wait", 143, "ended by signal 15 (TERM)"),
                              ("polite", 3, "exited with code 3")):
        with popen_as(ALICE, command(guard.socket_path, "run", action), stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout.readline() == "began\n"
            job = guard.wait_audit(event="job-started", action=action)[0]["job"]
            done = guard.ctl("cancel", job, as_=ALICE)
            assert (done.returncode, done.stdout, done.stderr) == (
                0, f"{action}: job {job} was cancelled: {how}\n", "")
            assert running.wait(60) == code
            assert running.stderr.read() == (
                f"posternctl: {action}: {how}: cancelled by uid {ALICE.uid}\n")
    done = guard.ctl("cancel", job, as_=ALICE)
    assert (done.returncode, done.stdout, done.stderr) == (
        122, "", f"posternctl: job {job} of polite has ended; there is nothing left to cancel\n")
    done = guard.ctl("cancel", "nonsense", as_=ALICE)
    assert (done.returncode, done.stdout) == (126, "")


def test_what_can_not_be_meant_is_usage(folder):
    with FakeDaemon(folder, {}) as daemon:
        for words, what in (
                ([], "JOB is required"),
                (["--all-of", "alice", JOB], "give a JOB or --all-of, not both"),
                (["--all-of", ""], "--all-of: USER is required"),
                ([JOB, "--signal", "STOP"], '--signal: "STOP" is not a signal that a job can be cancelled '
                 "with; give HUP, INT, QUIT, ABRT, KILL, USR1, USR2 or TERM"),
                ([JOB, JOB], f'one word too many: "{JOB}"')):
            code, out, err = outcome(subprocess.run(command(daemon.path, "cancel", *words), check=False,
                                                    capture_output=True, text=True, timeout=60))
            assert (code, out, err.splitlines()[0]) == (2, "", f"posternctl: cancel: {what}"), words
        assert daemon.calls == []


def found(state, **more):
    return reply({"job": {"job": JOB, "action": "a", "state": state, "createdAt": 1, **more}})


RESULT = {"outcome": "signaled", "signal": 15, "startedAt": 1, "endedAt": 2, "cpuMicroseconds": 3,
          "maxResidentKiB": 4, "cancelledBy": {"uid": 1, "user": "al\x1b"}}


def ctl(daemon, *words):
    return outcome(subprocess.run(command(daemon.path, *words), check=False, capture_output=True, text=True,
                                  timeout=60, stdin=subprocess.DEVNULL))


def test_a_beginning_of_its_id_is_resolved_by_the_daemon(folder):
    with FakeDaemon(folder, {"Get": [found("running")], "Cancel": [reply(
            {"job": JOB, "action": "a", "result": RESULT})]}) as daemon:
        assert ctl(daemon, "cancel", "0123", "--signal", "INT", "--now") == (
            0, f"a: job {JOB} was cancelled: ended by signal 15 (TERM)\n", "")
        assert [call["parameters"] for call in daemon.calls] == [
            {"job": "0123"}, {"job": JOB, "signal": "INT", "now": True}]


def test_one_that_had_not_begun(folder):
    with FakeDaemon(folder, {"Get": [found("starting")],
                             "Cancel": [reply({"job": JOB, "action": "a"})]}) as daemon:
        assert ctl(daemon, "cancel", JOB) == (0, f"a: job {JOB} was cancelled: not started\n", "")
        assert ctl(daemon, "--json", "cancel", JOB) == (0, f'{{"action":"a","job":"{JOB}"}}\n', "")


def test_a_daemon_that_dies_before_it_has_answered_is_asked_again(folder):
    answers = [[found("running")], [found("ended", result=RESULT)]]
    with FakeDaemon(folder, {"Get": [lambda _: answers.pop(0)], "Cancel": [CLOSE]}) as daemon:
        assert ctl(daemon, "cancel", JOB) == (
            0, f"a: job {JOB} was cancelled: ended by signal 15 (TERM)\n", "")
    answers = [[found("starting")], [found("failed", result=RESULT)]]
    with FakeDaemon(folder, {"Get": [lambda _: answers.pop(0)], "Cancel": [CLOSE]}) as daemon:
        assert ctl(daemon, "cancel", JOB) == (0, f"a: job {JOB} was cancelled: not started\n", "")
    answers = [[found("running")], [found("running")]]
    cancels = [[CLOSE], [reply({"job": JOB, "action": "a", "result": RESULT})]]
    with FakeDaemon(folder, {"Get": [lambda _: answers.pop(0)],
                             "Cancel": [lambda _: cancels.pop(0)]}) as daemon:
        assert ctl(daemon, "cancel", JOB)[0] == 0


@pytest.mark.parametrize("then", [
    found("ended", result={key: value for key, value in RESULT.items() if key != "cancelledBy"}),
    found("failed", message="the program could not be started")], ids=["ended", "failed"])
def test_one_that_ended_by_itself_meanwhile_was_not_cancelled(folder, then):
    answers = [[found("running")], [then]]
    cancels = [[CLOSE], [error("org.postern.Jobs.JobEnded", job=JOB, message="it has ended")]]
    with FakeDaemon(folder, {"Get": [lambda _: answers.pop(0)],
                             "Cancel": [lambda _: cancels.pop(0)]}) as daemon:
        assert ctl(daemon, "cancel", JOB) == (122, "", "posternctl: it has ended\n")


def waits_without_bound(pid):
    """It is in poll(2), and the kernel was given no time."""
    number, *arguments = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()
    return number == "7" and int(arguments[2], 16) & 0xffffffff == 0xffffffff


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="knows the numbers of x86-64 alone")
def test_it_waits_longer_than_a_daemon_may_be_silent(folder):
    """And says nothing of a daemon that does not answer: it has answered."""
    let = threading.Event()
    with FakeDaemon(folder, {"Get": [found("running")], "Cancel": [
            let, reply({"job": JOB, "action": "a", "result": RESULT})]}) as daemon:
        with subprocess.Popen(command(daemon.path, "cancel", JOB), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: len(daemon.calls) == 2, what="it is asked")
            wait_until(lambda: waits_without_bound(process.pid), what="a wait without a bound")
            let.set()
            assert process.communicate(timeout=60) == (
                f"a: job {JOB} was cancelled: ended by signal 15 (TERM)\n", "")


def test_errors_have_their_exit_codes(folder):
    for name, code in (("org.postern.Jobs.JobEnded", 122), ("org.postern.Jobs.InvalidSignal", 122),
                       ("org.postern.Jobs.NoSuchJob", 126), ("org.postern.Actions.LimitReached", 123)):
        with FakeDaemon(folder, {"Get": [found("running")],
                                 "Cancel": [error(name, job=JOB, message="why")]}) as daemon:
            assert ctl(daemon, "cancel", JOB) == (code, "", "posternctl: why\n")
    with FakeDaemon(folder, {"Get": [found("running")], "Cancel": [
            reply({"job": JOB, "action": "a", "result": {"outcome": 1}})]}) as daemon:
        assert ctl(daemon, "cancel", JOB)[0] == 125
