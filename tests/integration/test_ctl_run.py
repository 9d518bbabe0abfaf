"""posternctl run and check, against a daemon that says what the test wants."""

import base64
import fcntl
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from fake_daemon import (CLOSE, JOB, STARTED, FakeDaemon, argument, chunk, described, error, job_end,
                         reply)
from harness import wait_until
from posternctl import command, outcome

ARGUMENTS = [argument("service", values=["nginx", "php-fpm"]), argument("count", "integer"),
             argument("force", "boolean"), argument("files", "list", items="string"),
             argument("ports", "list", items="integer")]


def ctl(daemon, *words, **kwargs):
    return subprocess.run(command(daemon, *words), stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, check=False, **kwargs)


def run_script(*steps, description=None):
    return {"Describe": [description or described()], "Run": list(steps), "Follow": [CLOSE]}


def test_output_is_byte_for_byte_and_each_stream_its_own(folder):
    binary = bytes(range(256)) * 3
    text = "Grüße\r\n\x1b[31mrot\x00\u2028"
    script = run_script(STARTED, chunk(stdout=text), chunk(stderr="warn\n", stdout="more"),
                        chunk(stdoutBase64=base64.b64encode(binary).decode()),
                        chunk(stderrBase64=base64.b64encode(b"\xff\xfe").decode()),
                        job_end(exitCode=7))
    with FakeDaemon(folder, script) as daemon:
        done = ctl(daemon, "run", "web.restart")
    assert done.stdout == text.encode() + b"more" + binary
    assert done.stderr == b"warn\n\xff\xfe"
    assert done.returncode == 7


def test_output_in_the_last_reply(folder):
    last = job_end(exitCode=0)
    last["parameters"]["stdout"] = "all of it"
    with FakeDaemon(folder, run_script(STARTED, last)) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (0, "all of it", "")


def test_output_streams_as_it_comes(folder):
    go_on = threading.Event()
    script = run_script(STARTED, chunk(stdout="first\n"), go_on, chunk(stdout="second\n"),
                        job_end(exitCode=0))
    with FakeDaemon(folder, script) as daemon:
        with subprocess.Popen(command(daemon, "run", "web.restart"),
                              stdout=subprocess.PIPE) as client:
            assert client.stdout.readline() == b"first\n"
            go_on.set()
            assert client.stdout.read() == b"second\n"
    assert client.returncode == 0


def test_values_are_typed_as_the_action_says(folder):
    script = run_script(STARTED, job_end(exitCode=0), description=described(arguments=ARGUMENTS))
    with FakeDaemon(folder, script) as daemon:
        done = ctl(daemon, "run", "web.restart", "service=nginx", "count=-12", "force=true",
                   "files=a=b", "ports=80", "files=", "ports=x")
        assert outcome(done) == (0, "", "")
        key = daemon.calls[1]["parameters"].pop("key")
        assert re.fullmatch("[0-9a-f]{32}", key)
        assert daemon.calls == [
            {"method": "org.postern.Actions.Describe", "parameters": {"action": "web.restart"}},
            {"method": "org.postern.Actions.Run", "more": True,
             "parameters": {"action": "web.restart",
                            "arguments": {"service": "nginx", "count": -12, "force": True,
                                          "files": ["a=b", ""], "ports": [80, "x"]}}}]
        assert daemon.connections == 1


def test_without_a_description_values_are_strings(folder):
    """The denial that the caller sees is the one that the daemon gives to Run itself. If Describe is denied, no
    second call is made: it would only be another denial in the audit."""
    denial = '"web.restart" does not exist or is not granted to you (uid 1, gid 2, groups 2)'
    denied = [error("NotGranted", action="web.restart", message=denial)]
    names = denial.replace("uid 1,", "uid 1 (daemon),").replace(" 2", " 2 (bin)")
    strings = {"count": "3", "f": ["a", "b"]}
    for describe, made in ((denied, [None]), ([error("Unavailable", message="later")], [None, strings])):
        with FakeDaemon(folder, {"Describe": describe, "Run": denied, "Check": denied}) as daemon:
            for verb in ("run", "check"):
                done = ctl(daemon, verb, "web.restart", "count=3", "f=a", "f=b")
                assert outcome(done) == (126, "", f"posternctl: {names}\n")
            assert [call["parameters"].get("arguments") for call in daemon.calls] == made * 2


