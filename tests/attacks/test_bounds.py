"""What one user may fill has a bound, and nobody else loses anything by it."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import subprocess

import pytest

import harness
from actions import EVERYONE, HELLO, script
from identity import ALICE, BOB, Identity
from jobs import get, record
from processes import sessions
from wire import message

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")


# ---- The audit ----

def test_a_long_argument_takes_little_room_in_the_audit(start_guard):
    guard = start_guard({"note": {"summary": "x", "exec": ["/bin/true", "{t}"], "allow": EVERYONE,
                                  "arguments": {"t": {"type": "list", "items": "string"}}}})
    text = ["é" * 2000] * 15  # 60 KB on the wire, of which each byte once became three
    with guard.connect(as_=ALICE) as client:
        client.send(json.dumps({"method": "org.postern.Actions.Run", "parameters": {
            "action": "note", "arguments": {"t": text}}}, ensure_ascii=False).encode() + b"\0")
        job = client.read_reply()["parameters"]["job"]
    lines = guard.audit_file.read_bytes().splitlines()
    assert max(len(line) for line in lines) < 5000
    [started] = [entry for entry in guard.audit() if entry["event"] == "job-started"]
    shown = "[" + ", ".join(f'"{part}"' for part in text) + "]"
    assert started["job"] == job
    # The record of the job has all of it.
    assert record(guard, job)["arguments"] == {"t": shown}
    assert started["arguments"] == {"t": {
        "start": shown.encode()[:1024].decode(), "bytes": len(shown.encode()),
        "sha256": hashlib.sha256(shown.encode()).hexdigest()}}


# ---- Records and keys ----

def whole_outputs(guard):
    count = 0
    for path in (guard.state_folder / "jobs").glob("*/stdout"):
        with contextlib.suppress(FileNotFoundError):
            count += path.stat().st_blocks > 0
    return count


def test_many_uids_push_out_nobodys_records_and_keys(start_guard):
    """The victim's key starts its job once, whatever others run meanwhile."""
    guard = start_guard({"hello": HELLO}, options=[
        "--limit", "recordsPerUser=4", "--limit", "records=8"])
    call = {"action": "hello", "key": "deadbeef"}
    with guard.connect(as_=ALICE) as victim:
        first = victim.call("Run", call)
        for number in range(6):
            with guard.connect(as_=Identity(100_000 + number, 100_000 + number)) as client:
                for key in range(4):
                    assert "result" in client.call("Run", {"action": "hello", "key": f"k{key}"})["parameters"]
        again = victim.call("Run", call)["parameters"]
        assert (again["job"], again["result"]) == (first["parameters"]["job"], first["parameters"]["result"])
        assert "error" not in get(victim, again["job"])
    jobs = [entry for entry in guard.audit() if entry["event"] == "job-started"]
    assert len([entry for entry in jobs if entry["uid"] == ALICE.uid]) == 1
    # What the others have is bounded: as many whole ones as the limit says.
    harness.wait_until(lambda: whole_outputs(guard) <= 8, what="the others' records are gone")


def test_a_key_of_ones_own_is_never_forgotten_but_refused(start_guard):
    guard = start_guard({"hello": HELLO}, options=["--limit", "recordsPerUser=2"])
    with guard.connect(as_=ALICE) as client:
        jobs = {}
        for number in range(100):
            reply = client.call("Run", {"action": "hello", "key": f"k{number}"})
            if "error" in reply:
                break
            jobs[f"k{number}"] = reply["parameters"]["job"]
        assert reply == {"error": "org.postern.Actions.LimitReached", "parameters": {
            "limit": "recordsPerUser", "message": "too many keys were given within 10 minutes, for which "
            "all of them are remembered (limit recordsPerUser); try again later, or call without a key"}}
        assert len(jobs) == 2 * 16 + 2
        for key, job in jobs.items():
            again = client.call("Run", {"action": "hello", "key": key})["parameters"]
            assert (again["job"], again["result"]["exitCode"]) == (job, 0)
            # The output of old ones is missed, and said to be.
            assert again.get("stdout") == "hi\n" or again["stdoutMissed"] == 3
        # Without a key it runs, and others are served.
        assert "result" in client.call("Run", {"action": "hello"})["parameters"]
    with guard.connect(as_=BOB) as other:
        assert "result" in other.call("Run", {"action": "hello", "key": "k"})["parameters"]
    assert len([e for e in guard.audit() if e["event"] == "job-started"]) == len(jobs) + 2
    [refused] = [e for e in guard.audit() if e["event"] == "call-refused"]
    assert refused["reason"] == "limit recordsPerUser: no room for another key"


# ---- Replies that are not read, and memory ----

MEBIBYTE = 1024 * 1024
LONG = {"summary": "s" * 190, "description": "d" * 20000, "allow": EVERYONE, "exec": ["/bin/true"]}
DESCRIBE = message("org.postern.Actions.Describe", {"action": "long"}, end=b"\0")
PONG = {"parameters": {"pong": "x"}}


