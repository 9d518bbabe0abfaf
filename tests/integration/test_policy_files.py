"""Action files, folders and programs that must not be believed, and values that must not pass."""

import hashlib
import json
import os
import shutil
import threading

import pytest

import harness
from actions import EVERYONE, TRUE
from identity import ALICE
from live_files import output

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

GOOD = {**TRUE, "allow": EVERYONE}
# Prints its arguments, each with its length, so that a split or an expansion shows.
SHOW = {"summary": "Show", "allow": EVERYONE,
        "exec": ["/usr/bin/python3", "-I", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))",
                 "{text}", "-x{text}y", "{list}"],
        "arguments": {"text": {"type": "string"},
                      "list": {"type": "list", "items": "string", "required": False}}}


@pytest.mark.parametrize("spoil, problem", [
    (lambda p: os.chown(p, ALICE.uid, 0), "is not owned by root (owned by uid 64001, mode 0644); run: "
                                          "chown -h root {path}"),
    (lambda p: p.chmod(0o664), "can be written by users other than its owner (owned by uid 0, mode 0664); "
                               "run: chmod go-w {path}"),
    (lambda p: p.chmod(0o646), "can be written by users other than its owner (owned by uid 0, mode 0646); "
                               "run: chmod go-w {path}"),
    (lambda p: (p.unlink(), p.mkdir()), "is a directory; a regular file is needed"),
    (lambda p: (p.unlink(), os.mkfifo(p, 0o644)), "is not a regular file; put a regular file there"),
])
def test_an_action_file_that_others_could_have_made_is_off(start_guard, spoil, problem):
    guard = start_guard({"good": GOOD, "bad": GOOD})
    path = guard.actions_folder / "bad.json"
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["bad", "good"]
        spoil(path)
        guard.reload()
        assert client.granted() == ["good"]
        assert not client.may("bad")
    assert f"not loaded: {path}: {problem.format(path=path)}\n" in guard.stderr()


@pytest.mark.parametrize("which", ["itself", "above"])
@pytest.mark.parametrize("spoil, problem", [
    (lambda p: p.chmod(0o777), "can be written by users other than its owner (owned by uid 0, mode 0777); "
                               "run: chmod go-w {path}"),
    (lambda p: p.chmod(0o775), "can be written by users other than its owner (owned by uid 0, mode 0775); "
                               "run: chmod go-w {path}"),
    (lambda p: os.chown(p, ALICE.uid, 0), "is not owned by root (owned by uid 64001, mode 0755); run: "
                                          "chown -h root {path}"),
])
def test_a_folder_that_others_can_write_takes_all_its_files_out_of_force(start_guard, which, spoil,
                                                                          problem):
    guard = start_guard({"good": GOOD})
    bad = guard.actions_folder if which == "itself" else guard.folder
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["good"]
        spoil(bad)
        guard.reload()
        assert client.granted() == []
        assert not client.may("good")
    # Nothing was removed, no user has changed, and whoever looks for the action is told of the directory.
    denied = guard.wait_audit(event="call-denied")[0]
    assert (denied["reason"], denied["place"]) == (
        "no such action, but none is loaded from a directory that is not safe", str(guard.actions_folder))
    changed = guard.wait_audit(event="actions-changed")[0]
    assert changed["off"] == ["good"] and not changed.get("removed")
    assert "have changed: reloaded" not in guard.stderr()
    assert (f"not loaded: {guard.actions_folder}: is not safe, so no action from it is loaded: {bad} "
            f"{problem.format(path=bad)}\n") in guard.stderr()


@pytest.mark.parametrize("spoil, problem", [
    (lambda p: p.chmod(0o775), "{path} can be written by users other than its owner (owned by uid 0, mode "
                               "0775); run: chmod go-w {path}"),
    (lambda p: os.chown(p, ALICE.uid, 0), "{path} is not owned by root (owned by uid 64001, mode 0755); "
                                          "run: chown -h root {path}"),
    (lambda p: p.chmod(0o644), "{path} is not executable (owned by uid 0, mode 0644); run: chmod +x "
                               "{path}"),
    (lambda p: p.unlink(), "{path} does not exist; create it or correct the path"),
    (lambda p: p.parent.chmod(0o777), "{folder} can be written by users other than its owner (owned by uid "
                                      "0, mode 0777); run: chmod go-w {folder}"),
])
def test_a_program_that_others_could_have_made_is_not_run(start_guard, folder, spoil, problem):
    program = folder / "bin/true"
    program.parent.mkdir()
    shutil.copy2("/bin/true", program)
    program.chmod(0o755)
    guard = start_guard({"own": {**GOOD, "exec": [str(program)]}, "good": GOOD})
    with guard.connect(as_=ALICE) as client:
        assert client.run("own")[-1]["parameters"]["result"]["exitCode"] == 0
        spoil(program)
        # Before a reload already: it is looked at when it is started.
        reply = client.call("Run", {"action": "own"})
        assert reply["error"] == "org.postern.Actions.StartFailed"
        assert str(folder) not in reply["parameters"]["message"]
        guard.reload()
        assert client.granted() == ["good"]
    assert problem.format(path=program, folder=program.parent) in guard.stderr()
    assert problem.format(path=program, folder=program.parent) in guard.wait_audit(
        event="job-not-started")[0]["reason"]