@pytest.mark.parametrize("words, meant", [
    (["nginx"], "service=nginx"),       # one of its values
    (["12"], "count=12"),
    (["true"], "force=true"),
    (["count=1", "nginx"], "service=nginx"),
    (["service=nginx", "count=1", "x"], None),  # none is left that takes it
    (["x y"], None),                    # of two
])
def test_a_word_that_is_only_a_value(folder, words, meant):
    arguments = [ARGUMENTS[0], ARGUMENTS[1], ARGUMENTS[2]]
    if words == ["x y"]:
        arguments = [argument("a"), argument("b")]
    with FakeDaemon(folder, run_script(description=described(arguments=arguments))) as daemon:
        for verb in ("run", "check"):
            done = ctl(daemon, verb, "web.restart", *words)
            word = next(word for word in words if "=" not in word)
            assert outcome(done) == (2, "", f'posternctl: "{word}": write an argument as NAME=VALUE'
                                     + (f"; did you mean {meant}?\n" if meant else "\n"))
        assert {call["method"] for call in daemon.calls} == {"org.postern.Actions.Describe"}


def test_words_after_two_dashes_are_words(folder):
    with FakeDaemon(folder, run_script(STARTED, job_end(exitCode=0))) as daemon:
        assert ctl(daemon, "run", "web.restart", "a=1", "--", "--json=x").returncode == 0
        assert daemon.calls[1]["parameters"]["arguments"] == {"a": "1", "--json": "x"}


def test_an_action_named_like_a_verb(folder):
    with FakeDaemon(folder, run_script(STARTED, job_end(exitCode=3))) as daemon:
        for name in ("run", "list", "call"):
            assert ctl(daemon, "run", name).returncode == 3
            assert daemon.calls[-1]["parameters"]["action"] == name


def test_a_value_that_is_not_utf8_never_leaves(folder):
    with FakeDaemon(folder, run_script(STARTED, job_end(exitCode=0))) as daemon:
        done = ctl(daemon, "run", "web.restart", b"name=\xff")
        assert outcome(done) == (122, "", "posternctl: name: the value is not valid UTF-8\n")
        assert [call["method"] for call in daemon.calls] == ["org.postern.Actions.Describe"]


@pytest.mark.parametrize("name, code", [
    ("NotGranted", 126), ("InvalidArgument", 122), ("InvalidMessage", 122), ("LimitReached", 123),
    ("Unavailable", 123), ("StartFailed", 127), ("org.varlink.service.PermissionDenied", 126),
    ("org.example.Unknown", 125)])
def test_exit_code_of_an_error(folder, name, code):
    answer = error(name, message="it is \x1b[31mso\nand so")
    with FakeDaemon(folder, {"Describe": [described()], "Run": [answer]}) as daemon:
        done = ctl(daemon, "run", "web.restart")
        # Each wrong argument has a line; elsewhere a message is one.
        new_line = "\nposternctl: " if name == "InvalidArgument" else "\\u000a"
        assert outcome(done) == (code, "", f"posternctl: it is \\u001b[31mso{new_line}and so\n")
        done = ctl(daemon, "run", "--json", "web.restart")
        assert (done.returncode, json.loads(done.stdout), done.stderr) == (code, answer, b"")


@pytest.mark.parametrize("parameter", ["arguments"])
def test_a_parameter_that_the_daemon_does_not_take(folder, parameter):
    answer = error("org.varlink.service.InvalidParameter", parameter=parameter)
    with FakeDaemon(folder, run_script(answer)) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (
            122, "", 'posternctl: the daemon rejected the parameter "arguments": it is unknown, '
            "not valid, or required and not given\n")


