"""The completions of posternctl in real bash, zsh and fish, at a terminal, and a daemon that is not to be
trusted: what it sends is inert, and arrives as exactly that word or not at all."""

import os
import pathlib

import pytest

from fake_daemon import FakeDaemon, argument, described, reply
from shells import COMPLETION, Shell

SHELLS = ("bash", "bash-completion", "zsh", "fish")
JOB = "ab" * 16
ACTIONS = [{"name": "web.restart", "summary": "Restart it"}, {"name": "web.stop", "summary": "Stop it"}]
SCRIPT = {
    "List": [lambda call: [reply({"jobs": [{"job": JOB, "action": "a", "state": "running", "createdAt": 1}]}
                                 if "Jobs" in call["method"] else {"actions": ACTIONS})]],
    "Describe": [described("web.restart", [argument("service", values=["nginx", "php fpm", "php:1"]),
                                           argument("cert")])],
}
# What is typed of a word, in the shell's own quotes -> the word. Each has a first character of its own.
HOSTILE = {
    "a": "a$(touch made)", "b": "b`touch made`", "c": "c'd", "d": 'd"e', "e": "e f", "f": "f;touch made",
    "g": "g*", "h": "h?[x]", "i": "i\\j", "k": "k!l", "l": "l{m,n}", "n": "n~", "o": "o#p",
    "q": "q|r&s<t>made", "r": "r=ls", "s": "s%d", "t": "t\u00e4", "u": "u  v", "w": "w^x", "x": "x:y@z",
    "y": "y$HOME", "z": "z\\", "A": "A'$(touch made)'", "B": 'B"$(touch made)"', "C": "C -- -x", "D": "D,E/F",
    "\\$": "$(touch made)", "\\`": "`touch made`", "\\~": "~root", "\\*": "*", "\\#": "#", "\\;": ";",
    "\\{": "{a,b}", "\\(": "(id)", "\\!": "!!", "\\=": "=ls", "\\\\": "\\n", "\\'": "'", '\\"': '"',
    "%": "%F{red}",
}
# They have a character that no terminal shows, or would be options.
LEFT_OUT = {"1": "1\nx", "2": "2\tx", "3": "3\x1b[31mx", "4": "4\u202ex", "5": "5\rx", "-y": "-yes"}


# bash-completion only finds the file: what that does is the same.
hostile = pytest.mark.parametrize("shell", [name for name in SHELLS if name != "bash-completion"],
                                  indirect=True)


@pytest.fixture(params=SHELLS)
def shell(request, folder):
    with Shell(request.param, folder) as running:
        yield running
    made = os.listdir(running.directory)
    assert [name for name in made if name not in running.expected] == []


def test_words(shell, folder):
    with FakeDaemon(folder, SCRIPT) as daemon:
        at = f"posternctl --socket {daemon.path} "
        given = ["--socket", daemon.path]
        assert shell.type("posternctl whoa\t--js\t") == ["whoami", "--json"]
        assert shell.type("posternctl cancel --signal KI\tab") == ["cancel", "--signal", "KILL", "ab"]
        assert shell.type("posternctl run --on-interrupt=c\ta") == ["run", "--on-interrupt=cancel", "a"]
        assert shell.type(at + "run web.r\tser\tn\tce\tx") == [
            *given, "run", "web.restart", "service=nginx", "cert=x"]
        assert shell.type(at + "check 'web.r\t service=php\\ \t") == [
            *given, "check", "web.restart", "service=php fpm"]
        assert shell.type(at + "run web.restart service=php:\t") == [
            *given, "run", "web.restart", "service=php:1"]
        assert shell.type(at + "run web.restart 'service=php f\t") == [
            *given, "run", "web.restart", "service=php fpm"]
        assert shell.type(at + "run web.restart service=\"php f\t") == [
            *given, "run", "web.restart", "service=php fpm"]
        assert shell.type(at + "show a\t") == [*given, "show", JOB]
        # There is none.
        assert shell.type(at + "run other\t") == [*given, "run", "other"]
        assert shell.type("posternctl --socket /none run w\t") == ["--socket", "/none", "run", "w"]


def test_paths(shell):
    shell.expected = {"one file.json"}
    (shell.directory / "one file.json").touch()
    typed = "one file.json"
    assert shell.type("posternctl lint o\t") == ["lint", typed]
    assert "no matches" not in shell.said and "eval" not in shell.said
    assert shell.type("posternctl run a --input on\t") == ["run", "a", "--input", typed]
    assert shell.type("posternctl run a --input=on\t") == ["run", "a", f"--input={typed}"]
    assert shell.type("posternctl run a --file cert=on\t") == ["run", "a", "--file", f"cert={typed}"]


@hostile
def test_hostile_actions(shell, folder):
    actions = [{"name": name, "summary": "$(touch made) `touch made` %F{red}\x1b[31mred"}
               for name in [*HOSTILE.values(), *LEFT_OUT.values()]]
    with FakeDaemon(folder, {"List": [reply({"actions": actions})]}) as daemon:
        for typed, name in HOSTILE.items():
            assert shell.type(f"posternctl --socket {daemon.path} run {typed}\t") == [
                "--socket", daemon.path, "run", name]
        for typed in LEFT_OUT:
            assert shell.type(f"posternctl --socket {daemon.path} run {typed}\t") == [
                "--socket", daemon.path, "run", typed]


