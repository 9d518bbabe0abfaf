"""posternctl list, describe, whoami, ping, call; and its usage."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import pytest

from fake_daemon import (CLOSE, JOB, STARTED, FakeDaemon, argument, chunk, described, error, job_end,
                         reply)
from harness import program
from posternctl import command, outcome


def ctl(daemon, *words, **kwargs):
    kwargs.setdefault("input", "")
    return subprocess.run(command(daemon, *words), text=True,
                          capture_output=True, timeout=60, check=False, **kwargs)


ACTIONS = [{"name": "disk-usage", "summary": "Say how full a place is"},
           {"name": "hello", "summary": "Greet \x1b[31msomebody\u202e, " + "at length " * 12}]


def test_list(folder):
    with FakeDaemon(folder, {"List": [reply({"actions": ACTIONS})]}) as daemon:
        code, out, err = outcome(ctl(daemon, "list"))
        assert (code, err) == (0, "")
        assert out == ("disk-usage  Say how full a place is\n"
                       "hello       Greet \\u001b[31msomebody\\u202e, " + "at length " * 12 + "\n")
        assert daemon.calls == [{"method": "org.postern.Actions.List"}]


def test_list_on_a_terminal_is_cut_to_its_width(folder):
    with FakeDaemon(folder, {"List": [reply({"actions": ACTIONS})]}) as daemon:
        ours, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
        subprocess.run([program("posternctl"), "--socket", daemon.path, "list"], stdout=terminal,
                       timeout=60, check=True)
        os.close(terminal)
        lines = os.read(ours, 65536).decode().split("\r\n")
        os.close(ours)
    assert lines == ["disk-usage  Say how full a place is",
                     "hello       Greet \\u001b[31msomebody\\...", ""]
    assert len(lines[1]) == 40


def test_list_of_nothing(folder):
    with FakeDaemon(folder, {"List": [reply({"actions": []})]}) as daemon:
        assert outcome(ctl(daemon, "list")) == (
            0, "", "posternctl: you may not run any action (see: posternctl whoami)\n")
        assert outcome(ctl(daemon, "list", "--json")) == (0, '{"actions":[]}\n', "")


def test_describe(folder):
    action = described("web.restart", [
        argument("service", summary="Which one", values=["nginx", "php fpm"]),
        argument("count", "integer", minimum=1, maximum=10, required=False, default=3),
        argument("tags", "list", items="string", minItems=2, maxItems=3, pattern="[a-z]+"),
        argument("token", secret=True, minLength=8, maxLength=8),
        argument("force", "boolean", required=False),
    ], summary="Restart a web service", description="First line\n\nand \x9bmore", timeoutSeconds=5400)
    with FakeDaemon(folder, {"Describe": [action]}) as daemon:
        assert outcome(ctl(daemon, "describe", "web.restart")) == (0, """\
web.restart - Restart a web service

  First line

  and \\u009bmore

Arguments:
  service  string; one of nginx, php fpm
           Which one
  count    integer; 1 to 10; default 3
  tags     list of strings; 2 to 3 of them; each must match [a-z]+
  token    string; exactly 8 bytes long; secret
  force    boolean; optional

Times out after 1h 30min. Continues when its caller disconnects.
""", "")  # no example: which tags match the pattern is not known here
        done = ctl(daemon, "describe", "--json", "web.restart")
        assert json.loads(done.stdout) == action["parameters"]
        assert done.stdout.isascii() and done.stdout.count("\n") == 1


def test_describe_an_action_without_arguments(folder):
    action = described("stop", onDisconnect="kill", timeoutSeconds=30, datagram=False)
    with FakeDaemon(folder, {"Describe": [action]}) as daemon:
        assert outcome(ctl(daemon, "describe", "stop")) == (0, """\
stop - Does it

Arguments: none

Times out after 30s. Ends when its caller disconnects.

Example: posternctl run stop
""", "")


def test_describe_an_action_that_a_packet_may_run(folder):
    with FakeDaemon(folder, {"Describe": [described("stop", datagram=True)]}) as daemon:
        assert ctl(daemon, "describe", "stop").stdout.splitlines()[-3] == (
            "Times out after 30s. Continues when its caller disconnects. Can be run by datagram (notify, run --datagram).")


def test_whoami_names_what_has_a_name(folder):
    identity = {"uid": 5, "gid": 60, "groups": [60, 100, 64999], "pid": 77}
    with FakeDaemon(folder, {"WhoAmI": [reply(identity)]}) as daemon:
        assert outcome(ctl(daemon, "whoami")) == (0, """\
