"""The wire, through the whole guard: methods, framing, order. (Limits: test_protocol_limits.py.)"""

import errno
import json
import os
import re
import socket

import pytest

import harness
from identity import ALICE, ME
from jobs import text_of
from wire import error

AS = ALICE if harness.IS_ROOT else None
WHO = AS or ME
HELLO = {
    "summary": "Greet somebody",
    "exec": ["/bin/sh", "-c", "printf 'Hi, %s\\n' \"$1\"", "sh", "{name}", "{times}"],
    "arguments": {"name": {"type": "string", "summary": "Whom", "maxLength": 20},
                  "times": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1}},
    "allow": [{"everyone": True}], "timeout": "7s",
}
BOTH = {"summary": "Write to both streams", "allow": [{"everyone": True}],
        "exec": ["/bin/sh", "-c", "printf out; printf '\\377' >&2; exit 3"]}
SECRET = {"summary": "Somebody else's", "exec": ["/bin/true"], "allow": [{"user": "root"}],
          "deny": [{"everyone": True}]}


@pytest.fixture(scope="module")
def guard(programs):
    with harness.Guard({"both": BOTH, "hello": HELLO, "another": SECRET}) as running:
        running.mark = running.folder / "mark"
        running.write_action("mark", {"summary": "Leave a mark", "allow": [{"everyone": True}],
                                      "exec": ["/usr/bin/touch", str(running.mark)]})
        running.reload()
        yield running


@pytest.fixture
def client(guard):
    with guard.connect(as_=AS) as connected:
        yield connected


def seen():
    groups = " ".join(map(str, sorted({WHO.gid, *WHO.groups})))
    return f"(uid {WHO.uid}, gid {WHO.gid}, groups {groups})"


def not_granted(action):
    return error("NotGranted", action=action, message=(
        f'"{action}" does not exist or is not granted to you {seen()}'))


# ---- Methods ----

def test_get_info_is_what_varlink_clients_ask_for(client):
    project = (harness.REPOSITORY / "CMakeLists.txt").read_text()
    version = re.search(r"project\(postern VERSION (\S+)", project).group(1)
    reply = client.call("org.varlink.service.GetInfo")
    url = reply["parameters"].pop("url")
    assert url.startswith("https://")
    assert reply == {"parameters": {"vendor": "Postern", "product": "Postern", "version": version,
                                    "interfaces": ["org.postern.Actions", "org.postern.Jobs",
                                                   "org.varlink.service"]}}


@pytest.mark.parametrize("name", ["org.postern.Actions", "org.postern.Jobs",
                                  "org.varlink.service"])
def test_the_interfaces_served_are_the_files(client, name):
    text = (harness.REPOSITORY / f"protocol/{name}.varlink").read_text()
    reply = client.call("org.varlink.service.GetInterfaceDescription", {"interface": name})
    assert reply == {"parameters": {"description": text}}


def test_what_this_socket_does_not_serve_is_not_there(client):
    """(test_admin.py has the administrator's, which serves every file.)"""
    files = {file.stem for file in (harness.REPOSITORY / "protocol").glob("*.varlink")}
    info = client.call("org.varlink.service.GetInfo")["parameters"]
    assert set(info["interfaces"]) == files - {"org.postern.Admin"}
    assert client.call("org.varlink.service.GetInterfaceDescription",
                       {"interface": "org.postern.Admin"}) == {
        "error": "org.varlink.service.InterfaceNotFound",
        "parameters": {"interface": "org.postern.Admin"}}


@pytest.mark.parametrize("method, parameters, expected", [
    ("org.example.Nothing.Do", None, ("org.varlink.service.InterfaceNotFound",
                                      {"interface": "org.example.Nothing"})),
    ("Nothing", None, ("org.varlink.service.MethodNotFound",
                       {"method": "org.postern.Actions.Nothing"})),
    ("org.varlink.service.GetInterfaceDescription", {"interface": "org.example.Nothing"},
     ("org.varlink.service.InterfaceNotFound", {"interface": "org.example.Nothing"})),
    ("Ping", {}, ("org.varlink.service.InvalidParameter", {"parameter": "ping"})),
    ("Ping", {"ping": 1}, ("org.varlink.service.InvalidParameter", {"parameter": "ping"})),
    ("Ping", {"ping": "x", "pang": 1}, ("org.varlink.service.InvalidParameter",
                                        {"parameter": "pang"})),
    ("Run", {"action": "hello", "arguments": []}, ("org.varlink.service.InvalidParameter",
                                                   {"parameter": "arguments"})),
])
def test_calls_that_are_none_get_varlinks_own_errors(client, method, parameters, expected):
    name, fields = expected
    assert client.call(method, parameters) == error(name, **fields)