@hostile
def test_hostile_names_and_values_of_arguments(shell, folder):
    plain = {typed: name for typed, name in HOSTILE.items() if "=" not in name}
    arguments = [argument(name) for name in [*plain.values(), *LEFT_OUT.values()]]
    values = argument("value", values=[*HOSTILE.values(), *LEFT_OUT.values()])
    with FakeDaemon(folder, {"Describe": [lambda call: [described("x", arguments if call["parameters"] == {
            "action": "names"} else [values])]]}) as daemon:
        begin = f"posternctl --socket {daemon.path} run "
        given = ["--socket", daemon.path, "run"]
        if shell.name == "fish":
            # It takes even an escaped "*" for a wildcard, and asks nobody.
            plain.pop("\\*")
        for typed, name in plain.items():
            assert shell.type(f"{begin}names {typed}\t1") == [*given, "names", f"{name}=1"]
        for typed, name in HOSTILE.items():
            assert shell.type(f"{begin}values value={typed}\t") == [*given, "values", f"value={name}"]
        for typed in set(LEFT_OUT) - {"-y"}:
            assert shell.type(f"{begin}values value={typed}\t") == [*given, "values", f"value={typed}"]
        # One that begins with a dash is no option behind its name.
        assert shell.type(f"{begin}values value=-y\t") == [*given, "values", "value=-yes"]


@hostile
@pytest.mark.parametrize("quote", ["'", '"'])
def test_hostile_values_in_open_quotes(shell, folder, quote):
    values = argument("value", values=list(HOSTILE.values()))
    with FakeDaemon(folder, {"Describe": [described("x", [values])]}) as daemon:
        for typed, name in HOSTILE.items():
            if not typed.isalpha() or quote in name:
                continue
            # bash would take what follows "!" in double quotes out of its history: left out.
            got = typed + '"' if quote == '"' and "!" in name and shell.name.startswith("bash") else name
            line = f"posternctl --socket {daemon.path} run x value={quote}{typed}\t"
            if got != name:
                line, got = line + quote, typed
            assert shell.type(line) == ["--socket", daemon.path, "run", "x", f"value={got}"]


def test_a_list_shows_nothing_but_text(shell, folder):
    actions = [{"name": name, "summary": "a\x1b[31mred"} for name in ("lst1", "lst2", "\x1b[31mred")]
    with FakeDaemon(folder, {"List": [reply({"actions": actions})]}) as daemon:
        line = f"posternctl --socket {daemon.path} run lst\t"
        if shell.name.startswith("bash"):
            line += "\t"
        assert shell.type(line + "1") == ["--socket", daemon.path, "run", "lst1"]
        assert "lst2" in shell.said
        assert "\x1b[31m" not in shell.said
        assert ("a\\u001b[31mred" in shell.said) == (not shell.name.startswith("bash"))


def test_a_program_of_that_name_in_the_directory_is_never_run(shell, folder):
    shell.expected = {"posternctl", "runs"}
    evil = shell.directory / "posternctl"
    evil.write_text(f'#!/bin/sh\necho run >>runs\nexec "{shell.executed}" "$@"\n', encoding="utf-8")
    evil.chmod(0o755)
    # bash-completion looks for the file once a command is completed, and by a path only for the next one.
    assert shell.type("posternctl whoa\t") == ["whoami"]
    with FakeDaemon(folder, SCRIPT) as daemon:
        for begin in ("./posternctl", str(evil)):
            assert shell.type(f"{begin} --socket {daemon.path} run web.r\t") == [
                "--socket", daemon.path, "run", "web.restart"]
    # By the person who typed, and not before.
    assert pathlib.Path(shell.directory / "runs").read_text() == "run\n" * 2


def test_bash_with_other_word_breaks(folder):
    with Shell("bash", folder) as shell, FakeDaemon(folder, SCRIPT) as daemon:
        shell.execute("COMP_WORDBREAKS=${COMP_WORDBREAKS//[:=]}")
        assert shell.type(f"posternctl --socket {daemon.path} run web.restart service=php:\t") == [
            "--socket", daemon.path, "run", "web.restart", "service=php:1"]
        assert shell.type(f"posternctl --socket={daemon.path} run web.restart ser\tng\t>x\t") == [
            f"--socket={daemon.path}", "run", "web.restart", "service=nginx"]


def test_the_words_of_a_redirection_are_not_the_programs(folder):
    with Shell("bash", folder) as shell, FakeDaemon(folder, SCRIPT) as daemon:
        (shell.directory / "output").touch()
        line = f"posternctl --socket {daemon.path} run 2>/dev/null web.r\t >out\t"
        assert shell.type(line) == ["--socket", daemon.path, "run", "web.restart"]
        assert os.listdir(shell.directory) == ["output"]


def test_no_completion_names_a_program_by_one_word():
    """It would be whichever is first in PATH, or a function of that name."""
    for file in ("posternctl.bash.in", "_posternctl.in", "posternctl.fish.in"):
        text = (COMPLETION / file).read_text(encoding="utf-8")
        assert text.count("@POSTERNCTL@ complete -") == 1
        assert text.count(" complete -") == text.count("@POSTERNCTL@ complete -")
