"""posternctl run --detach, attach, logs and wait, against a daemon that says what the test wants."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

from fake_daemon import CLOSE, JOB, STARTED, FakeDaemon, chunk, described, error, job_end, reply
from harness import wait_until
from posternctl import command, outcome

OTHER = JOB[::-1]


def found(job=JOB, state="running", **fields):
    """The reply of Get."""
    return reply({"job": {"job": job, "action": "web.restart", "state": state, "createdAt": 1, **fields}})


def ended_as(job, code):
    end = job_end(exitCode=code)
    return reply(end["parameters"] | {"job": job})


def scripted(*steps, **more):
    return {"Get": [found()], "Describe": [described()], "Follow": list(steps), **more}


def ctl(daemon, *words):
    return subprocess.run(command(daemon, *words), stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          check=False)


def called(daemon, method):
    return [call["parameters"] for call in daemon.calls if call["method"].endswith("." + method)]


# ---- run --detach ----

def test_detach_prints_the_job_alone(folder):
    script = {"Describe": [described()], "Run": [reply({"job": JOB})]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "--detach", "web.restart")) == (0, JOB + "\n", "")
        assert outcome(ctl(daemon, "--json", "run", "--detach", "web.restart")) == (0, f'{{"job":"{JOB}"}}\n', "")
        for call in called(daemon, "Run"):
            assert re.fullmatch("[0-9a-f]{32}", call.pop("key"))
            assert call == {"action": "web.restart", "detach": True}


def test_detach_is_asked_for_again_with_its_key(folder):
    runs = iter([[CLOSE], [reply({"job": JOB})]])
    script = {"Describe": [described()], "Run": [lambda call: next(runs)]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "--detach", "web.restart")) == (0, JOB + "\n", "")
        assert len(called(daemon, "Run")) == 2
        assert len({call["key"] for call in called(daemon, "Run")}) == 1


def test_detach_is_refused_by_the_daemon(folder):
    script = {"Describe": [described(input="direct")], "Run": [error("NotDetachable", message="it can't be")]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "--detach", "web.restart")) == (122, "", "posternctl: it can't be\n")


@pytest.mark.parametrize("words, said", [
    (["run", "--detach", "--datagram", "a"],
     "--detach and --datagram both exit while the job keeps running; give one of them"),
    (["run", "--on-interrupt=stop", "a"], '--on-interrupt: "stop" is not a valid WHAT; give detach or cancel'),
    (["run", "--on-interrupt=cancel", "--detach", "a"], "--on-interrupt has no meaning where nobody waits for the job"),
    (["attach"], "attach: JOB is required"),
    (["attach", "--tail", "x", "a"], '--tail: "x" is not a valid number of lines; give an integer from 0 on'),
    (["logs", "--tail", "-1", "a"], '--tail: "-1" is not a valid number of lines; give an integer from 0 on'),
    (["attach", "--tail", "1", "--from-now", "a"], "--tail and --from-now contradict each other"),
    (["logs", "--stdout", "--stderr", "a"],
     "--stdout and --stderr contradict each other; without them both streams are printed"),
    (["wait"], "wait: JOB is required"),
])
def test_misuse(folder, words, said):
    done = ctl(folder / "none", *words)
    assert (done.returncode, done.stderr.decode().splitlines()[0]) == (2, "posternctl: " + said)


# ---- attach ----

def test_attach_is_as_run(folder):
    with FakeDaemon(folder, scripted(STARTED, chunk(stdout="one\n", stderr="warn\n"), job_end(exitCode=7))) as daemon:
        assert outcome(ctl(daemon, "attach", "0123")) == (7, "one\n", "warn\n")
        assert called(daemon, "Get") == [{"job": "0123"}]
        assert daemon.calls[-1] == {"method": "org.postern.Jobs.Follow", "more": True, "parameters": {"job": JOB}}
        done = ctl(daemon, "attach", JOB, "--json")
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            {"job": JOB}, {"job": JOB, "stdout": "one\n", "stderr": "warn\n"}, job_end(exitCode=7)["parameters"]]
        assert (done.returncode, done.stderr) == (7, b"")


def test_attach_says_how_it_ended(folder):
    with FakeDaemon(folder, scripted(STARTED, job_end(outcome="signaled", signal=15))) as daemon:
        assert outcome(ctl(daemon, "attach", JOB)) == (143, "", "posternctl: web.restart: ended by signal 15 (TERM)\n")


@pytest.mark.parametrize("words, parameters", [
    (["--tail", "3"], {"tail": 3}), (["--tail=0"], {"tail": 0}), (["--from-now"], {"fromNow": True})])
def test_attach_goes_on_where_it_was(folder, words, parameters):
    """From where the daemon has begun."""
    begin = chunk(stdoutOffset=1000, stderrOffset=5)
    follows = iter([[begin, chunk(stdout="one\n"), CLOSE], [STARTED, CLOSE], [STARTED, chunk(stdout="two\n"),
                                                                             job_end(exitCode=3)]])
    with FakeDaemon(folder, scripted(lambda call: next(follows))) as daemon:
        assert outcome(ctl(daemon, "attach", JOB, *words)) == (3, "one\ntwo\n", "")
        assert called(daemon, "Follow") == [
            {"job": JOB, **parameters}, *[{"job": JOB, "stdoutOffset": 1004, "stderrOffset": 5}] * 2]


def test_attach_where_the_first_answer_was_lost(folder):
    follows = iter([[CLOSE], [chunk(stdoutOffset=8, stderrOffset=0), job_end(exitCode=0)]])
    with FakeDaemon(folder, scripted(lambda call: next(follows))) as daemon:
        assert outcome(ctl(daemon, "attach", JOB, "--tail", "1")) == (0, "", "")
        assert called(daemon, "Follow") == [{"job": JOB, "tail": 1}] * 2


def test_attach_to_a_daemon_that_does_not_come_back(folder):
    with FakeDaemon(folder, scripted(STARTED, CLOSE)) as daemon:
        assert outcome(ctl(daemon, "attach", JOB)) == (
            125, "", f"posternctl: {daemon.path}: the daemon closed the connection during the call; job {JOB} "
            f"(web.restart) may still be running: when the daemon runs again, posternctl --socket {daemon.path} "
            f"attach {JOB} shows it\n")


@pytest.mark.parametrize("verb", ["attach", "logs", "wait"])
def test_a_job_that_there_is_not(folder, verb):
    script = {"Get": [error("org.postern.Jobs.NoSuchJob", job="x", message="there is no job")]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, verb, "x")) == (126, "", "posternctl: there is no job\n")
        assert called(daemon, "Follow") == []


def test_a_job_that_could_not_be_started(folder):
    failed = error("StartFailed", job=JOB, message="web.restart: it does not exist")
    with FakeDaemon(folder, scripted(failed)) as daemon:
        for verb in ("attach", "logs", "wait"):
            assert outcome(ctl(daemon, verb, JOB)) == (127, "", "posternctl: web.restart: it does not exist\n")


@pytest.mark.long  # for as long as posternctl waits
def test_an_answer_that_comes_too_late_is_not_taken_for_another(folder):
    late = threading.Event()

    def follow(call):
        late.set()
        return [STARTED, chunk(stdout="on\n"), job_end(exitCode=7)]

    with FakeDaemon(folder, scripted(follow, Describe=[late, described()])) as daemon:
        assert outcome(ctl(daemon, "attach", JOB)) == (7, "on\n", "")
        assert daemon.connections == 2


def test_output_that_is_not_stored_is_not_missing(folder):
    with FakeDaemon(folder, scripted(chunk(stdoutNotKept=True), job_end(exitCode=4))) as daemon:
        said = (f"posternctl: job {JOB} (web.restart): its standard output goes straight to the client that started "
                "it, and is not stored\n")
        assert outcome(ctl(daemon, "attach", JOB)) == (4, "", said)
        assert outcome(ctl(daemon, "logs", JOB)) == (0, "", said)
        assert outcome(ctl(daemon, "wait", JOB)) == (4, "", "")


# ---- logs ----

def test_logs_are_what_is_stored(folder):
    script = scripted(STARTED, chunk(stdout="out\n", stderr="err\n"), reply({"job": JOB}))
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "logs", JOB)) == (0, "out\n", "err\n")
        assert outcome(ctl(daemon, "logs", JOB, "--stdout")) == (0, "out\n", "")
        assert outcome(ctl(daemon, "logs", JOB, "--stderr", "--tail", "2")) == (0, "err\n", "")
        assert called(daemon, "Follow") == [{"job": JOB, "stored": True}] * 2 + [
            {"job": JOB, "stored": True, "tail": 2}]
        assert outcome(ctl(daemon, "logs", JOB, "--json", "--stderr")) == (
            0, f'{{"job":"{JOB}"}}\n{{"job":"{JOB}","stderr":"err\\n"}}\n{{"job":"{JOB}"}}\n', "")


def test_logs_exit_with_0_however_the_job_ended(folder):
    script = scripted(STARTED, chunk(stdoutMissed=5, stderrMissed=7, stdout="out\n"), job_end(exitCode=3))
    with FakeDaemon(folder, script) as daemon:
        missing = ("posternctl: web.restart: {} bytes of its standard {} are missing here, bytes 0 to {}: the daemon "
                   "no longer had them\n")
        assert outcome(ctl(daemon, "logs", "-f", JOB)) == (
            0, "out\n", missing.format(5, "output", 4) + missing.format(7, "error", 6))
        assert called(daemon, "Follow") == [{"job": JOB}]
        # Of what is not wanted nothing is missing.
        assert outcome(ctl(daemon, "logs", "--follow", "--stdout", JOB)) == (0, "out\n", missing.format(5, "output", 4))


def test_logs_go_on_after_a_broken_connection(folder):
    follows = iter([[STARTED, chunk(stdout="one\n"), CLOSE], [STARTED, chunk(stdout="two\n"), reply({"job": JOB})]])
    with FakeDaemon(folder, scripted(lambda call: next(follows))) as daemon:
        assert outcome(ctl(daemon, "logs", JOB)) == (0, "one\ntwo\n", "")
        assert called(daemon, "Follow")[1] == {"job": JOB, "stdoutOffset": 4, "stderrOffset": 0, "stored": True}


def test_logs_to_a_full_disk(folder):
    with FakeDaemon(folder, scripted(STARTED, chunk(stdout="x"), reply({"job": JOB}))) as daemon:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command(daemon, "logs", JOB), stdout=full, stderr=subprocess.PIPE, timeout=60,
                                  check=False)
    assert done.returncode == 125
    assert done.stderr.startswith(b"posternctl: standard output: No space left on device; ")


# ---- wait ----

def wait_script(*steps):
    """Two jobs, which end with 3 and with 4."""
    def follow(call):
        job = call["parameters"]["job"]
        return [reply({"job": job}, continues=True), *steps, ended_as(job, 3 if job == JOB else 4)]

    return {"Get": [lambda call: [found(call["parameters"]["job"])]], "Follow": [follow]}


def test_wait_exits_with_the_code_of_the_last(folder):
    with FakeDaemon(folder, wait_script()) as daemon:
        assert outcome(ctl(daemon, "wait", JOB)) == (3, "", "")
        assert outcome(ctl(daemon, "wait", JOB, OTHER)) == (4, "", "")
        assert outcome(ctl(daemon, "wait", OTHER, JOB)) == (3, "", "")
        assert called(daemon, "Follow")[0] == {"job": JOB, "output": False}
        done = ctl(daemon, "--json", "wait", JOB, OTHER)
        assert [(line["job"], line["result"]["exitCode"]) for line in map(json.loads, done.stdout.splitlines())] == [
            (JOB, 3), (OTHER, 4)]
        assert (done.returncode, done.stderr) == (4, b"")


def test_wait_waits_for_all(folder):
    go_on = threading.Event()
    with FakeDaemon(folder, wait_script(go_on)) as daemon:
        with subprocess.Popen(command(daemon, "wait", JOB, OTHER), stdout=subprocess.PIPE) as client:
            wait_until(lambda: called(daemon, "Follow"))
            assert client.poll() is None
            go_on.set()
            assert client.wait(60) == 4
            assert len(called(daemon, "Follow")) == 2


# ---- Being interrupted ----

def interrupted(daemon, number, *words):
    with subprocess.Popen(command(daemon, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"on\n"
        client.send_signal(number)
        out, err = client.communicate(timeout=60)
    return client.returncode, out.decode(), err.decode()


@pytest.fixture
def never():
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_attach_is_interrupted(folder, never, number, code):
    with FakeDaemon(folder, scripted(STARTED, chunk(stdout="on\n"), never)) as daemon:
        assert interrupted(daemon, number, "attach", JOB) == (
            code, "", f"posternctl: interrupted: job {JOB} (web.restart) continues; posternctl --socket {daemon.path} "
            f"attach {JOB} shows it\n")
        never.set()


def test_what_the_action_declares_need_not_be_known(folder, never):
    denied = error("NotGranted", message="no longer")
    with FakeDaemon(folder, scripted(STARTED, chunk(stdout="on\n"), never, Describe=[denied])) as daemon:
        assert interrupted(daemon, signal.SIGINT, "attach", JOB) == (
            130, "", f"posternctl: interrupted: job {JOB} (web.restart) continues, or is ended, as the action declares; "
            f"posternctl --socket {daemon.path} attach {JOB} shows which\n")
        never.set()


def run_script(never, **more):
    return {"Describe": [described()], "Run": [STARTED, chunk(stdout="on\n"), never], **more}


CANCELLING = f"posternctl: cancelling job {JOB} (web.restart)\n"
CANCEL = ["run", "--on-interrupt=cancel", "web.restart"]


def test_an_interrupt_that_cancels(folder, never):
    with FakeDaemon(folder, run_script(never, Cancel=[reply({})])) as daemon:
        assert interrupted(daemon, signal.SIGTERM, *CANCEL) == (
            143, "", CANCELLING + f"posternctl: interrupted: job {JOB} (web.restart) is cancelled\n")
        assert called(daemon, "Cancel") == [{"job": JOB}]
        never.set()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_what_waits_for_the_cancelled_job(folder, never, second):
    with FakeDaemon(folder, run_script(never, Cancel=[never])) as daemon:
        with subprocess.Popen(command(daemon, *CANCEL), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            assert client.stdout.readline() == b"on\n"
            client.send_signal(signal.SIGINT)
            wait_until(lambda: called(daemon, "Cancel"))
            # It asks first, and lets itself be ended then.
            wait_until(lambda: not catches(client.pid, second))
            client.send_signal(second)
            assert client.communicate(timeout=60) == (b"", CANCELLING.encode())
        assert client.returncode == -second
        never.set()


def catches(pid, number):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> (number - 1) & 1


@pytest.mark.long  # for as long as posternctl waits
def test_a_job_that_takes_its_time_is_being_cancelled(folder, never):
    with FakeDaemon(folder, run_script(never, Cancel=[never])) as daemon:
        assert interrupted(daemon, signal.SIGINT, *CANCEL) == (
            130, "", CANCELLING + f"posternctl: interrupted: job {JOB} (web.restart) is being cancelled; posternctl "
            f"--socket {daemon.path} attach {JOB} shows its end\n")
        never.set()


def test_an_interrupt_when_the_job_has_ended(folder, never):
    ended = error("org.postern.Jobs.JobEnded", job=JOB, message="it has ended")
    with FakeDaemon(folder, run_script(never, Cancel=[ended])) as daemon:
        assert interrupted(daemon, signal.SIGINT, *CANCEL) == (
            130, "", CANCELLING + f"posternctl: interrupted: job {JOB} (web.restart) has ended; posternctl "
            f"--socket {daemon.path} attach {JOB} shows how\n")
        never.set()


@pytest.mark.parametrize("answer, said, cancels", [
    (STARTED, CANCELLING + f"posternctl: interrupted: job {JOB} (web.restart) is cancelled\n", [{"job": JOB}]),
    (error("Unavailable", message="not now"), "posternctl: interrupted: web.restart was not started: not now\n", []),
    (CLOSE, "posternctl: interrupted: whether web.restart was started is not known, no answer came\n", []),
], ids=["named", "refused", "broken"])
def test_an_interrupt_before_the_job_has_a_name_cancels_it(folder, answer, said, cancels):
    named = threading.Event()
    script = {"Describe": [described()], "Run": [named, answer], "Cancel": [reply({})]}
    with FakeDaemon(folder, script) as daemon:
        with subprocess.Popen(command(daemon, *CANCEL), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            wait_until(lambda: called(daemon, "Run"))
            client.send_signal(signal.SIGTERM)
            assert client.stderr.readline() == b"posternctl: cancelling web.restart\n"
            named.set()
            out, err = client.communicate(timeout=60)
        assert (client.returncode, out, err.decode()) == (143, b"", said)
        assert called(daemon, "Cancel") == cancels
        assert len(called(daemon, "Run")) == 1


@pytest.mark.parametrize("answer, said", [
    (error("Unavailable", message="not now"), "not now"),
    (CLOSE, "{path}: the daemon closed the connection without an answer: it does not serve this caller, or a "
     "limit is reached; the administrator finds the reason in its audit"),
], ids=["refused", "broken"])
def test_an_interrupt_that_can_not_cancel(folder, never, answer, said):
    with FakeDaemon(folder, run_script(never, Cancel=[answer])) as daemon:
        assert interrupted(daemon, signal.SIGINT, *CANCEL) == (
            130, "", CANCELLING + f"posternctl: interrupted: job {JOB} (web.restart) could not be cancelled: "
            f"{said.format(path=daemon.path)}; posternctl --socket {daemon.path} attach {JOB} shows it\n")
        never.set()


def test_an_interrupt_that_detaches(folder, never):
    with FakeDaemon(folder, run_script(never)) as daemon:
        assert interrupted(daemon, signal.SIGHUP, "run", "--on-interrupt=detach", "web.restart") == (
            129, "", f"posternctl: interrupted: job {JOB} (web.restart) continues; posternctl --socket {daemon.path} "
            f"attach {JOB} shows it\n")
        never.set()


def test_what_ends_with_its_caller_can_not_be_detached(folder):
    with FakeDaemon(folder, {"Describe": [described(onDisconnect="kill")]}) as daemon:
        assert outcome(ctl(daemon, "run", "--on-interrupt=detach", "web.restart")) == (
            122, "", 'posternctl: --on-interrupt=detach: web.restart can\'t be detached: its file says "onDisconnect": '
            '"kill", which ends its job when nobody follows it; leave the option out, or give '
            "--on-interrupt=cancel\n")
        assert called(daemon, "Run") == []


# ---- What is said while nothing comes ----

class Terminal:
    """A terminal of its own: posternctl's standard error, and its standard output too unless that is given."""

    def __init__(self, words, columns=80, stdout=None):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.client = subprocess.Popen(
            words, stdin=theirs, stdout=theirs if stdout is None else stdout, stderr=theirs,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.kill()
        self.client.wait()
        os.close(self.ours)

    def read_until(self, pattern):
        """Until this has come; returns all that has."""
        while not re.search(pattern, self.seen):
            self.seen += os.read(self.ours, 4096)
        return self.seen

    def read_all(self):
        with contextlib.suppress(OSError):  # EIO: nobody has the other side any more
            while more := os.read(self.ours, 4096):
                self.seen += more
        self.client.wait(60)
        return self.seen


# ---- Those who read have gone ----

def flood(call):
    """What a job writes that does not end: in small pieces, so that the one who reads goes between two."""
    yield STARTED
    while True:
        yield chunk(stdout="on\n")


@pytest.mark.parametrize("words", [CANCEL, ["run", "--json", *CANCEL[1:]]], ids=["plain", "json"])
@pytest.mark.parametrize("shell", [[], ["/bin/sh", "-c", '"$@"; :', "sh"]], ids=["leader", "in-a-shell"])
def test_a_terminal_that_goes_while_the_job_writes_cancels_it(folder, words, shell):
    """Writing to it fails before its SIGHUP has come, or afterwards."""
    with FakeDaemon(folder, run_script(None, Run=[flood], Cancel=[reply({})])) as daemon:
        for times in range(1, 9):
            with Terminal([*shell, *command(daemon, *words)]) as terminal:
                terminal.read_until(rb"on")
                os.close(terminal.ours)
                terminal.ours = os.open("/dev/null", os.O_RDONLY)
                wait_until(lambda: len(called(daemon, "Cancel")) == times)
                if not shell:
                    assert terminal.client.wait(60) == 129


@pytest.mark.parametrize("words", [CANCEL, ["run", "--json", *CANCEL[1:]]], ids=["plain", "json"])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_pipe_that_breaks_cancels_it(folder, words, kind):
    """As ssh without a terminal has it: no SIGHUP comes."""
    with FakeDaemon(folder, run_script(None, Run=[flood], Cancel=[reply({})])) as daemon:
        if kind == "pipe":
            ours, theirs = (open(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb")))
        else:
            ours, theirs = (open(end.detach(), "rb") for end in socket.socketpair())
        with subprocess.Popen(command(daemon, *words), stdout=theirs, stderr=subprocess.PIPE) as client:
            theirs.close()
            assert ours.read(1)
            ours.close()
            assert client.stderr.read().decode() == (
                CANCELLING + f"posternctl: standard output: Broken pipe; job {JOB} (web.restart) is cancelled\n")
        assert called(daemon, "Cancel") == [{"job": JOB}]
        assert client.returncode == -signal.SIGPIPE


def test_a_pipe_that_breaks_says_what_is_left(folder):
    with FakeDaemon(folder, run_script(None, Run=[flood])) as daemon:
        words = command(daemon, "run", "--on-interrupt=detach", "web.restart")
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            client.stdout.readline()
            client.stdout.close()
            assert client.stderr.read().decode() == (
                f"posternctl: standard output: Broken pipe; job {JOB} (web.restart) continues; posternctl --socket "
                f"{daemon.path} attach {JOB} shows it\n")
        assert client.returncode == -signal.SIGPIPE


def test_output_that_can_not_be_written_cancels_it(folder):
    with FakeDaemon(folder, run_script(None, Run=[flood], Cancel=[reply({})])) as daemon:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command(daemon, *CANCEL), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.stderr.decode() == CANCELLING + (
            f"posternctl: standard output: No space left on device; job {JOB} (web.restart) is cancelled\n")
        assert (done.returncode, called(daemon, "Cancel")) == (125, [{"job": JOB}])


NOTICE = rb"\rposternctl: web.restart has been running for \d+s\x1b\[K"
GONE = rb"\r\x1b\[K"


@pytest.mark.parametrize("words", [["run", "web.restart"], ["attach", JOB]], ids=["run", "attach"])
def test_a_line_says_what_runs_and_goes_away(folder, words):
    go_on = threading.Event()
    steps = [STARTED, chunk(stdout="first\n"), go_on, chunk(stdout="second\n"), job_end(exitCode=5)]
    script = {"Describe": [described()], "Run": steps, "Get": [found(createdAt=10**18)], "Follow": steps}
    with FakeDaemon(folder, script) as daemon, Terminal(command(daemon, *words)) as terminal:
        terminal.read_until(NOTICE)
        go_on.set()
        seen = terminal.read_all()
        assert re.fullmatch(rb"first\r\n(" + NOTICE + rb")+" + GONE + rb"second\r\n", seen), seen
        assert terminal.client.returncode == 5


def test_the_line_goes_away_at_the_end_and_when_interrupted(folder):
    go_on = threading.Event()
    with FakeDaemon(folder, run_script(go_on)) as daemon:
        with Terminal(command(daemon, "run", "web.restart")) as terminal:
            terminal.read_until(NOTICE)
            terminal.client.send_signal(signal.SIGINT)
            seen = terminal.read_all()
            assert re.fullmatch(rb"on\r\n(" + NOTICE + rb")+" + GONE + rb"posternctl: interrupted: .* shows it\r\n",
                                seen), seen
        go_on.set()
    done = threading.Event()
    with FakeDaemon(folder, {"Describe": [described()], "Run": [STARTED, done, job_end(exitCode=0)]}) as daemon:
        with Terminal(command(daemon, "run", "web.restart")) as terminal:
            terminal.read_until(NOTICE)
            done.set()
            seen = terminal.read_all()
            assert re.fullmatch(rb"(" + NOTICE + rb")+" + GONE, seen), seen


def test_the_line_fits_the_terminal(folder, never):
    with FakeDaemon(folder, run_script(never)) as daemon:
        with Terminal(command(daemon, "run", "web.restart"), columns=20) as terminal:
            assert re.search(rb"\rposternctl: web\.\.\.\.\x1b\[K", terminal.read_until(rb"\x1b\[K"))
        never.set()


@pytest.mark.parametrize("path", ["out", "/dev/null"])
def test_the_line_is_shown_where_standard_output_goes_elsewhere(folder, never, path):
    with FakeDaemon(folder, run_script(never)) as daemon:
        with open(folder / path, "wb") as out:
            with Terminal(command(daemon, "run", "web.restart"), stdout=out) as terminal:
                assert re.fullmatch(NOTICE, terminal.read_until(NOTICE))
        never.set()
    assert (folder / path).read_bytes() == (b"on\n" if path == "out" else b"")


@pytest.mark.parametrize("words, first, piped", [
    (["run", "--json", "web.restart"], chunk(stdout="on\n"), False),
    (["run", "web.restart"], chunk(stdout="half a line"), False),
    (["run", "web.restart"], chunk(stderr="on\n"), True),
], ids=["json", "half-a-line", "piped"])
def test_where_no_line_may_stand_there_is_none(folder, words, first, piped):
    """The time in which one would have come is the daemon's: it answers when another client has its line."""
    go_on = threading.Event()
    script = {"Describe": [described()], "Run": [STARTED, first, go_on, job_end(exitCode=0)]}
    stdout = subprocess.PIPE if piped else None
    with FakeDaemon(folder, script) as daemon, Terminal(command(daemon, *words), stdout=stdout) as terminal:
        terminal.read_until(rb"half a line|on")
        other = folder / "other"
        other.mkdir()
        never = threading.Event()
        with FakeDaemon(other, run_script(never)) as beside:
            with Terminal(command(beside, "run", "web.restart")) as later:
                later.read_until(NOTICE)
            never.set()
        go_on.set()
        assert b"running" not in terminal.read_all()
        assert terminal.client.returncode == 0