def test_list_names_what_the_caller_may_run_and_nothing_else(client):
    assert client.call("List") == {"parameters": {"actions": [
        {"name": "both", "summary": "Write to both streams"},
        {"name": "hello", "summary": "Greet somebody"},
        {"name": "mark", "summary": "Leave a mark"}]}}


def test_describe_gives_all_of_it(client):
    assert client.call("Describe", {"action": "hello"}) == {"parameters": {"action": {
        "name": "hello", "summary": "Greet somebody", "timeoutSeconds": 7, "onDisconnect": "keep",
        "arguments": [
            {"name": "name", "summary": "Whom", "type": "string", "required": True,
             "secret": False, "maxLength": 20},
            {"name": "times", "type": "integer", "required": False, "secret": False,
             "default": 1, "minimum": 1, "maximum": 9}]}}}


@pytest.mark.parametrize("method", ["Run", "Check", "Describe"])
@pytest.mark.parametrize("arguments", [None, {"name": "x"}, {"no": [1, {"x": None}]}])
def test_unlisted_and_missing_actions_get_the_same_bytes(client, method, arguments):
    replies = []
    # Names of the same length, so that nothing else can differ.
    for action in ("another", "nowhere"):
        parameters = {"action": action}
        if arguments is not None and method != "Describe":
            parameters["arguments"] = arguments
        client.send_call(method, parameters)
        replies.append(client.read_frame())
        assert json.loads(replies[-1]) == not_granted(action)
    assert replies[0].replace(b"another", b"nowhere") == replies[1]


def test_check_says_what_run_would_say_and_starts_nothing(guard, client):
    def started():
        return sum(entry["event"] == "job-started" for entry in guard.audit())

    before = started()
    assert client.call("Check", {"action": "hello", "arguments": {"name": "g1"}}) == {
        "parameters": {}}
    for arguments, name, message in (
            ({"name": "g" * 21}, "name", None), ({}, "name", None),
            ({"name": "g1", "times": 10}, "times", None), ({"name": "g1", "extra": 1}, "extra", None),
            ({"name": "-g1"}, "name", None)):
        checked = client.call("Check", {"action": "hello", "arguments": arguments})
        assert checked["error"] == "org.postern.Actions.InvalidArgument"
        assert checked["parameters"]["action"] == "hello"
        assert checked["parameters"]["argument"] == name
        assert checked["parameters"]["message"].startswith(f"{name}: ")
        # The same words from Run.
        assert client.call("Run", {"action": "hello", "arguments": arguments}) == checked
    assert started() == before


def test_who_am_i_is_what_the_kernel_says(client):
    reply = client.call("WhoAmI")
    reply["parameters"].pop("unit", None)  # where the tests themselves run in one
    pid = client.peer.pid if client.peer else os.getpid()
    assert reply == {"parameters": {"uid": WHO.uid, "gid": WHO.gid, "pid": pid,
                                    "groups": sorted({WHO.gid, *WHO.groups})}}


def test_run_answers_once_at_the_end(client):
    reply = client.call("Run", {"action": "both"})
    parameters = reply.pop("parameters")
    result = parameters.pop("result")
    assert reply == {}
    assert re.fullmatch("[0-9a-f]{32}", parameters.pop("job"))
    assert parameters == {"stdout": "out", "stderrBase64": "/w=="}
    assert (result["outcome"], result["exitCode"], "signal" in result) == ("exited", 3, False)
    assert 0 < result["startedAt"] <= result["endedAt"]


def test_run_with_more_streams_and_ends_with_the_result(client):
    replies = client.run("both")
    assert [reply.get("continues", False) for reply in replies] == (
        [True] * (len(replies) - 1) + [False])
    jobs = {reply["parameters"]["job"] for reply in replies}
    assert len(jobs) == 1
    assert replies[0] == {"continues": True, "parameters": {"job": jobs.pop()}}
    middle = [reply["parameters"] for reply in replies[1:-1]]
    assert "".join(part.get("stdout", "") for part in middle) == "out"
    assert [part["stderrBase64"] for part in middle if "stderrBase64" in part] == ["/w=="]
    assert set(replies[-1]["parameters"]) == {"job", "result"}
    assert replies[-1]["parameters"]["result"]["exitCode"] == 3


def test_a_one_way_call_is_carried_out_and_not_answered(guard, client):
    guard.mark.unlink(missing_ok=True)
    client.send_call("Run", {"action": "mark"}, oneway=True)
    client.send_call("Run", {"action": "nowhere"}, oneway=True)
    client.send_call("Nothing", oneway=True)
    assert client.call("Ping", {"ping": "next"}) == {"parameters": {"pong": "next"}}
    guard.wait_audit(event="job-ended", action="mark")
    assert guard.mark.exists()