def test_a_program_that_comes_later_is_seen_by_the_next_call(start_guard, folder):
    program = folder / "bin/true"
    program.parent.mkdir()
    guard = start_guard({"own": {**GOOD, "exec": [str(program)]}})
    with guard.connect(as_=ALICE) as client:
        assert not client.may("own")
        shutil.copy2("/bin/true", program)
        program.chmod(0o644)
        assert not client.may("own")
        program.chmod(0o755)
        assert client.run("own")[-1]["parameters"]["result"]["exitCode"] == 0
    # Off for another reason first.
    assert [{key: entry[key] for key in entry.keys() & {"added", "off"}} for entry in guard.audit()
            if entry["event"] == "actions-changed"] == [{"off": ["own"]}, {"added": ["own"]}]


@pytest.mark.parametrize("first_line, led", [
    ("#!{interpreter}", "{script} is started by {interpreter}, as its first line says: "),
    ("#! {interpreter} -e", "{script} is started by {interpreter}, as its first line says: "),
    ("#!/usr/bin/env interpreter", "{script} is started by /usr/bin/env, which looks for \"interpreter\" "
                                   "in PATH: "),
    ("#!/usr/bin/env {interpreter}", "{script} is started by /usr/bin/env, which looks for "
                                     "\"{interpreter}\" in PATH: "),
])
@pytest.mark.parametrize("spoil, problem", [
    (lambda p: os.chown(p, ALICE.uid, 0), "{path} is not owned by root (owned by uid 64001, mode 0755); "
                                          "run: chown -h root {path}"),
    (lambda p: os.chown(p.parent, ALICE.uid, 0), "{folder} is not owned by root (owned by uid 64001, mode "
                                                 "0755); run: chown -h root {folder}"),
    (lambda p: p.chmod(0o775), "{path} can be written by users other than its owner (owned by uid 0, mode "
                               "0775); run: chmod go-w {path}"),
])
def test_an_interpreter_that_others_could_have_made_runs_nothing(start_guard, folder, first_line, led,
                                                                 spoil, problem):
    interpreter = folder / "bin/interpreter"
    interpreter.parent.mkdir()
    shutil.copy2("/bin/sh", interpreter)
    script = folder / "script"
    script.write_text(first_line.format(interpreter=interpreter) + "\necho ran as $(id -u)\n")
    script.chmod(0o755)
    action = {**GOOD, "exec": [str(script)], "environment": {"PATH": f"{interpreter.parent}:/usr/bin"}}
    guard = start_guard({"own": action, "good": GOOD})
    with guard.connect(as_=ALICE) as client:
        reply = client.call("Run", {"action": "own"})
        assert reply["parameters"]["stdout"] == "ran as 0\n"
        spoil(interpreter)
        # Before a reload already: it is looked at when the job is started.
        reply = client.call("Run", {"action": "own"})
        assert reply["error"] == "org.postern.Actions.StartFailed"
        assert str(folder) not in reply["parameters"]["message"]
        guard.reload()
        assert client.granted() == ["good"]
    said = (led + problem).format(script=script, interpreter=interpreter, path=interpreter,
                                  folder=interpreter.parent)
    assert f": exec[0]: {said}\n" in guard.stderr()
    assert guard.wait_audit(event="job-not-started")[0]["reason"].endswith(said)


def test_a_file_replaced_again_and_again_is_old_or_new_and_never_mixed(start_guard):
    def version(number):
        # Program argument, environment and summary all say which version they are of.
        return {"summary": f"version {number}", "allow": EVERYONE, "environment": {"V": str(number)},
                "exec": ["/bin/sh", "-c", 'echo "$V $1"', "sh", str(number)]}

    guard = start_guard({"own": version(0)})
    enough = threading.Event()

    def replace():
        number = 0
        while not enough.is_set():
            number += 1
            guard.write_action("own", version(number))
            guard.reload()

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        seen = set()
        with guard.connect(as_=ALICE) as client:
            for _ in range(60):
                first, second = output(client, "own").split()
                assert first == second
                seen.add(first)
                summary = client.call("List")["parameters"]["actions"][0]["summary"]
                assert summary.split()[0] == "version"
    finally:
        enough.set()
        thread.join()
    assert len(seen) > 1


# ---- Values ----

@pytest.mark.parametrize("text", [
    "${PATH}", "$PATH", "%H", "%n", "%%", "$(id)", "`id`", ";id", "a; id", "|id", "&", "> /tmp/x", "*",
    "~", "back\\", "\\", "\\n", "'", '"', "{text}", "{{text}}", "{list}", " ", " a  b ", "=", "!1",
    "#", "é\u00a0\U0001f600", "x" * 4096])
