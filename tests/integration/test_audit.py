"""The audit: every refusal and every job, one line each, or nothing is started."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import stat

import pytest

import harness
from actions import EVERYONE
from identity import ALICE, BOB, CAROL
from small_disk import fill, tmpfs

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

ECHO = {"summary": "Echo", "exec": ["/bin/echo", "{text}"], "allow": EVERYONE,
        "arguments": {"text": {"type": "string"}}}
TOUCH = {"summary": "Touch", "exec": ["/usr/bin/touch", "{file}"], "allow": EVERYONE,
         "arguments": {"file": {"type": "string"}}}
NOT_REGULAR = ", not a regular file; remove it, or give the path of a file"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def lines_of(guard):
    """The audit's entries without their times, each checked to be one line of plain ASCII."""
    data = guard.audit_file.read_bytes()
    assert data.isascii() and data.endswith(b"\n")
    entries = [json.loads(line) for line in data.splitlines()]
    for line, entry in zip(data.splitlines(), entries, strict=True):
        assert TIME.fullmatch(entry.pop("time"))
        assert not re.search(rb"[\x00-\x1f\x7f]", line)
    return entries


def test_arguments_are_whole_up_to_1_kib(start_guard):
    guard = start_guard({"echo": ECHO})
    with guard.connect(as_=ALICE) as client:
        for length in (1024, 1025):
            client.run("echo", {"text": "x" * length})
    shown = [entry["arguments"] for entry in lines_of(guard) if entry["event"] == "job-started"]
    assert shown == [{"text": "x" * 1024}, {"text": {
        "start": "x" * 1024, "bytes": 1025, "sha256": hashlib.sha256(b"x" * 1025).hexdigest()}}]


def test_each_thing_that_happened_is_one_line(start_guard):
    guard = start_guard({"echo": ECHO, "mine": {**ECHO, "allow": [{"user": CAROL.uid}]}})
    with guard.connect(as_=ALICE) as client:
        pid = client.peer.pid
        job = client.run("echo", {"text": "hi"})[0]["parameters"]["job"]
        client.call("Run", {"action": "mine", "arguments": {"text": "x"}})
        client.call("Check", {"action": "echo", "arguments": {"text": "-x"}})
        client.call("Check", {"action": "echo", "arguments": {"text": "ok"}})
        for method in ("WhoAmI", "List"):
            client.call(method)
    path = guard.actions_folder / "echo.json"
    line = path.read_text().splitlines().index('  "allow": [') + 2
    who = {"uid": ALICE.uid, "gid": ALICE.gid, "groups": [ALICE.gid, *ALICE.groups], "pid": pid}
    started, ended, denied, refused = lines_of(guard)
    assert started == {"event": "job-started", **who, "action": "echo", "rule": "allow everyone",
                       "place": f"{path}:{line}", "job": job, "arguments": {"text": "hi"}}
    result = ended.pop("result")
    assert ended == {"event": "job-ended", **who, "action": "echo", "job": job}
    assert sorted(result) == ["cpuMicroseconds", "endedAt", "exitCode", "maxResidentKiB", "outcome",
                              "startedAt"]
    assert (result["outcome"], result["exitCode"]) == ("exited", 0)
    assert denied == {"event": "call-denied", **who, "action": "mine", "reason": "no rule matches",
                      "place": f"{guard.actions_folder}/mine.json"}
    assert refused == {"event": "call-refused", **who, "action": "echo",
                       "reason": 'text: "-x" begins with "-", which this argument does not allow'}
    status = guard.audit_file.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, 0)


def test_an_action_that_is_not_in_force_is_one_line(start_guard):
    guard = start_guard({"echo": ECHO, "bad": {**ECHO, "sumary": "x"}})
    path = guard.actions_folder / "bad.json"
    [entry] = lines_of(guard)
    reason = entry.pop("reason")
    assert entry == {"event": "action-off", "action": "bad", "place": str(path)}
    assert reason.startswith(f"{path}:") and ": sumary: unknown key" in reason
    # The log has it as well, where it does not end up in the same journal.
    assert f"not loaded: {reason}" in guard.stderr_file.read_text()


