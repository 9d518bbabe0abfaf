"""posternctl complete, which the completions of all shells ask: the words, without any shell."""

import os
import subprocess
import threading

import pytest

import harness
from actions import EVERYONE
from fake_daemon import CLOSE, FakeDaemon, FakeDatagramDaemon, argument, described, error, reply
from harness import program
from identity import ALICE, BOB, run_as
from posternctl import outcome

ACTIONS = [{"name": "web.restart", "summary": "Restart it"}, {"name": "web.stop", "summary": ""}]
ARGUMENTS = [argument("service", values=["nginx", "php fpm"], summary="Which one"),
             argument("since", "integer"), argument("force", "boolean")]
JOBS = [{"job": "ab" * 16, "action": "web.restart", "state": "running", "createdAt": 1},
        {"job": "cd" * 16, "action": "web.stop", "state": "ended", "createdAt": 1,
         "result": {"outcome": "exited", "exitCode": 3}}]
SCRIPT = {"List": [lambda call: [reply({"jobs": JOBS} if "Jobs" in call["method"] else {"actions": ACTIONS})]],
          "Describe": [described("web.restart", ARGUMENTS)]}


def complete(*typed, as_=None, **kwargs):
    """What is printed. The daemon has a second; whoever waits for an answer does so for 30."""
    done = run_as(as_, [program("posternctl"), "complete", "--", *typed], timeout=20, **kwargs)
    code, out, err = outcome(done)
    assert (code, err) == (0, "")
    return out


def words(*typed, **kwargs):
    return [line.partition("\t")[0] for line in complete(*typed, **kwargs).splitlines()]


def test_what_the_tables_know_needs_no_daemon():
    assert complete("log-level", "") == "debug\ninfo\nwarning\nerror\ncritical\n"
    assert complete("run", "--on-interrupt", "") == "detach\ncancel\n"
    assert complete("lint", "x") == "\t0\n"
    assert complete("run", "a", "--file", "cert=x") == "\t5\n"
    assert complete("").startswith("run\trun an action and pass on its output\nattach\t")
    assert "--now\tsend SIGKILL immediately\n" in complete("cancel", "-")
    assert "org.postern.Actions.WhoAmI\n" in complete("call", "")
    assert "root\n" in complete("cancel", "--all-of", "")


def test_actions_and_arguments(folder):
    with FakeDaemon(folder, SCRIPT) as daemon:
        at = ("--socket", daemon.path)
        assert complete(*at, "run", "") == "web.restart\tRestart it\nweb.stop\n"
        assert complete(f"--socket={daemon.path}", "describe", "") == "web.restart\tRestart it\nweb.stop\n"
        assert complete(*at, "run", "web.restart", "") == "service=\tWhich one\nsince=\nforce=\n"
        assert complete(*at, "check", "web.restart", "service=") == "service=nginx\nservice=php fpm\n"
        assert complete(*at, "run", "web.restart", "since=") == ""
        assert [call["method"].rpartition(".")[2] for call in daemon.calls] == [
            "List", "List", "Describe", "Describe", "Describe"]


def test_own_jobs(folder):
    with FakeDaemon(folder, SCRIPT) as daemon:
        at = ("--socket", daemon.path)
        both = f"{'ab' * 16}\tweb.restart, running\n{'cd' * 16}\tweb.stop, exit 3\n"
        for verb in ("show", "attach", "logs", "wait"):
            assert complete(*at, verb, "") == both
        assert complete(*at, "wait", "ab" * 16, "") == f"{'cd' * 16}\tweb.stop, exit 3\n"
        assert daemon.calls[0]["parameters"] == {"limit": 200}
        complete(*at, "cancel", "")
        assert daemon.calls[-1]["parameters"] == {"limit": 200, "state": "running"}
        complete(*at, "show", "--all", "")
        assert daemon.calls[-1]["parameters"] == {"limit": 200, "all": True}


def test_by_datagrams(folder):
    with FakeDatagramDaemon(folder, SCRIPT) as daemon:
        at = ("--socket", daemon.path)
        assert words(*at, "run", "--datagram", "web.restart", "s") == ["service=", "since=", "force="]
        assert words(*at, "notify", "web.restart", "") == ["service=", "since:=", "force:="]
        assert words(*at, "notify", "") == []
        assert [call["method"] for call in daemon.calls] == ["org.postern.Actions.Describe"] * 2


