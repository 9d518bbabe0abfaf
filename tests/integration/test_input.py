"""Standard input of actions: given with the call, by posternctl and on the wire."""

import base64
import json
import subprocess

import pytest

import harness
from actions import EVERYONE, script
from posternctl import command, outcome
from wire import error

ACTIONS = {
    "take": {"summary": "Takes input", "exec": ["/bin/cat"], "input": "text", "allow": EVERYONE,
             "datagram": True},
    "quiet": script("cat; echo done"),
    "install": {"summary": "Takes a text", "exec": ["/bin/cat"], "stdin": "{cert}", "allow": EVERYONE,
                "arguments": {"cert": {"type": "string", "multiline": True, "allowLeadingDash": True}}},
    "echo": {"summary": "Echo", "exec": ["/bin/echo", "{text}"], "allow": EVERYONE,
             "arguments": {"text": {"type": "string"}}},
}
PEM = "-----BEGIN CERTIFICATE-----\n" + "\tMIIB\n" * 40 + "-----END CERTIFICATE-----\n"


@pytest.fixture
def guard(start_guard):
    return start_guard(ACTIONS, datagrams=True)


def ctl(guard, *words, given=b"", **kwargs):
    return subprocess.run(command(guard.socket_path, *words), input=given, capture_output=True, timeout=60,
                          check=False, **kwargs)


@pytest.mark.parametrize("given", [b"", b"line\n", bytes(range(256)) * 128, b"\x01" * 32768,
                                   "Grüße\n".encode() * 4000],
                         ids=["empty", "line", "binary", "controls", "text"])
def test_posternctl_passes_its_standard_input_on(guard, given):
    done = ctl(guard, "run", "take", given=given)
    assert (done.returncode, done.stdout, done.stderr) == (0, given, b"")


def test_input_that_is_too_long(guard):
    done = ctl(guard, "run", "take", given=b"x" * 32769)
    assert outcome(done) == (122, "", "posternctl: standard input: longer than 32768 bytes, which is "
                                      "the most that this action takes\n")


def test_input_of_a_file_and_none(guard, folder):
    (folder / "text").write_bytes(b"of the file\n")
    assert outcome(ctl(guard, "run", "take", "--input", str(folder / "text"), given=b"no")) == (
        0, "of the file\n", "")
    assert outcome(ctl(guard, "run", "take", "--no-input", given=b"no")) == (0, "", "")
    assert outcome(ctl(guard, "run", "take", "--input", f"{folder}/absent")) == (
        122, "", f"posternctl: --input {folder}/absent: No such file or directory\n")
    assert outcome(ctl(guard, "run", "quiet", "--input", str(folder / "text"))) == (
        122, "", f"posternctl: --input {folder}/text: quiet takes no standard input\n")
    both = ctl(guard, "run", "take", "--input", "x", "--no-input")
    assert both.returncode == 2
    assert b"--input and --no-input contradict each other" in both.stderr


@pytest.mark.parametrize("words", [["run", "quiet"], ["check", "take"], ["describe", "take"], ["list"],
                                   ["run", "take", "--no-input"], ["run", "echo", "text=x"],
                                   ["run", "absent"], ["run", "take", "--input", "/dev/null"]])
def test_a_loop_keeps_its_lines(guard, words):
    """Elsewhere standard input is left untouched."""
    loop = 'while read -r line; do "$@" >/dev/null 2>&1; echo "$line"; done'
    done = subprocess.run(["/bin/bash", "-c", loop, "loop", *command(guard.socket_path, *words)],
                          input=b"one\ntwo\nthree\n", capture_output=True, timeout=60, check=False)
    assert outcome(done) == (0, "one\ntwo\nthree\n", "")