@pytest.mark.parametrize("end, code, line", [
    ({"outcome": "exited", "exitCode": 0}, 0, None),
    ({"outcome": "exited", "exitCode": 255}, 255, None),
    ({"outcome": "signaled", "signal": 15}, 143, "ended by signal 15 (TERM)"),
    ({"outcome": "signaled", "signal": 9}, 137, "ended by signal 9 (KILL)"),
    ({"outcome": "signaled", "signal": 40}, 168, "ended by signal 40"),
    ({"outcome": "timeout", "signal": 15}, 124, "ended by signal 15 (TERM): timed out after 30s"),
    ({"outcome": "timeout"}, 124, "ended: timed out after 30s"),
    ({"outcome": "stopped", "signal": 15}, 143, "ended by signal 15 (TERM): the daemon stopped"),
    ({"outcome": "disconnected", "signal": 9}, 137,
     "ended by signal 9 (KILL): the connection that started it was closed"),
    ({"outcome": "out-of-memory", "signal": 9}, 137,
     "ended by signal 9 (KILL): its memory was used up"),
    ({"outcome": "lost"}, 125, f"what became of job {JOB} is not known: the daemon died"),
    ({"outcome": "eaten"}, 125, 'ended in a way that this posternctl does not know: "eaten"'),
], ids=lambda value: value if isinstance(value, str) else None)
def test_how_a_job_ended(folder, end, code, line):
    with FakeDaemon(folder, run_script(STARTED, job_end(**end))) as daemon:
        said = f"posternctl: web.restart: {line}\n" if line else ""
        assert outcome(ctl(daemon, "run", "web.restart")) == (code, "", said)
        done = ctl(daemon, "run", "web.restart", "--json")
        assert (done.returncode, done.stderr) == (code, b"")
        assert json.loads(done.stdout.splitlines()[-1])["result"]["outcome"] == end["outcome"]


def test_json_is_one_reply_a_line(folder):
    script = run_script(STARTED, chunk(stdout="a\nb\x7f\u2028"), chunk(stderrBase64="//4="),
                        job_end(exitCode=124))
    with FakeDaemon(folder, script) as daemon:
        for words in (["--json", "run", "web.restart"], ["run", "--json", "web.restart"],
                      ["run", "web.restart", "--json"]):
            done = ctl(daemon, *words)
            assert [json.loads(line) for line in done.stdout.splitlines()] == [
                {"job": JOB}, {"job": JOB, "stdout": "a\nb\x7f\u2028"},
                {"job": JOB, "stderrBase64": "//4="}, job_end(exitCode=124)["parameters"]]
            # Nothing that a terminal or a reader could take for something else.
            assert done.stdout.isascii() and b"\x7f" not in done.stdout
            assert (done.returncode, done.stderr) == (124, b"")


MISSING = ("posternctl: web.restart: 5 bytes of its standard output are missing here, bytes 4 to 8: the "
           "daemon no longer had them\n")


def incomplete(code):
    return (f"posternctl: web.restart: not all of its output is there, so the exit code is 125; the job's own "
            f"is {code}\n")


@pytest.mark.parametrize("end, own, line", [
    ({"exitCode": 0}, 0, ""), ({"exitCode": 3}, 3, ""),
    ({"outcome": "signaled", "signal": 15}, 143,
     "posternctl: web.restart: ended by signal 15 (TERM)\n")], ids=["success", "failure", "signal"])
def test_what_is_missing_is_said_where_it_is_missing_and_at_the_end(folder, end, own, line):
    """The job's own exit code would say that all came."""
    script = run_script(STARTED, chunk(stderr="one\n", stdout="zero"), chunk(stdoutMissed=5, stdout="two\n"),
                        chunk(stderr="three\n"), job_end(**end))
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (
            125, "zerotwo\n", f"one\n{MISSING}three\n{line}{incomplete(own)}")
        done = ctl(daemon, "run", "--json", "web.restart")
        assert (done.returncode, done.stderr.decode()) == (125, MISSING + incomplete(own))
        assert len(done.stdout.splitlines()) == 5