def test_beside_the_usual_datagram_socket_is_one_that_answers(folder):
    """A user's own daemon has its sockets side by side."""
    (folder / "postern").mkdir()
    with FakeDaemon(folder, SCRIPT) as daemon:
        os.symlink(daemon.path, folder / "postern/postern.sock")
        found = words("--user", "notify", "", env={"XDG_RUNTIME_DIR": str(folder)})
    assert found == ["web.restart", "web.stop"]


@pytest.mark.parametrize("steps", [
    [error("Unavailable", message="no")], [reply({})], [reply({"actions": {"a": 1}})],
    [reply({"actions": [1, {}, {"name": 5}, {"name": None}]})], [b"nonsense\0"], [CLOSE], [],
], ids=["refuses", "empty", "no-list", "no-names", "nonsense", "closes", "silent"])
def test_without_an_answer_there_is_nothing(folder, steps):
    with FakeDaemon(folder, {"List": steps, "Describe": steps}) as daemon:
        assert complete("--socket", daemon.path, "run", "") == ""
        assert complete("--socket", daemon.path, "run", "a", "") == ""


def test_without_a_daemon_there_is_nothing(folder, bound):
    assert complete("--socket", str(folder / "none"), "run", "") == ""
    assert complete("--socket", "relative", "run", "") == ""
    # It takes connections and never answers: nothing is said of a wait, and it ends before `run` would.
    _, path = bound()
    assert complete("--socket", path, "run", "") == ""


def test_a_slow_daemon_is_not_waited_for(folder):
    never = threading.Event()
    with FakeDaemon(folder, {"List": [never, reply({"actions": ACTIONS})]}) as daemon:
        assert complete("--socket", daemon.path, "run", "") == ""
        never.set()


def test_nothing_that_a_terminal_would_not_show_is_printed(folder):
    actions = [{"name": name, "summary": "a\tb\x1b[31m\nc\u202e"} for name in
               ("a\nb", "a\tb", "\x1b[31m", "\u202ex", "\x7f", "", "-x", "--help", "good one")]
    names = [argument(name) for name in ("x\ny", "\x9b1m", "a=b", "", "-n", "n")]
    names.append(argument("value", values=["\n", "a\rb", "-v", "\u2028", "", "v v"]))
    with FakeDaemon(folder, {"List": [reply({"actions": actions})],
                             "Describe": [described("a", names)]}) as daemon:
        at = ("--socket", daemon.path)
        said = "\ta\\u0009b\\u001b[31m\\u000ac\\u202e\n"
        assert complete(*at, "run", "") == "good one" + said
        assert complete(*at, "run", "--", "") == f"-x{said}--help{said}good one{said}"
        assert complete(*at, "run", "a", "") == "n=\nvalue=\n"
        assert complete(*at, "run", "a", "value=") == "value=-v\nvalue=v v\n"


def test_usage(folder):
    said = ("posternctl: complete is for the completion of shells: complete -- WORD... or complete --bash "
            "LINE BREAKS\n")
    for wrong in ([], ["run"], ["--"], ["--bash", "posternctl "], ["--help"]):
        done = subprocess.run([program("posternctl"), "complete", *wrong], text=True, capture_output=True,
                              timeout=20, check=False, cwd=folder)
        assert outcome(done) == (2, "", said)


@pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")
def test_only_what_the_caller_may_run_and_has_run(start_guard):
    hers = {"summary": "Hers", "exec": ["/bin/echo", "{size}"], "allow": [{"user": ALICE.uid}],
            "arguments": {"size": {"type": "string", "enum": ["small", "big"]}}}
    guard = start_guard({"hers": hers, "ours": {"summary": "Ours", "exec": ["/bin/true"], "allow": EVERYONE}})
    with guard.connect(as_=ALICE) as alice:
        job = alice.run("hers", {"size": "small"})[0]["parameters"]["job"]
    at = ("--socket", str(guard.socket_path))

    def seen(who, *typed):
        return complete(*at, *typed, as_=who)

    assert seen(ALICE, "run", "") == "hers\tHers\nours\tOurs\n"
    assert seen(BOB, "run", "") == "ours\tOurs\n"
    assert seen(ALICE, "run", "hers", "size=") == "size=small\nsize=big\n"
    assert seen(BOB, "run", "hers", "size=") == ""
    assert seen(ALICE, "show", "") == f"{job}\thers, exit 0\n"
    assert seen(BOB, "show", "") == ""