def test_input_by_a_packet(guard):
    done = subprocess.run([harness.program("posternctl"), "--socket", str(guard.datagram_path), "run",
                           "--datagram", "--json", "take"], input=b"packet\n", capture_output=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    with guard.connect() as client:
        followed = client.call("org.postern.Jobs.Follow", {"job": json.loads(done.stdout)["job"]})
    assert followed["parameters"]["stdout"] == "packet\n"


def test_input_on_the_wire(guard):
    most = b"\xff" * 32768
    with guard.connect() as client:
        for given, wanted in [({"input": "Grüße"}, "Grüße"), ({"input": ""}, None), ({"input": None}, None),
                              ({"inputBase64": "aGk="}, "hi"), ({"input": "x" * 32768}, "x" * 32768)]:
            reply = client.call("Run", {"action": "take", **given})
            assert reply["parameters"].get("stdout") == wanted
        reply = client.call("Run", {"action": "take", "inputBase64": base64.b64encode(most).decode()})
        assert base64.b64decode(reply["parameters"]["stdoutBase64"]) == most
        # One byte more has as many characters of base64.
        more = base64.b64encode(most + b"\xff").decode()
        for parameter, given in [("input", 1), ("inputBase64", "a"), ("inputBase64", "aGk"),
                                 ("inputBase64", more)]:
            reply = client.call("Run", {"action": "take", parameter: given})
            assert reply == error("org.varlink.service.InvalidParameter", parameter=parameter)
        reply = client.call("Run", {"action": "take", "input": "a", "inputBase64": "aGk="})
        assert reply == error("org.varlink.service.InvalidParameter", parameter="inputBase64")
        assert client.call("Run", {"action": "quiet", "input": "a"}) == error(
            "InvalidArgument", action="quiet", argument="input",
            message="input: this action takes no standard input; leave it out")
        # What is not granted is said first.
        assert client.call("Run", {"action": "absent", "input": "a"})["error"] == (
            "org.postern.Actions.NotGranted")


def test_strings_beyond_the_limit(guard):
    too_long = "x" * 32769
    with guard.connect() as client:
        for parameters, where in [({"action": "take", "input": too_long}, "input"),
                                  ({"action": "echo", "arguments": {"text": too_long}}, "arguments.text")]:
            assert client.call("Run", parameters) == error(
                "InvalidMessage", message=f"parameters.{where}: a string of 32769 bytes is longer than "
                                          "the limit of 32768")
        # Others stay at 4 KiB: the guard says so of arguments.
        assert client.call("Run", {"action": "x" * 4097})["error"] == "org.postern.Actions.InvalidMessage"
        assert client.call("Ping", {"ping": "x" * 4097}) == error(
            "InvalidMessage",
            message="parameters.ping: a string of 4097 bytes is longer than the limit of 4096")
        refused = client.call("Run", {"action": "echo", "arguments": {"text": "x" * 4097}})
        assert refused == error("InvalidArgument", action="echo", argument="text",
                                message='text: "' + "x" * 100 + '..." is 4097 bytes long, at most 4096 '
                                        "are allowed")
        assert client.run("echo", {"text": "x" * 4096})[-1]["parameters"]["result"]["exitCode"] == 0


def test_the_same_key_with_another_input_is_another_call(guard):
    with guard.connect() as client:
        first = client.call("Run", {"action": "take", "key": "k", "input": "one"})["parameters"]
        again = client.call("Run", {"action": "take", "key": "k", "input": "one"})["parameters"]
        assert again == first
        for other in ({"input": "two"}, {}):
            reply = client.call("Run", {"action": "take", "key": "k", **other})
            assert reply["error"] == "org.postern.Actions.KeyInUse"
        # The same bytes written another way are the same.
        again = client.call("Run", {"action": "take", "key": "k", "inputBase64": "b25l"})["parameters"]
        assert again["job"] == first["job"]


def test_a_text_of_several_lines(guard, folder):
    (folder / "site.pem").write_text(PEM)
    link = folder / "link.pem"
    link.symlink_to(folder / "site.pem")
    for path in (folder / "site.pem", link):
        assert outcome(ctl(guard, "run", "install", "--file", f"cert={path}")) == (0, PEM, "")
        assert outcome(ctl(guard, "check", "install", "--file", f"cert={path}")) == (
            0, "install: would run\n", "")
    assert outcome(ctl(guard, "run", "install", f"cert={PEM}")) == (0, PEM, "")
    shown = guard.wait_audit(event="job-started", action="install")[0]["arguments"]
    assert shown == {"cert": PEM}
    (folder / "long").write_text("x\n" * 16384)
    assert ctl(guard, "run", "install", "--file", f"cert={folder}/long").stdout == b"x\n" * 16384
    (folder / "long").write_text("x\n" * 16384 + "x")
    assert outcome(ctl(guard, "run", "install", "--file", f"cert={folder}/long")) == (
        122, "", f"posternctl: --file cert={folder}/long: longer than 32768 bytes, which is the most "
                 "that an argument may have\n")
    done = ctl(guard, "run", "install", "cert=a\x1bb")
    assert outcome(done) == (
        122, "", 'posternctl: cert: "a\\u001bb" contains U+001B, which no argument may contain\n')
    done = ctl(guard, "run", "echo", "--file", f"text={folder}/site.pem")
    assert done.returncode == 122
    assert b"contains U+000A, which no argument may contain" in done.stderr


def test_file_options_that_are_wrong(guard, folder):
    (folder / "binary").write_bytes(b"\xff")
    for word, code, said in [
            ("cert", 2, '--file "cert": it is written --file NAME=PATH'),
            (f"cert={folder}/absent", 122, f"--file cert={folder}/absent: No such file or directory"),
            (f"cert={folder}", 122, f"--file cert={folder}: Is a directory"),
            (f"cert={folder}/binary", 122, "cert: the value is not valid UTF-8")]:
        assert outcome(ctl(guard, "run", "install", "--file", word)) == (code, "", f"posternctl: {said}\n")


def test_describe_says_what_is_taken(guard):
    assert b"Takes standard input, at most 32768 bytes." in ctl(guard, "describe", "take").stdout
    assert b"standard input" not in ctl(guard, "describe", "quiet").stdout
    assert b"can have several lines" in ctl(guard, "describe", "install").stdout
    with guard.connect() as client:
        assert client.call("Describe", {"action": "take"})["parameters"]["action"]["input"] == "text"
        assert "input" not in client.call("Describe", {"action": "quiet"})["parameters"]["action"]