def test_an_end_that_the_daemon_could_not_keep(folder):
    last = job_end(exitCode=0, stdoutLostFrom=4096)
    with FakeDaemon(folder, run_script(STARTED, chunk(stdout="x"), last)) as daemon:
        lost = ("posternctl: web.restart: its standard output is lost from byte 4096 on: the daemon could "
                "not keep it\n")
        assert outcome(ctl(daemon, "run", "web.restart")) == (125, "x", lost + incomplete(0))
        done = ctl(daemon, "run", "--json", "web.restart")
        assert (done.returncode, done.stderr.decode()) == (125, lost + incomplete(0))


def test_what_is_missing_in_a_reply_that_has_all(folder):
    """A daemon that does not stream, as without "more"."""
    last = job_end(exitCode=0)
    last["parameters"] |= {"stdout": "begin", "stderrMissed": 7}
    with FakeDaemon(folder, run_script(STARTED, last)) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (
            125, "begin", "posternctl: web.restart: 7 bytes of its standard error are missing here, bytes 0 "
            "to 6: the daemon no longer had them\n" + incomplete(0))


@pytest.mark.parametrize("steps, said", [
    ([STARTED, chunk(stdout="half"), CLOSE],
     f": the daemon closed the connection during the call; job {JOB} (web.restart) may still be running: when the "
     f"daemon runs again, posternctl --socket {{path}} attach {JOB} shows it"),
    ([CLOSE], ": the daemon closed the connection during the call"),
    ([STARTED, reply({"job": JOB})],
     ": the daemon's answer can't be understood: the last reply has no result"),
    ([STARTED, job_end(exitCode=256)],
     ": the daemon's answer can't be understood: exitCode of the job's result is not what it must be"),
    ([STARTED, chunk(stdoutBase64="a")],
     ": the daemon's answer can't be understood: stdoutBase64 is not valid base64"),
    ([STARTED, chunk(stdoutBase64=1), job_end(exitCode=0)],
     ": the daemon's answer can't be understood: stdoutBase64 is not valid base64"),
    ([STARTED, chunk(stdout=["x"]), job_end(exitCode=0)],
     ": the daemon's answer can't be understood: stdout is not text"),
    ([STARTED, chunk(stderr="x", stderrBase64="eA=="), job_end(exitCode=0)],
     ": the daemon's answer can't be understood: stderr comes twice"),
    ([STARTED, chunk(stdoutMissed=-1), job_end(exitCode=0)],
     ": the daemon's answer can't be understood: stdoutMissed is -1"),
    ([STARTED, chunk(stderrMissed="1"), job_end(exitCode=0)],
     ": the daemon's answer can't be understood: stderrMissed is \"1\""),
    ([STARTED, job_end(exitCode=0, stdoutLostFrom="1")],
     ": the daemon's answer can't be understood: stdoutLostFrom of the job's result is not what it must be"),
], ids=["mid-job", "before-start", "no-result", "exit-code", "base64", "number", "list", "twice", "negative",
        "missed", "lost"])
def test_the_daemon_breaks_off(folder, steps, said):
    with FakeDaemon(folder, run_script(*steps)) as daemon:
        done = ctl(daemon, "run", "web.restart")
        assert done.returncode == 125
        assert done.stderr.decode() == f"posternctl: {daemon.path}{said.replace('{path}', str(daemon.path))}\n"