def test_a_one_way_call_counts_although_its_client_has_gone(guard):
    guard.mark.unlink(missing_ok=True)
    ended = [e for e in guard.audit() if e["event"] == "job-ended" and e["action"] == "mark"]
    with guard.connect(as_=AS) as client:
        client.send_call("Run", {"action": "mark"}, oneway=True)
    guard.wait_audit(event="job-ended", count=len(ended) + 1, action="mark")
    assert guard.mark.exists()


# ---- Framing and order ----

PING = b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"%s"}}'


def test_a_reply_ends_as_its_call_did(client):
    client.send(PING % b"a" + b"\0" + PING % b"b" + b"\n" + PING % b"c" + b"\0\n"
                + PING % b"d" + b"\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.read_to_end() == (b'{"parameters":{"pong":"a"}}\0{"parameters":{"pong":"b"}}\n'
                                    b'{"parameters":{"pong":"c"}}\0{"parameters":{"pong":"d"}}\n')


def test_a_newline_inside_a_value_ends_nothing(client):
    pretty = json.dumps(json.loads(PING % b"pretty"), indent=4).encode()
    assert pretty.count(b"\n") == 5
    client.send(pretty + b"\n")
    assert client.read_frame(b"\n") == b'{"parameters":{"pong":"pretty"}}'


def test_empty_messages_are_skipped(client):
    client.send(b"\0\0\n\n \t\r\n\0" + PING % b"x" + b"\0")
    assert client.read_frame() == b'{"parameters":{"pong":"x"}}'


def test_a_line_in_a_buffer_that_is_padded_with_nul_bytes(client):
    for word in (b"one", b"two"):
        client.send((PING % word + b"\n").ljust(4096, b"\0"))
        assert client.read_frame(b"\n") == b'{"parameters":{"pong":"%s"}}' % word


def test_pipelined_calls_are_answered_in_order(client):
    calls = 60
    for number in range(calls):
        if number % 10 == 0:
            client.send_call("Run", {"action": "hello", "arguments": {"name": f"g{number}"}})
        elif number % 10 == 5:
            client.send_call("Check", {"action": f"nowhere{number}"})
        else:
            client.send_call("Ping", {"ping": str(number)})
    for number in range(calls):
        reply = client.read_reply()
        if number % 10 == 0:
            assert reply["parameters"]["stdout"] == f"Hi, g{number}\n"
        elif number % 10 == 5:
            assert reply == not_granted(f"nowhere{number}")
        else:
            assert reply == {"parameters": {"pong": str(number)}}


def test_a_call_behind_a_streaming_one_waits_for_its_end(client):
    client.send_call("Run", {"action": "both"}, more=True)
    client.send_call("Ping", {"ping": "after"})
    replies = client.read_replies()
    assert "result" in replies[-1]["parameters"]
    assert client.read_reply() == {"parameters": {"pong": "after"}}


@pytest.mark.parametrize("more", [False, True])
def test_a_client_that_has_shut_down_its_side_gets_all_replies(client, more):
    client.send_call("Ping", {"ping": "1"})
    client.send_call("Run", {"action": "hello", "arguments": {"name": "g1"}}, more=more)
    client.send_call("Ping", {"ping": "2"})
    client.socket.shutdown(socket.SHUT_WR)
    replies = [json.loads(frame) for frame in client.read_to_end().split(b"\0")[:-1]]
    assert replies[0] == {"parameters": {"pong": "1"}}
    assert replies[-1] == {"parameters": {"pong": "2"}}
    assert text_of(replies) == "Hi, g1\n"
    assert replies[-2]["parameters"]["result"]["exitCode"] == 0


def test_input_that_ends_inside_a_message(client):
    client.send(PING % b"whole" + b"\n" + b'{"method":')
    client.socket.shutdown(socket.SHUT_WR)
    first, second, rest = client.read_to_end().split(b"\n")
    assert (first, rest) == (b'{"parameters":{"pong":"whole"}}', b"")
    assert json.loads(second) == error("InvalidMessage", message=(
        "the input ended inside a message: a message ends with NUL or a newline"))


# ---- The wrong type of socket ----

@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_client_of_another_type_of_socket_is_turned_away_by_the_kernel(guard, client, kind):
    with socket.socket(socket.AF_UNIX, kind) as wrong:
        with pytest.raises(OSError) as caught:
            wrong.connect(str(guard.socket_path))
    assert caught.value.errno == errno.EPROTOTYPE
    assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
