"""The datagram socket: one packet, one call, one reply; and who may have what through it."""

import errno
import json
import os
import socket

import pytest

import harness
from actions import EVERYONE
from harness import program
from identity import ALICE, BOB, CAROL, ME, ROOT, run_as
from packets import Sender, message

ROOT_ONLY = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: senders of other uids")
CALLER = ALICE if harness.IS_ROOT else ME


def write_to(path, **more):
    """An action that leaves its argument in a file."""
    return {"summary": "Write", "exec": ["/bin/sh", "-c", "echo \"$1\" >>\"$0\"", str(path), "{text}"],
            "arguments": {"text": {"type": "string"}}, "allow": EVERYONE, "datagram": True, **more}


TRUE = {"summary": "True", "exec": ["/bin/true"], "allow": EVERYONE, "datagram": True}
STREAM_ONLY = {**TRUE, "datagram": False}


@pytest.fixture
def guard(start_guard, folder):
    return start_guard({
        "true": TRUE, "stream-only": STREAM_ONLY, "write": write_to(folder / "written"),
        "group": {**TRUE, "allow": [{"group": 64100}]},
        "own-group": {**TRUE, "allow": [{"group": CALLER.gid}]},
        "not-group": {**TRUE, "deny": [{"group": 64100}]},
        "root-only": {**TRUE, "allow": [{"user": "root"}]},
        "root-only-stream": {**STREAM_ONLY, "allow": [{"user": "root"}]},
    }, datagrams=True)


def refused(guard, reason, as_=CALLER):
    """The one audit line about a packet of this user that was refused."""
    entry, = guard.wait_audit(event="packet-refused", uid=as_.uid)
    assert entry["reason"] == reason
    assert entry["listener"] == str(guard.datagram_path)
    return entry


@pytest.mark.parametrize("end", [b"", b"\0", b"\n"])
def test_one_packet_one_reply_that_ends_alike(guard, end):
    with Sender(guard.datagram_path, CALLER) as sender:
        assert sender.call("Ping", {"ping": "x"}, end) == {"parameters": {"pong": "x"}}
        assert sender.call("Check", {"action": "true"}, end) == {"parameters": {}}
        described = sender.call("Describe", {"action": "true"}, end)["parameters"]["action"]
        assert described["datagram"] is True and described["name"] == "true"
        info = sender.call("org.varlink.service.GetInfo", None, end)
        assert "org.postern.Actions" in info["parameters"]["interfaces"]
        assert sender.nothing()


def test_the_sender_is_whom_the_kernel_names(guard):
    with Sender(guard.datagram_path, CALLER) as sender:
        pid = sender.send(message("WhoAmI"))
        reply = json.loads(sender.receive())["parameters"]
    reply.pop("unit", None)
    assert reply == {"uid": CALLER.uid, "gid": CALLER.gid, "groups": [CALLER.gid], "pid": pid}


def test_run_is_detached_and_audited(guard, folder):
    with Sender(guard.datagram_path, CALLER) as sender:
        pid = sender.send(message("Run", {"action": "write", "arguments": {"text": "hi"}}))
        reply = json.loads(sender.receive())
    job = reply["parameters"].pop("job")
    assert reply == {"parameters": {}} and len(job) == 32
    started, = guard.wait_audit(event="job-started")
    assert (started["job"], started["uid"], started["pid"]) == (job, CALLER.uid, pid)
    assert started["listener"] == str(guard.datagram_path)
    assert started["arguments"] == {"text": "hi"}
    ended, = guard.wait_audit(event="job-ended")
    assert (ended["job"], ended["result"]["exitCode"]) == (job, 0)
    assert (folder / "written").read_text() == "hi\n"


def test_a_packet_with_a_key_can_be_sent_again(guard, folder):
    call = {"action": "write", "arguments": {"text": "hi"}, "key": "k1"}
    with Sender(guard.datagram_path, CALLER) as sender:
        job = sender.call("Run", call)["parameters"]["job"]
        assert sender.call("Run", call) == {"parameters": {"job": job}}
        guard.wait_audit(event="job-ended")
        assert sender.call("Run", call) == {"parameters": {"job": job}}
        other = sender.call("Run", {**call, "arguments": {"text": "ho"}})
        assert other["error"] == "org.postern.Actions.KeyInUse"
    assert (folder / "written").read_text() == "hi\n"