def test_it_goes_on_where_it_was_when_the_daemon_is_back(folder):
    result = job_end(exitCode=4)
    script = run_script(STARTED, chunk(stdout="one\n", stderrBase64="/w=="), chunk(stdout="\u20ac"), CLOSE)
    follows = iter([[STARTED, chunk(stderr="two\n"), CLOSE],
                    [STARTED, chunk(stdout="end\n"), result]])
    script["Follow"] = [lambda call: next(follows)]
    with FakeDaemon(folder, script) as daemon:
        done = ctl(daemon, "run", "web.restart")
        assert done.returncode == 4
        assert done.stdout == "one\n\u20acend\n".encode()
        assert done.stderr == b"\xfftwo\n"
        assert [call["parameters"] for call in daemon.calls if call["method"].endswith("Follow")] == [
            {"job": JOB, "stdoutOffset": stdout, "stderrOffset": stderr}
            for stdout, stderr in ((7, 1), (7, 5))]


def test_what_is_gone_when_the_daemon_is_back_is_missing(folder):
    script = run_script(STARTED, chunk(stdout="zero"), CLOSE)
    follows = iter([[STARTED, chunk(stdoutMissed=5, stdout="on\n"), CLOSE],
                    [STARTED, job_end(exitCode=0)]])
    script["Follow"] = [lambda call: next(follows)]
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (125, "zeroon\n", MISSING + incomplete(0))
        assert [call["parameters"]["stdoutOffset"] for call in daemon.calls
                if call["method"].endswith("Follow")] == [4, 12]


def test_a_call_whose_answer_was_lost_is_made_again_with_its_key(folder):
    runs = iter([[CLOSE], [CLOSE], [STARTED, job_end(exitCode=4)]])
    script = {"Describe": [described()], "Run": [lambda call: next(runs)]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (4, "", "")
        methods = [call["method"].rpartition(".")[2] for call in daemon.calls]
        assert methods == ["Describe", "Run", "Run", "Run"]
        assert len({call["parameters"]["key"] for call in daemon.calls[1:]}) == 1


def test_a_job_that_never_began_is_started_again(folder):
    """By a daemon that came in the place of another; else it is the daemon's word that counts."""
    unavailable = error("Unavailable", message="not now")
    runs = iter([[CLOSE], [unavailable], [STARTED, job_end(exitCode=4)]])
    script = {"Describe": [described()], "Run": [lambda call: next(runs)]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (4, "", "")
    with FakeDaemon(folder, run_script(unavailable)) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (123, "", "posternctl: not now\n")
        assert daemon.connections == 1
    runs = iter([[CLOSE], *[[unavailable]] * 9])
    with FakeDaemon(folder, script) as daemon:
        script["Run"] = [lambda call: next(runs)]
        assert outcome(ctl(daemon, "run", "web.restart")) == (123, "", "posternctl: not now\n")
        assert daemon.connections == 4


STOPS = error("Unavailable", message="the daemon is stopping; try again", retryable=True)


def test_a_daemon_that_stops_is_not_spoken_of(folder):
    """It says that nothing began: the next one starts the job, and the same key is given to it."""
    runs = iter([[STOPS], [STOPS], [STARTED, job_end(exitCode=4)]])
    script = {"Describe": [described()], "Run": [lambda call: next(runs)]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (4, "", "")
        assert daemon.connections == 3
        assert len({call["parameters"]["key"] for call in daemon.calls if call["method"].endswith("Run")}) == 1
    with FakeDaemon(folder, run_script(STOPS)) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (
            123, "", "posternctl: the daemon is stopping; try again\n")
        assert daemon.connections == 4
    # A job that was named may have begun, whatever is said of it afterwards.
    with FakeDaemon(folder, run_script(STARTED, STOPS)) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart"))[0] == 123
        assert daemon.connections == 1


@pytest.mark.parametrize("words, method, good, said", [
    (["check"], "Check", reply({}), "web.restart: would run\n"),
    (["run", "--detach"], "Run", reply({"job": JOB}), JOB + "\n")])
def test_a_daemon_that_stops_is_asked_once_more(folder, words, method, good, said):
    steps = iter([[STOPS], [good]])
    script = {"Describe": [described()], method: [lambda call: next(steps)]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, *words, "web.restart")) == (0, said, "")
        assert daemon.connections == 2
    script[method] = [STOPS]
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, *words, "web.restart")) == (
            123, "", "posternctl: the daemon is stopping; try again\n")
        assert daemon.connections == 2