def test_a_refused_connection_is_one_line(start_guard):
    guard = start_guard({"echo": ECHO}, options=["--limit", "connectionsPerUser=2"])
    clients = [guard.connect(as_=ALICE) for _ in range(2)]
    for client in clients:
        client.call("Ping", {"ping": "x"})
    with guard.connect(as_=ALICE) as client:
        assert json.loads(client.read_to_end()[:-1])["parameters"]["limit"] == "connectionsPerUser"
        pid = client.peer.pid
    with guard.connect(as_=BOB) as client:
        client.call("Ping", {"ping": "x"})
    assert lines_of(guard) == [{
        "event": "connection-refused", "uid": ALICE.uid, "gid": ALICE.gid, "pid": pid,
        "groups": [ALICE.gid, *ALICE.groups], "listener": str(guard.socket_path),
        "reason": "limit connectionsPerUser"}]
    for client in clients:
        client.close()


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\r\nb", '"}\n{"event":"job-started"}', "\x85\x9b",
                                  "\u202etxt", "\u2028", "\x7f", "é\U0001f600"])
def test_nothing_in_a_field_can_end_or_forge_a_line(start_guard, name):
    guard = start_guard({"echo": ECHO})
    with guard.connect(as_=ALICE) as client:
        client.call("Run", {"action": name})
        client.call("Run", {"action": "echo", "arguments": {name: "x"}})
        client.call("Run", {"action": "echo", "arguments": {"text": name}})
    entries = lines_of(guard)
    assert entries[0]["action"] == name
    kinds = [entry["event"] for entry in entries]
    if name.isprintable():
        assert kinds == ["call-denied", "call-refused", "job-started", "job-ended"]
        assert entries[2]["arguments"] == {"text": name}
    else:
        assert kinds == ["call-denied", "call-refused", "call-refused"]
    # Neither does the log on stderr carry it out.
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\x9f\xe2]", guard.stderr_file.read_bytes())


def test_denials_are_summed_after_20_within_10_seconds_and_starts_never(start_guard):
    guard = start_guard({"echo": ECHO})
    with guard.connect(as_=ALICE) as alice, guard.connect(as_=BOB) as bob:
        for number in range(55):
            alice.send_call("Check", {"action": f"none.{number}"})
        for _ in range(55):
            alice.read_reply()
        for _ in range(25):
            assert alice.run("echo", {"text": "x"})[-1]["parameters"]["result"]["exitCode"] == 0
        bob.call("Check", {"action": "none"})
    entries = lines_of(guard)
    denied = [e["action"] for e in entries if e["event"] == "call-denied" and e["uid"] == ALICE.uid]
    assert denied == [f"none.{number}" for number in range(20)]
    assert len([e for e in entries if e["event"] == "job-started"]) == 25
    assert len([e for e in entries if e["event"] == "call-denied" and e["uid"] == BOB.uid]) == 1
    [summed] = guard.wait_audit(event="denials-summed")
    assert (summed["of"], summed["uid"], summed["gid"], summed["count"]) == (
        "call-denied", ALICE.uid, ALICE.gid, 35)


# ---- Where it can't be written ----

def test_where_the_audit_is_full_nothing_is_started_and_others_are_answered(start_guard, folder):
    with tmpfs(folder / "small", "64k") as small:
        audit = small / "audit"
        guard = start_guard({"touch": TOUCH}, audit_file=audit)
        with guard.connect(as_=ALICE) as client:
            replies = client.run("touch", {"file": f"{folder}/first"})
            assert replies[-1]["parameters"]["result"]["exitCode"] == 0
            fill(small / "filler")
            before = audit.read_bytes()
            # What is left of the file's last page may still take a record or two.
            for number in range(40):
                reply = client.call("Run", {"action": "touch",
                                            "arguments": {"file": f"{folder}/n{number}"}})
                if "error" in reply:
                    break
            assert reply == {
                "error": "org.postern.Actions.Unavailable", "parameters": {"message":
                    "no job can be started at the moment: its record or its audit can't be written; "
                    "try again later, the administrator finds more in the log"}}
            assert not (folder / f"n{number}").exists()
            assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
            done = guard.ctl("run", "touch", f"file={folder}/other", as_=BOB)
            assert (done.returncode, done.stdout) == (123, "")
            assert not (folder / "other").exists()
            # No half lines.
            lines = audit.read_bytes()
            assert lines.startswith(before) and lines.endswith(b"\n")
            started = [e for e in map(json.loads, lines.splitlines()) if e["event"] == "job-started"]
            assert len(started) == 1 + number
            (small / "filler").unlink()
            replies = client.run("touch", {"file": f"{folder}/again"})
            assert replies[-1]["parameters"]["result"]["exitCode"] == 0
            assert (folder / "again").exists()
        events = [json.loads(line) for line in audit.read_text().splitlines()]
        lost = [e["count"] for e in events if e["event"] == "records-lost"]
        assert lost and min(lost) > 0