def status_of(pid, field):
    """Bytes, of a field of /proc/PID/status."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE).group(1)) * 1024


def ask_without_reading(guard, clients):
    """Sends calls on all of them, and reads nothing, until one is dropped. Returns those that are left."""
    for client in clients:
        client.socket.setblocking(False)
    left = set(clients)

    def some_are_dropped():
        for client in list(left):
            try:
                client.socket.send(DESCRIBE * 20)
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                left.discard(client)
        return len(left) < len(clients)

    harness.wait_until(some_are_dropped, what="one that does not read is dropped")
    return left


def test_replies_that_nobody_reads_have_a_bound(start_guard):
    """One user, all the connections that it may have, and nothing read: 149 MB in version 0.1.0."""
    guard = start_guard({"long": LONG, "hello": HELLO})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(guard.connect()) for _ in range(200)]
        assert all(client.call("Ping", {"ping": "x"}) == PONG for client in clients)
        [session] = sessions(guard)
        before = status_of(session, "VmRSS")
        for _ in range(3):
            assert ask_without_reading(guard, clients)
        # Its strings have room for twice what is in them.
        assert status_of(session, "VmRSS") - before < 2 * 16 * MEBIBYTE + 8 * MEBIBYTE
        assert sessions(guard) == [session]
        entry = guard.wait_audit(event="connection-dropped")[0]
        assert (entry["uid"], entry["pid"], entry["listener"], entry["reason"]) == (
            0, os.getpid(), str(guard.socket_path),
            "it held most of more unread replies than a session may hold")
        # The user's other clients are served, and so is everybody else.
        for who in (None, BOB):
            with guard.connect(as_=who) as client:
                assert client.call("Ping", {"ping": "x"}) == PONG


@pytest.mark.long
def test_a_client_that_reads_nothing_for_a_minute_goes(start_guard):
    guard = start_guard({"long": LONG})
    with guard.connect(as_=ALICE) as client, guard.connect(as_=ALICE) as quiet:
        client.send(DESCRIBE * 200)
        [entry] = guard.wait_audit(event="connection-dropped", seconds=150)
        assert (entry["uid"], entry["reason"]) == (
            ALICE.uid, "it read nothing for a minute while replies waited")
        assert client.read_to_end()
        assert quiet.call("Ping", {"ping": "x"}) == PONG


@pytest.mark.long
def test_posternctl_whose_output_is_not_read_for_a_minute_comes_back(start_guard):
    guard = start_guard({"much": script("head -c 8000000 /dev/zero | tr '\\0' x; exit 7")})
    with subprocess.Popen([harness.program("posternctl"), "--socket", str(guard.socket_path), "run",
                           "much"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        guard.wait_audit(event="connection-dropped", seconds=150)
        out, err = client.communicate(timeout=60)
    assert (out == b"x" * 8_000_000, err, client.returncode) == (True, b"", 7)
    assert len([entry for entry in guard.audit() if entry["event"] == "job-started"]) == 1


def test_the_memory_of_a_session_suffices_for_all_that_it_may_hold(start_guard):
    """256 connections, each in the middle of the longest message, and as many unread replies as may be."""
    guard = start_guard({"long": LONG})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(guard.connect()) for _ in range(256)]
        assert all(client.call("Ping", {"ping": "x"}) == PONG for client in clients)
        [session] = sessions(guard)
        limits = pathlib.Path(f"/proc/{session}/limits").read_text(encoding="ascii")
        assert re.search(r"^Max data size\s+(\d+)\s+(\d+)", limits, re.MULTILINE).groups() == (
            str(256 * MEBIBYTE),) * 2
        # Of one client half a mebibyte waits, as long as no reply is longer than that.
        deaf, half = clients[:60], clients[60:]
        for client in half:
            client.send(b'{"method":"' + b"x" * 65000)
        ask_without_reading(guard, deaf)
        # Messages that are begun are held as well.
        harness.wait_until(lambda: status_of(session, "VmData") > 28 * MEBIBYTE, what="all is held")
        used = status_of(session, "VmData")
        print(f"VmData {used // MEBIBYTE} MiB")
        assert used < 128 * MEBIBYTE  # half of what it may have
        assert sessions(guard) == [session]


def test_where_memory_runs_out_sessions_go_first(start_guard):
    own = int(pathlib.Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
    lower = ["choom", "-n", str(own - 500), "--"]
    if subprocess.run([*lower, "true"], check=False, capture_output=True).returncode == 0:
        own -= 500
    else:
        lower = []  # without CAP_SYS_RESOURCE, as in most containers, the guard stays what it is
    guard = start_guard({"score": script("cat /proc/self/oom_score_adj")}, under=lower)
    with guard.connect(as_=ALICE) as client:
        assert client.call("Run", {"action": "score"})["parameters"]["stdout"] == "0\n"
        scores = [pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii").strip()
                  for pid in (guard.pid, *sessions(guard))]
        assert scores == [str(own), "500"]