def test_the_job_of_a_packet_is_its_users_to_look_up(guard, folder):
    with Sender(guard.datagram_path, CALLER) as sender:
        job = sender.call("Run", {"action": "write", "arguments": {"text": "hi"}})["parameters"]["job"]
    guard.wait_audit(event="job-ended")
    with guard.connect(as_=CALLER) as client:
        found = client.call("org.postern.Jobs.Get", {"job": job})
        assert found["parameters"]["job"]["action"] == "write"
    if harness.IS_ROOT:
        with guard.connect(as_=BOB) as client:
            assert client.call("org.postern.Jobs.Get", {"job": job})["error"] == \
                "org.postern.Jobs.NoSuchJob"
        with Sender(guard.datagram_path, CALLER) as sender:
            assert sender.call("org.postern.Jobs.Get", {"job": job})["error"] == \
                "org.postern.Actions.NotByDatagram"


@pytest.mark.parametrize("address", [None, "\0postern-test-sender"], ids=["no address", "abstract"])
def test_without_a_path_it_is_fire_and_forget(guard, folder, address):
    with Sender(guard.datagram_path, CALLER, bound=False, address=address) as sender:
        sender.send(message("Run", {"action": "write", "arguments": {"text": "hi"}}))
        guard.wait_audit(event="job-ended")
        assert sender.nothing()
    assert (folder / "written").read_text() == "hi\n"
    # What is wrong with a packet is in the audit, where there is nobody to tell.
    with Sender(guard.datagram_path, CALLER, bound=False) as sender:
        sender.send(b"{")
        refused(guard, "the datagram is not a valid message")


def test_a_oneway_call_has_no_reply(guard):
    with Sender(guard.datagram_path, CALLER) as sender:
        sender.send(message("Run", {"action": "true"}, oneway=True))
        assert sender.call("Ping", {"ping": "after"}) == {"parameters": {"pong": "after"}}
        assert sender.nothing()
    guard.wait_audit(event="job-ended")


def test_a_client_that_connects_is_answered_from_there(guard):
    with Sender(guard.datagram_path, CALLER, connected=True) as sender:
        assert sender.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
    with Sender(guard.datagram_path, CALLER) as sender:
        sender.send(message("Ping", {"ping": "x"}))
        assert sender.socket.recvfrom(1000)[1] == str(guard.datagram_path)


@pytest.mark.parametrize("method", ["List", "org.varlink.service.GetInterfaceDescription",
                                    "org.postern.Admin.Reload"])
def test_what_needs_a_connection(guard, method):
    parameters = {"interface": "org.postern.Actions"} if "Interface" in method else None
    with Sender(guard.datagram_path, CALLER) as sender:
        reply = sender.call(method, parameters)
    if method.startswith("org.postern.Admin"):
        assert reply == {"error": "org.varlink.service.PermissionDenied", "parameters": {}}
        return
    name = method if "." in method else f"org.postern.Actions.{method}"
    assert reply == {"error": "org.postern.Actions.NotByDatagram", "parameters": {
        "message": f"{name} is not available on the datagram socket; connect to the stream socket"}}
    refused(guard, "the call needs a connection")


@pytest.mark.parametrize("flag", ["more", "upgrade"])
def test_more_and_upgrade_are_refused(guard, flag):
    with Sender(guard.datagram_path, CALLER) as sender:
        assert sender.call("Ping", {"ping": "x"}, **{flag: True}) == {
            "error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": flag}}
    refused(guard, "the call needs a connection")