def test_a_daemon_that_never_gets_further_is_given_up(folder):
    script = run_script(STARTED, CLOSE)
    script["Follow"] = [STARTED, CLOSE]
    with FakeDaemon(folder, script) as daemon:
        done = ctl(daemon, "run", "web.restart")
        assert outcome(done) == (
            125, "", f"posternctl: {daemon.path}: the daemon closed the connection during the call; job {JOB} "
            f"(web.restart) may still be running: when the daemon runs again, posternctl --socket {daemon.path} "
            f"attach {JOB} shows it\n")
        assert daemon.connections == 4


@pytest.mark.parametrize("refusals, code, said", [(1, 7, ""), (2, 123, "posternctl: make a new one\n")])
def test_direct_data_over_a_connection_that_can_not_carry_it(folder, refusals, code, said):
    """It was made before the action's file said so. The call is made anew, once."""
    refused = error("org.postern.Actions.LimitReached", limit="connection", message="make a new one")
    answers = [[refused]] * refusals + [[STARTED, job_end(exitCode=7)]]
    script = {"Describe": [described(output="direct")], "Run": [lambda _: answers.pop(0)]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "run", "web.restart")) == (code, "", said)
        assert daemon.connections == 2
        runs = [call["parameters"] for call in daemon.calls if call["method"].endswith(".Run")]
        assert len(runs) == 2 and runs[0] == runs[1]


# ---- Being interrupted ----

@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("on_disconnect, said", [
    ("keep", "continues; posternctl --socket {path} attach {job} shows it"), ("kill", "is being ended")])