@pytest.mark.parametrize("make, reason", [
    (lambda p: p.mkdir(), f"it is a directory{NOT_REGULAR}"),
    (lambda p: p.symlink_to("/etc/passwd"), f"it is a symbolic link{NOT_REGULAR}"),
    (os.mkfifo, f"it is a FIFO{NOT_REGULAR}"),
    (lambda p: (p.write_text(""), os.chown(p, ALICE.uid, 0)),
     f"it is owned by uid {ALICE.uid}; run: chown 0 AUDIT"),
    (lambda p: (p.write_text(""), os.link(p, f"{p}.other")),
     "it has 2 names (hard links); move it away, a new one is made"),
])
def test_an_audit_file_that_is_not_ours_is_refused_at_the_start(start_guard, folder, make, reason):
    audit = folder / "audit"
    make(audit)
    guard = harness.Guard({}, audit_file=audit).launch()
    try:
        assert guard.wait() == 1
        reason = reason.replace("AUDIT", str(audit))
        assert guard.stderr() == f"posternd: critical: audit file {audit}: {reason}\n"
    finally:
        guard.close(check=False)


def test_an_audit_file_that_others_may_read_is_made_private(start_guard, folder):
    audit = folder / "audit"
    audit.write_text('{"event":"older"}\n')
    audit.chmod(0o644)
    start_guard({}, audit_file=audit)
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600
    assert audit.read_text() == '{"event":"older"}\n'


# ---- Secrets ----

def test_a_secret_argument_is_only_ever_in_the_standard_input_of_its_job(start_guard, folder):
    secret = "Xyzzy-4711-Plugh"
    login = {"summary": "Log in", "stdin": "{password}\n", "allow": EVERYONE,
             "exec": ["/bin/sh", "-c", f"read -r p; echo ${{{{#p}}}}; touch {folder}/running; "
                      f"while [ -e {folder}/running ]; do sleep 0.02; done"],
             "arguments": {"password": {"type": "string", "secret": True, "pattern": "[A-Za-z0-9-]+"}}}
    guard = start_guard({"login": login}, options=["--log-level", "debug"])
    with guard.connect(as_=ALICE) as client:
        for wrong in (f"{secret}!", f"-{secret}", f"{secret}\n"):
            reply = client.call("Run", {"action": "login", "arguments": {"password": wrong}})
            assert reply["error"] == "org.postern.Actions.InvalidArgument"
            assert secret not in json.dumps(reply)
        client.send_call("Run", {"action": "login", "arguments": {"password": secret}}, more=True)
        replies = [client.read_reply(), client.read_reply()]
        assert replies[1]["parameters"]["stdout"] == f"{len(secret)}\n"
        harness.wait_until((folder / "running").exists)
        for pid in cgroup_processes(guard):
            for name in ("cmdline", "environ"):
                # What was just started to run a program, or to let go of one, may have ended.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    assert secret.encode() not in pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
        assert_nowhere(guard, secret)
        (folder / "running").unlink()
        assert client.read_replies()[-1]["parameters"]["result"]["exitCode"] == 0
    assert_nowhere(guard, secret)
    entry = guard.wait_audit(event="job-started")[0]
    assert entry["arguments"] == {"password": "(secret)"}


def cgroup_processes(guard):
    if guard.cgroup_path is None:
        pytest.skip("needs a cgroup to see what was started")
    pids = [pid for file in guard.cgroup_path.rglob("cgroup.procs")
            for pid in file.read_text().split()]
    assert len(pids) >= 3  # the guard, a session, the job
    return pids


def assert_nowhere(guard, secret):
    """In no file that the guard wrote: audit, log, records, output."""
    read = 0
    for file in guard.folder.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
            read += 1
    assert read >= 5