uid     5 (games)
gid     60 (games)
groups  60 (games), 100 (users), 64999
pid     77
unit    not known
""", "")
        assert json.loads(ctl(daemon, "--json", "whoami").stdout) == identity
        identity.update(unit="ci\x07.service", uid=2147483648, groups=[])
        lines = ctl(daemon, "whoami").stdout.splitlines()
        assert lines == ["uid     2147483648", "gid     60 (games)", "groups  none", "pid     77",
                         "unit    ci\\u0007.service"]


@pytest.mark.parametrize("uid", [-1, 4294967295, "0", 1.5, None])
def test_whoami_believes_no_id_that_is_none(folder, uid):
    identity = {"uid": uid, "gid": 60, "groups": [], "pid": 77}
    with FakeDaemon(folder, {"WhoAmI": [reply(identity)]}) as daemon:
        done = ctl(daemon, "whoami")
        assert outcome(done) == (125, "", f"posternctl: {daemon.path}: the daemon's answer can't be "
                                 "understood: it has no uid, gid or pid\n")


def test_ping(folder):
    script = {"Ping": [lambda call: [reply({"pong": call["parameters"]["ping"]})]]}
    with FakeDaemon(folder, script) as daemon:
        code, out, err = outcome(ctl(daemon, "ping"))
        assert (code, err) == (0, "")
        assert re.fullmatch(re.escape(daemon.path) + r": answered in \d+\.\d\d ms\n", out)
        done = json.loads(ctl(daemon, "ping", "--json").stdout)
        assert done.pop("roundTripMicroseconds") > 0
        assert done == {"pong": "posternctl"}


# ---- call ----

def test_call(folder):
    odd = b'{"parameters": {"pong": "a\xe2\x80\xae\x7f"},\n "continues": false}\0'
    with FakeDaemon(folder, {"Ping": [odd], "List": [reply({})]}) as daemon:
        assert outcome(ctl(daemon, "call", "org.postern.Actions.Ping", '{"ping": 1.50}')) == (
            0, '{"parameters": {"pong": "a\\u202e\\u007f"},  "continues": false}\n', "")
        assert ctl(daemon, "call", "a.List").returncode == 0
        assert daemon.calls == [{"method": "org.postern.Actions.Ping", "parameters": {"ping": 1.5}},
                                {"method": "a.List"}]


def test_call_with_more(folder):
    with FakeDaemon(folder, {"Run": [STARTED, chunk(stdout="x"), job_end(exitCode=9)]}) as daemon:
        done = ctl(daemon, "call", "--more", "org.postern.Actions.Run", '{"action": "a"}')
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            STARTED, chunk(stdout="x"), job_end(exitCode=9)]
        assert (done.returncode, done.stderr) == (0, "")
        assert daemon.calls[0]["more"] is True


def test_call_of_what_is_not_there(folder):
    with FakeDaemon(folder, {}) as daemon:
        done = ctl(daemon, "call", "org.example.No")
        assert (done.returncode, done.stderr) == (125, "")
        assert json.loads(done.stdout) == error("org.varlink.service.MethodNotFound",
                                                method="org.example.No")


@pytest.mark.parametrize("text, said", [
    ('{"a": 1, "a": 2}', "call: the parameters are not JSON: "),
    ("{", "call: the parameters are not JSON: "),
    ("[]", "call: the parameters must be a JSON object, e.g. '{\"ping\": \"hello\"}'\n"),
])
def test_call_with_what_is_no_json(folder, text, said):
    with FakeDaemon(folder, {}) as daemon:
        done = ctl(daemon, "call", "org.postern.Actions.Ping", text)
        assert (done.returncode, done.stdout, daemon.connections) == (2, "", 0)
        assert done.stderr.startswith("posternctl: " + said)


def echo(call):
    return [reply({"pong": call["parameters"]["ping"]})]


def pings(count):
    return "".join(json.dumps({"method": "org.postern.Actions.Ping", "parameters": {"ping": str(n)}})
                   + "\n" for n in range(count))


def test_call_lines_one_connection_answers_in_order(folder):
    with FakeDaemon(folder, {"Ping": [echo]}) as daemon:
        done = ctl(daemon, "call", "--lines", input="\n  \n" + pings(1000).rstrip("\n"))
        assert outcome(done) == (0, "".join(
            json.dumps(reply({"pong": str(n)})) + "\n" for n in range(1000)), "")
        assert daemon.connections == 1


def test_call_lines_goes_ahead_of_the_answers_but_not_far(folder):
    """The answer to the first call comes when 31 more calls are there; a 33rd would come later."""
    ahead = threading.Event()
    seen = []

    class Counting(FakeDaemon):
        def _serve(self, connection):
            with connection:
                got = b""
                while got.count(b"\0") < 32:
                    got += connection.recv(65536)
                connection.settimeout(0.3)
                try:
                    got += connection.recv(65536)
                except TimeoutError:
                    pass
                seen.append(got.count(b"\0"))
                ahead.set()

    with Counting(folder, {}) as daemon:
        done = ctl(daemon, "call", "--lines", input=pings(100))
        assert ahead.wait(60)
        assert seen == [32]
        assert outcome(done) == (125, "", f"posternctl: {daemon.path}: the daemon closed the "
                                 "connection without an answer: it does not serve this "
                                 "caller, or a limit is reached; the administrator finds the reason in its audit; 32 calls were "
                                 "not answered\n")


def test_call_lines_answers_while_input_is_open(folder):
    with FakeDaemon(folder, {"Ping": [echo]}) as daemon:
        with subprocess.Popen([program("posternctl"), "--socket", daemon.path, "call", "--lines"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            for text in ("a", "b"):
                call = {"method": "org.postern.Actions.Ping", "parameters": {"ping": text}}
                client.stdin.write(json.dumps(call) + "\n")
                client.stdin.flush()
                assert json.loads(client.stdout.readline()) == reply({"pong": text})
            client.stdin.close()
            assert client.wait(60) == 0


def test_call_lines_with_more_and_oneway(folder):
    script = {"Run": [STARTED, chunk(stdout="x"), job_end(exitCode=0)], "Quiet": [], "Ping": [echo]}
    calls = [{"method": "a.Run", "parameters": {}, "more": True}, {"method": "a.Quiet", "oneway": True},
             {"method": "a.Ping", "parameters": {"ping": "y"}}, {"method": "a.Quiet", "oneway": True}]
    with FakeDaemon(folder, script) as daemon:
        done = ctl(daemon, "call", "--lines", input="".join(json.dumps(c) + "\n" for c in calls))
        assert done.returncode == 0
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            *script["Run"], reply({"pong": "y"})]
        assert JOB in done.stdout


def test_call_lines_exits_with_the_first_error(folder):
    script = {"Ping": [echo], "Run": [error("NotGranted", action="a", message="no")],
              "Check": [error("InvalidArgument", action="a", argument="b", message="no")]}
    lines = pings(1) + '{"method": "a.Run"}\n{"method": "a.Check"}\n' + pings(1)
    with FakeDaemon(folder, script) as daemon:
        done = ctl(daemon, "call", "--lines", input=lines)
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (126, "", 4)


@pytest.mark.parametrize("line, said", [
    ("{", "not a call: "),
    ("[]", 'not a call: it is an object like {"method": "...", "parameters": {}}'),
    ('{"method": "a.Ping", "method": "a.Run"}', "not a call: "),
    ('{"method": "a.Ping", "parameters": "' + "x" * 65536 + '"}', ""),
], ids=["half", "array", "twice", "long"])
def test_call_lines_stops_at_a_line_that_is_no_call(folder, line, said):
    with FakeDaemon(folder, {"Ping": [echo]}) as daemon:
        done = ctl(daemon, "call", "--lines", input=pings(2) + line + "\n" + pings(2))
        assert done.returncode == 122
        # What came before is answered, what comes after is not sent.
        assert [json.loads(answer)["parameters"]["pong"] for answer in done.stdout.splitlines()] == [
            "0", "1"]
        assert done.stderr.startswith(f"posternctl: standard input, line 3: {said}")
        assert done.stderr.count("\n") == 1
        assert len(daemon.calls) == 2


def test_call_lines_broken_off(folder):
    script = {"Ping": [lambda call: [CLOSE] if call["parameters"]["ping"] == "2" else echo(call)]}
    with FakeDaemon(folder, script) as daemon:
        done = ctl(daemon, "call", "--lines", input=pings(4))
        assert done.returncode == 125
        assert done.stdout.count("\n") == 2
        assert done.stderr == (f"posternctl: {daemon.path}: the daemon closed the connection during the call; 2 calls "
                               "were not answered\n")


# ---- Usage ----

def bare(*words):
    return subprocess.run([program("posternctl"), *words], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)


def test_no_arguments_is_short_usage():
    done = bare()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "Usage: posternctl [--socket PATH | --user] [--json] VERB [...]\nVerbs:\n")
    assert done.stderr.count("\n") < 24
    for verb in ("run", "notify", "list", "describe", "check", "whoami", "ping", "call"):
        assert f"\n  {verb} " in done.stderr


USAGE_ERRORS = [
    (["nonsense"], 'unknown verb "nonsense"'),
    (["--nonsense"], 'unknown option "--nonsense"'),
    (["--", "list"], 'unknown verb "list"'),
    (["--json"], "a verb is required"),
    (["--socket"], "--socket: PATH is required"),
    (["run"], "run: ACTION is required"),
    (["notify"], "notify: ACTION is required"),
    (["describe"], "describe: ACTION is required"),
    (["check"], "check: ACTION is required"),
    (["call"], "call: METHOD is required"),
    (["describe", "a", "b"], 'describe: one word too many: "b"'),
    (["list", "a"], 'list: one word too many: "a"'),
    (["ping", "--", "a"], 'ping: one word too many: "a"'),
    (["call", "m", "{}", "x"], 'call: one word too many: "x"'),
    (["call", "--lines", "m"], "--lines reads whole calls from standard input; give no METHOD, JSON or --more with it"),
    (["run", "a", "--nonsense"],
     'run: unknown option "--nonsense" (write -- before a word that begins with -)'),
    (["list", "--more"], "list: --more does not apply here; it is for call"),
    (["lst"], 'unknown verb "lst"; did you mean list?'),
    (["nonsense", "--help"], 'unknown verb "nonsense"'),
    (["--help", "nonsense"], 'unknown verb "nonsense"'),
    (["--js", "list"], 'unknown option "--js"'),
    (["--user", "--socket", "/s", "list"], "--user and --socket name two different sockets"),
    (["run", "--user", "a", "--socket", "/s"], "--user and --socket name two different sockets"),
]


@pytest.mark.parametrize("words, said", USAGE_ERRORS, ids=lambda value: "-".join(value)
                         if isinstance(value, list) else "")
def test_usage_errors(words, said):
    done = bare(*words)
    assert (done.returncode, done.stdout) == (2, "")
    first, usage, more, rest = done.stderr.split("\n")
    assert first == "posternctl: " + said
    assert usage.startswith("Usage: posternctl ")
    assert re.fullmatch(r"More: posternctl (\w+ )?--help", more) and rest == ""


@pytest.mark.parametrize("word", ["name", "=x", "", "[", "{}"])
def test_an_argument_that_is_not_name_and_value(word):
    done = bare("--socket", "/nonexistent", "run", "hello", word)
    assert outcome(done) == (2, "", f'posternctl: "{word}": write an argument as NAME=VALUE\n')


def test_a_word_in_brackets_is_one_word(folder):
    """Option libraries like to split them."""
    with FakeDaemon(folder, {"Describe": [described()], "Check": [reply({})]}) as daemon:
        assert ctl(daemon, "check", "a", "[a=1,b=2]").returncode == 0
        assert daemon.calls[1]["parameters"]["arguments"] == {"[a": "1,b=2]"}


def test_help_and_version():
    assert re.fullmatch(r"posternctl \d+\.\d+\.\d+\n", bare("--version").stdout)
    general = bare("--help")
    assert (general.returncode, general.stderr) == (0, "")
    assert "\nExamples:\n" in general.stdout and "\nExit codes: " in general.stdout
    for verb in ("run", "notify", "list", "describe", "check", "whoami", "ping", "call"):
        done = bare(verb, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"Usage: posternctl {verb}")
        assert re.search(r"\n?Examples?:\n  .*posternctl ", done.stdout), done.stdout
        assert done.stdout == bare("-h", verb).stdout or bare("-h", verb).stdout == general.stdout
        assert max(map(len, done.stdout.splitlines())) <= 100