def test_interrupted(folder, number, code, on_disconnect, said):
    never = threading.Event()
    script = run_script(STARTED, chunk(stdout="on\n"), never,
                        description=described(onDisconnect=on_disconnect))
    with FakeDaemon(folder, script) as daemon:
        with subprocess.Popen(command(daemon, "run", "web.restart"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as client:
            assert client.stdout.readline() == b"on\n"
            client.send_signal(number)
            out, err = client.communicate(timeout=60)
        never.set()
    assert (client.returncode, out) == (code, b"")
    assert err.decode() == f"posternctl: interrupted: job {JOB} (web.restart) {said.format(path=daemon.path, job=JOB)}\n"


@pytest.mark.parametrize("script, method, said", [
    ({"Describe": []}, "Describe", "web.restart was not started"),
    ({"Describe": [described()], "Run": []}, "Run",
     "whether web.restart was started is not known, no answer had come"),
], ids=["before", "unanswered"])
def test_interrupted_before_there_is_a_job(folder, script, method, said):
    with FakeDaemon(folder, script) as daemon:
        with subprocess.Popen(command(daemon, "run", "web.restart"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as client:
            wait_until(lambda: daemon.calls and daemon.calls[-1]["method"].endswith(method))
            client.send_signal(signal.SIGINT)
            out, err = client.communicate(timeout=60)
    assert (client.returncode, out) == (130, b"")
    assert err.decode() == f"posternctl: interrupted: {said}\n"


def test_interrupted_while_nobody_reads_the_output(folder):
    flood = [chunk(stdout="x" * 4096) for _ in range(512)]
    with FakeDaemon(folder, run_script(STARTED, *flood, job_end(exitCode=0))) as daemon:
        with subprocess.Popen(command(daemon, "run", "web.restart"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as client:
            # The pipe is full once the client waits with bytes in hand.
            wait_until(lambda: unread(client.stdout) >= 60000)
            client.send_signal(signal.SIGINT)
            assert client.stderr.read().decode().endswith(f" attach {JOB} shows it\n")
    assert client.returncode == 130


def unread(stream):
    waiting = bytearray(4)
    fcntl.ioctl(stream.fileno(), 0x541B, waiting)  # FIONREAD
    return int.from_bytes(waiting, "little")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_ignored_interrupt_stays_ignored(folder, number):
    """A shell starts background jobs so, and nohup."""
    go_on = threading.Event()
    script = run_script(STARTED, chunk(stdout="on\n"), go_on, job_end(exitCode=4))
    with FakeDaemon(folder, script) as daemon:
        with subprocess.Popen(command(daemon, "run", "web.restart"), stdout=subprocess.PIPE,
                              preexec_fn=lambda: signal.signal(number, signal.SIG_IGN)
                              ) as client:
            assert client.stdout.readline() == b"on\n"
            client.send_signal(number)
            go_on.set()
            assert client.wait(60) == 4


# ---- Standard output ----

@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_closed_stdout_ends_it_by_sigpipe(folder, inherited):
    go_on = threading.Event()
    script = run_script(STARTED, chunk(stdout="first\n"), go_on, chunk(stdout="second\n"),
                        job_end(exitCode=0))
    with FakeDaemon(folder, script) as daemon:
        with subprocess.Popen(command(daemon, "run", "web.restart"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, restore_signals=False,
                              preexec_fn=lambda: signal.signal(signal.SIGPIPE, inherited)
                              ) as client:
            assert client.stdout.readline() == b"first\n"
            client.stdout.close()
            go_on.set()
            assert client.wait(60) == -signal.SIGPIPE
            assert client.stderr.read() == b""


def test_a_nonblocking_stdout_loses_nothing(folder):
    text = "".join(f"{n:07}\n" for n in range(50000))
    pieces = [chunk(stdout=text[at:at + 30000]) for at in range(0, len(text), 30000)]
    with FakeDaemon(folder, run_script(STARTED, *pieces, job_end(exitCode=0))) as daemon:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with subprocess.Popen(command(daemon, "run", "web.restart"), stdout=writer) as client:
            os.close(writer)
            wait_until(lambda: unread(os.fdopen(os.dup(reader))) >= 60000)
            with os.fdopen(reader) as output:
                assert output.read() == text
    assert client.returncode == 0


def test_stdout_is_closed_from_the_start(folder):
    with FakeDaemon(folder, run_script(STARTED, chunk(stdout="x"), job_end(exitCode=0))) as daemon:
        done = subprocess.run(["/bin/sh", "-c", '"$@" >&-', "sh",
                               *command(daemon, "run", "web.restart")], stderr=subprocess.PIPE,
                              timeout=60, check=False)
    assert (done.returncode, done.stderr.decode()) == (
        125, f"posternctl: standard output: Bad file descriptor; job {JOB} (web.restart) continues; posternctl "
        f"--socket {daemon.path} attach {JOB} shows it\n")


@pytest.mark.parametrize("on_disconnect, said", [
    ("keep", "continues; posternctl --socket {path} attach {job} shows it"), ("kill", "is being ended")])
def test_a_full_disk(folder, on_disconnect, said):
    script = run_script(STARTED, chunk(stdout="x"), job_end(exitCode=0),
                        description=described(onDisconnect=on_disconnect))
    with FakeDaemon(folder, script) as daemon:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command(daemon, "run", "web.restart"), stdout=full,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr.decode()) == (
        125, f"posternctl: standard output: No space left on device; job {JOB} (web.restart) "
        f"{said.format(path=daemon.path, job=JOB)}\n")


# ---- check ----

def test_check(folder):
    script = {"Describe": [described(arguments=ARGUMENTS)], "Check": [reply({})]}
    with FakeDaemon(folder, script) as daemon:
        assert outcome(ctl(daemon, "check", "web.restart", "count=3")) == (
            0, "web.restart: would run\n", "")
        assert daemon.calls[1] == {"method": "org.postern.Actions.Check", "parameters": {
            "action": "web.restart", "arguments": {"count": 3}}}
        assert outcome(ctl(daemon, "check", "web.restart", "count=3", "--json")) == (0, "{}\n", "")