@pytest.mark.parametrize("method", ["Run", "Check"])
def test_an_action_must_say_that_it_is_for_packets(guard, method):
    with Sender(guard.datagram_path, CALLER) as sender:
        assert sender.call(method, {"action": "stream-only"}) == {
            "error": "org.postern.Actions.NotByDatagram", "parameters": {
                "message": '"stream-only" can\'t be run through the datagram socket: its file does '
                           'not say "datagram": true; connect to the stream socket'}}
    entry, = guard.wait_audit(event="call-refused", action="stream-only")
    assert entry["reason"] == "the action is not for the datagram socket"
    assert entry["listener"] == str(guard.datagram_path)


@ROOT_ONLY
@pytest.mark.parametrize("method", ["Run", "Check", "Describe"])
def test_denials_tell_nothing_apart(guard, method):
    """An action that is not granted, with or without "datagram", and one that does not exist."""
    replies = []
    with Sender(guard.datagram_path, ALICE) as sender:
        for action in ("root-only", "root-only-stream", "nothing"):
            reply = sender.call(method, {"action": action})
            replies.append(json.dumps(reply).replace(action, "ACTION"))
    assert len(set(replies)) == 1
    assert json.loads(replies[0]) == {
        "error": "org.postern.Actions.NotGranted", "parameters": {
            "action": "ACTION", "message": f'"ACTION" does not exist or is not granted to you '
            f'(uid {ALICE.uid}, gid {ALICE.gid}, groups {ALICE.gid}, and others that are not known)'}}
    denied = guard.wait_audit(event="call-denied", count=3)
    assert {entry["listener"] for entry in denied} == {str(guard.datagram_path)}


@ROOT_ONLY
def test_groups_that_are_not_known_fail_closed(guard):
    with Sender(guard.datagram_path, ALICE) as sender, guard.connect(as_=ALICE) as client:
        for action, by_packet, by_stream in (("group", False, True), ("own-group", True, True),
                                             ("not-group", False, False)):
            assert ("error" not in sender.call("Check", {"action": action})) == by_packet, action
            assert ("error" not in client.call("Check", {"action": action})) == by_stream, action
    # CAROL is not in the group, but the kernel does not say so.
    with Sender(guard.datagram_path, CAROL) as sender, guard.connect(as_=CAROL) as client:
        assert "error" in sender.call("Check", {"action": "not-group"})
        assert "error" not in client.call("Check", {"action": "not-group"})


def test_what_is_no_message(guard):
    with Sender(guard.datagram_path, CALLER) as sender:
        for data, said, reason in (
                (b"{", "not JSON: unexpected end of input; expected string literal", "the datagram is not a valid message"),
                (b"[]", None, "the datagram is not a valid message"),
                (b"", "the datagram is empty: one datagram is one message", "the datagram is empty"),
                (b"\n", "the datagram is empty: one datagram is one message", "the datagram is not a valid message"),
                (b"x" * 65538, "a message may have at most 65536 bytes", "the datagram is too long"),
                (b" " * 65537, "a message may have at most 65536 bytes", "the datagram is not a valid message")):
            before = len(guard.audit())
            sender.send(data)
            reply = json.loads(sender.receive().rstrip(b"\n"))
            assert reply["error"] == "org.postern.Actions.InvalidMessage"
            assert said is None or reply["parameters"]["message"] == said
            entry, = harness.wait_until(lambda: guard.audit()[before:])
            assert (entry["event"], entry["reason"]) == ("packet-refused", reason)
        longest = message("Ping", {"ping": "x"})
        longest += b" " * (65536 - len(longest))
        for end in (b"", b"\n"):
            sender.send(longest + end)
            assert sender.receive() == b'{"parameters":{"pong":"x"}}' + end


def test_the_longest_reply_fits_a_packet(guard):
    text = "\x01" * 4000  # six bytes each in the reply
    with Sender(guard.datagram_path, CALLER) as sender:
        assert sender.call("Ping", {"ping": text}) == {"parameters": {"pong": text}}
    for count, fits in ((20, True), (250, False)):
        names = [f"b{i}" for i in range(count)]
        guard.write_action("large", json.dumps({
            **TRUE, "exec": ["/bin/true", "{a}", *(f"{{{name}}}" for name in names)],
            "arguments": {"a": {"type": "string", "enum": [f"{i:0>252}" for i in range(200)]},
                          **{name: {"type": "string"} for name in names}}}, separators=(",", ":")))
        guard.reload()
        with Sender(guard.datagram_path, CALLER) as sender:
            reply = sender.call("Describe", {"action": "large"})
        if fits:
            assert len(reply["parameters"]["action"]["arguments"]) == len(names) + 1
        else:
            assert reply["error"] == "org.postern.Actions.NotByDatagram"
            assert reply["parameters"]["message"].endswith(
                " bytes, and a datagram may have 65536; connect to the stream socket")


