"""Completion of posternctl in bash, against a daemon that is not to be trusted."""

import os
import subprocess

import pytest

from fake_daemon import FakeDaemon, FakeDatagramDaemon, argument, described, error, reply
from harness import REPOSITORY, program

SCRIPT = REPOSITORY / "packaging/completion/posternctl.bash"
COMPLETE = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _posternctl; ' \
           'printf "%s\\n" "${COMPREPLY[@]}"'


def complete(*words, cwd="/", begins="posternctl"):
    installed = os.path.dirname(program("posternctl"))
    done = subprocess.run(["bash", "-c", COMPLETE, "bash", SCRIPT, begins, *words],
                          text=True, capture_output=True, timeout=60, check=True, cwd=cwd,
                          env={"PATH": f"{installed}:/usr/bin:/bin"})
    # compopt says so outside a real completion.
    assert done.stderr.replace("bash: line 1: ", "") in ("", "not currently executing completion\n")
    return done.stdout.split()


ARGUMENTS = [argument("service"), argument("since", "integer"), argument("name")]
SCRIPTED = {"List": [reply({"actions": [{"name": "web.restart", "summary": 'is "name":"fake"'},
                                        {"name": "web.stop", "summary": "b"}]})],
            "Describe": [described("web.restart", ARGUMENTS)]}


@pytest.mark.parametrize("words, expected", [
    ([""], ["run", "attach", "logs", "wait", "jobs", "show", "cancel", "notify", "list", "describe", "check",
           "whoami", "ping", "call", "lint", "status", "reload", "log-level"]),
    (["cancel", "--n"], ["--now"]),
    (["cancel", "--signal", "US"], ["USR1", "USR2"]),
    (["--json", "wh"], ["whoami"]),
    (["--v"], ["--version"]),
    (["call", "--l"], ["--lines"]),
    (["run", "--l"], []),
    (["run", "--d"], ["--detach", "--datagram"]),
    (["run", "--on-interrupt", ""], ["detach", "cancel"]),
    (["run", "--on-interrupt", "=", "c"], ["cancel"]),
    (["attach", "--t"], ["--tail"]),
    (["attach", "--tail", "3", ""], []),
    (["list", "--d"], []),
    (["notify", "--d"], []),
    (["call", "W"], ["org.postern.Actions.WhoAmI"]),
    (["call", "org.postern.Actions.P"], ["org.postern.Actions.Ping"]),
])
def test_words_that_need_no_daemon(words, expected):
    assert complete(*words) == expected


def test_actions_and_arguments(folder):
    with FakeDaemon(folder, SCRIPTED) as daemon:
        at = ["--socket", daemon.path]
        assert complete(*at, "run", "") == ["web.restart", "web.stop"]
        assert complete(*at, "describe", "web.s") == ["web.stop"]
        assert complete("--socket", "=", daemon.path, "check", "web.s") == ["web.stop"]
        assert complete(*at, "run", "web.restart", "s") == ["service=", "since="]
        assert complete(*at, "run", "web.restart", "service", "=", "x", "n") == ["name="]
        assert complete(*at, "run", "web.restart", "service", "=", "") == []
        assert complete(*at, "describe", "web.restart", "s") == []


def test_arguments_by_packets(folder):
    with FakeDatagramDaemon(folder, SCRIPTED) as daemon:
        at = ["--socket", daemon.path]
        assert complete(*at, "run", "--datagram", "web.restart", "s") == ["service=", "since="]
        assert complete(*at, "notify", "web.restart", "n") == ["name="]
        assert complete(*at, "notify", "") == []
        assert [call["method"] for call in daemon.calls] == ["org.postern.Actions.Describe"] * 2


def test_without_a_daemon_there_is_nothing(folder):
    assert complete("--socket", str(folder / "none"), "run", "") == []
    with FakeDaemon(folder, {"List": [error("Unavailable", message="no")]}) as daemon:
        assert complete("--socket", daemon.path, "run", "") == []


def test_a_name_is_never_run(folder):
    evil = {"name": "$(touch made)", "summary": "x"}
    with FakeDaemon(folder, {"List": [reply({"actions": [evil, {"name": "a", "summary": "`id`"}]})]}
                    ) as daemon:
        assert complete("--socket", daemon.path, "run", "", cwd=folder) == ["a"]
    assert os.listdir(folder) == []


def test_a_program_of_that_name_in_the_directory_is_never_run(folder):
    evil = folder / "posternctl"
    evil.write_text("#!/bin/sh\ntouch made\n")
    evil.chmod(0o755)
    with FakeDaemon(folder, SCRIPTED) as daemon:
        for begins in ("./posternctl", str(evil)):
            assert complete("--socket", daemon.path, "run", "", cwd=folder, begins=begins) == [
                "web.restart", "web.stop"]
    assert os.listdir(folder) == ["posternctl"]