def test_a_value_is_one_literal_element_whatever_stands_in_it(start_guard, text):
    guard = start_guard({"show": SHOW})
    with guard.connect(as_=ALICE) as client:
        reply = client.call("Run", {"action": "show", "arguments": {"text": text,
                                                                     "list": [text, "2"]}})
        assert json.loads(reply["parameters"]["stdout"]) == [text, f"-x{text}y", text, "2"]
    started = guard.wait_audit(event="job-started")[0]
    shown = text
    if len(text) > 1024:
        shown = {"start": text[:1024], "bytes": len(text),
                 "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert started["arguments"]["text"] == shown


@pytest.mark.parametrize("value, message", [
    ("-v", 'text: "-v" begins with "-", which this argument does not allow'),
    ("--", 'text: "--" begins with "-", which this argument does not allow'),
    ("", "text: must not be empty; give one"),
    ("a\0b", 'text: "a\\u0000b" contains U+0000, which no argument may contain'),
    ("a\nb", 'text: "a\\u000ab" contains U+000A, which no argument may contain'),
    ("\x1b[0m", 'text: "\\u001b[0m" contains U+001B, which no argument may contain'),
    ("\x85", 'text: "\\u0085" contains U+0085, which no argument may contain'),
    ("a\u2028", 'text: "a\\u2028" contains U+2028, which no argument may contain'),
    ("\u202etxt", 'text: "\\u202etxt" contains U+202E, which no argument may contain'),
    ("\ufeff", 'text: "\\ufeff" contains U+FEFF, which no argument may contain'),
    (1, "text: 1 is not a string; write it in double quotes"),
    (True, "text: true is not a string; write it in double quotes"),
    (None, "text: null is not a string; give one"),
    (1.5, "text: a number with a fraction or an exponent is not a string; give one"),
    ({}, "text: an object is not a string; give one"),
    ([], "text: takes one value, not a list of 0; give one"),
])
@pytest.mark.parametrize("method", ["Run", "Check"])
def test_a_value_that_must_not_pass_is_refused_by_name(start_guard, method, value, message):
    guard = start_guard({"show": SHOW})
    with guard.connect(as_=ALICE) as client:
        reply = client.call(method, {"action": "show", "arguments": {"text": value}})
    assert reply == {"error": "org.postern.Actions.InvalidArgument",
                     "parameters": {"action": "show", "argument": "text", "message": message}}
    assert [(e["event"], e["reason"]) for e in guard.audit()] == [("call-refused", message)]


def test_absent_unknown_and_declared_dashes(start_guard):
    dashes = {"summary": "Dashes", "allow": EVERYONE, "exec": ["/bin/echo", "x", "{text}"],
              "arguments": {"text": {"type": "string", "allowLeadingDash": True}}}
    guard = start_guard({"show": SHOW, "dashes": dashes})
    with guard.connect(as_=ALICE) as client:
        def message(arguments):
            reply = client.call("Run", {"action": "show", "arguments": arguments})
            assert reply["error"] == "org.postern.Actions.InvalidArgument"
            return reply["parameters"]["message"]

        assert message({}) == "text: is required; give a string"
        assert message({"text": "a", "other": "b"}) == (
            "other: there is no such argument; this action takes text, list")
        assert message({"text": "a", "list": ["ok", "-x"]}) == (
            'list: element 2: "-x" begins with "-", which this argument does not allow')
        assert message({"text": "a", "list": [""]}) == (
            "list: element 1: must not be empty; give one")
        # All of them, however the caller orders them; in the audit on one line.
        assert message({"text": 1000.0, "txt": 1, "list": ["", "-x"]}) == (
            "txt: there is no such argument; did you mean text?\n"
            "text: a number with a fraction or an exponent is not a string; give one\n"
            "list: element 1: must not be empty; give one; element 2 is wrong too")
        assert guard.audit()[-1]["reason"] == (
            "txt: there is no such argument; did you mean text?; "
            "text: a number with a fraction or an exponent is not a string; give one; "
            "list: element 1: must not be empty; give one; element 2 is wrong too")
        reply = client.call("Run", {"action": "dashes", "arguments": {"text": "-x"}})
        assert reply["parameters"]["stdout"] == "x -x\n"
        # Bytes that are no characters never get as far as an action.
        for bad in (b'"\xff"', b'"\\ud800"', b'"a\\udc00"'):
            client.send(b'{"method":"org.postern.Actions.Run","parameters":{"action":"show",'
                        b'"arguments":{"text":' + bad + b'}}}\0')
            assert client.read_reply()["error"] == "org.postern.Actions.InvalidMessage"
    assert len([e for e in guard.audit() if e["event"] == "job-started"]) == 1