def test_a_stream_client_and_a_datagram_client_miss_each_other(guard):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with stream, pytest.raises(OSError) as error:
        stream.connect(str(guard.datagram_path))
    assert error.value.errno == errno.EPROTOTYPE
    with Sender(guard.socket_path, bound=False) as sender, pytest.raises(OSError) as error:
        sender.send(b"{}")
    assert error.value.errno == errno.EPROTOTYPE
    with Sender(guard.datagram_path, CALLER) as sender, guard.connect() as client:
        assert sender.call("Ping", {"ping": "x"}) == client.call("Ping", {"ping": "x"})
    assert guard.audit() == []


def test_a_guard_that_starts_again_between_two_packets(guard):
    with Sender(guard.datagram_path, CALLER) as sender:
        assert sender.call("Ping", {"ping": "1"}) == {"parameters": {"pong": "1"}}
        guard.kill()
        with pytest.raises(OSError) as error:
            sender.send(message("Ping", {"ping": "2"}))
        assert error.value.errno == errno.ECONNREFUSED
        guard.restart()
        assert sender.call("Ping", {"ping": "3"}) == {"parameters": {"pong": "3"}}
        guard.stop()
        with pytest.raises(OSError) as error:
            sender.send(message("Ping", {"ping": "4"}))
        assert error.value.errno == errno.ENOENT
        guard.restart()
        assert sender.call("Ping", {"ping": "5"}) == {"parameters": {"pong": "5"}}


@ROOT_ONLY
def test_a_users_own_guard_serves_that_user_alone(start_guard):
    guard = start_guard({"true": TRUE}, as_=BOB, datagrams=True)
    with Sender(guard.datagram_path, BOB) as sender:
        assert sender.call("Run", {"action": "true"})["parameters"]["job"]
        groups = sender.call("WhoAmI")["parameters"]["groups"]
        assert groups == sorted({BOB.gid, *BOB.groups})
    for identity in (ALICE, ROOT):
        with Sender(guard.datagram_path, identity) as sender:
            sender.send(message("Run", {"action": "true"}))
            refused(guard, f"this daemon serves only uid {BOB.uid}", identity)
            assert sender.nothing()
    assert [e["uid"] for e in guard.audit() if e["event"] == "job-started"] == [BOB.uid]


def test_the_rules_of_paths_hold_for_it_too(guard, folder):
    command = [program("posternd"), "--actions", f"{folder}/a", "--state", f"{folder}/s", "--audit",
               f"{folder}/audit", "--socket", f"{folder}/stream"]
    if harness.IS_ROOT:
        command += ["--session-user", harness.SESSION_USER]
    for path, reason in (("postern.dgram", "not an absolute path; start it with /, for example "
                          "/run/postern/postern.sock"),
                         (str(guard.datagram_path),
                          f"another posternd uses it (it holds {guard.datagram_path}.lock)")):
        done = run_as(None, [*command, "--datagram", path], timeout=60)
        assert (done.returncode, done.stderr) == (
            1, f'posternd: critical: socket "{path}": {reason}\n')
    assert os.stat(guard.datagram_path).st_mode & 0o777 == 0o666


@ROOT_ONLY
def test_its_mode_decides_who_may_send(start_guard):
    guard = start_guard({"true": TRUE}, datagrams=True, socket_mode="0600")
    with Sender(guard.datagram_path, ALICE) as sender, pytest.raises(PermissionError):
        sender.send(message("Ping", {"ping": "x"}))
    with Sender(guard.datagram_path, ROOT) as sender:
        assert sender.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
