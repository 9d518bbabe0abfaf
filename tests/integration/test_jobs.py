"""org.postern.Jobs, and the key of Run: what a caller may do with a job that it has started."""

import concurrent.futures
import hashlib
import json
import os
import shutil
import signal
import subprocess

import pytest

import harness
from actions import EVERYONE, HELLO, script
from identity import ALICE, BOB, popen_as
from jobs import (POORER, begin, follow, get, get_as_before, no_such_job, record, result_of,
                  text_of)
from processes import sessions

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")


def steps(folder, count=3, **more):
    """Writes a line, waits for a file, writes the next; exits with 7."""
    waits = "".join(f"while [ ! -e {folder}/{n} ]; do sleep 0.02; done; echo {n}; "
                    for n in range(1, count))
    return script(f"echo 0; {waits}exit 7", **more)


# ---- Get and Follow ----

def test_get_says_what_a_job_is_and_was(start_guard, folder):
    guard = start_guard({"steps": steps(folder, 2)})
    with guard.connect(as_=ALICE) as client, guard.connect(as_=ALICE) as other:
        job, _ = begin(client, "steps")
        created = record(guard, job)["createdUsec"]
        assert get_as_before(other, job) == {"parameters": {"job": {
            "job": job, "action": "steps", "state": "running", "createdAt": created}}}
        (folder / "1").touch()
        result_of(client)
        reply = get_as_before(other, job)["parameters"]["job"]
        result = reply.pop("result")
        assert reply == {"job": job, "action": "steps", "state": "ended", "createdAt": created}
        assert (result["outcome"], result["exitCode"]) == ("exited", 7)


def test_a_job_is_followed_by_many_each_from_where_it_wants(start_guard, folder):
    guard = start_guard({"steps": steps(folder)})
    with guard.connect(as_=ALICE) as client:
        job, _ = begin(client, "steps")
        clients = [guard.connect(as_=ALICE) for _ in range(4)]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            whole, rest, end, once = (pool.submit(follow, *arguments) for arguments in (
                (clients[0], job), (clients[1], job, 2), (clients[2], job, 1, 0),
                (clients[3], job, 2, 0, False)))
            for name in ("1", "2"):
                (folder / name).touch()
            assert text_of(whole.result()) == "0\n1\n2\n"
            assert text_of(rest.result()) == "1\n2\n"
            assert text_of(end.result()) == "\n1\n2\n"
            [reply] = once.result()
            assert reply["parameters"]["stdout"] == "1\n2\n"
        assert result_of(client) == ("1\n2\n", {"outcome": "exited", "exitCode": 7})
        for other in clients:
            # And when it has ended.
            replies = follow(other, job, 2)
            assert replies[0] == {"continues": True, "parameters": {"job": job}}
            assert text_of(replies) == "1\n2\n"
            assert replies[-1]["parameters"]["result"]["exitCode"] == 7
            other.close()


def test_who_may_look_at_a_job(start_guard):
    """Only who is the same to every rule; to others it is as if there were none."""
    guard = start_guard({"hello": HELLO})
    with guard.connect(as_=ALICE) as alice:
        job = alice.run("hello")[0]["parameters"]["job"]
        missing = job[::-1]
        # POORER first: repeated denials of a uid are summed.
        for other in (POORER, ALICE, BOB, None):
            with guard.connect(as_=other) as client:
                for name in (job, missing, "", "../jobs/" + job, job.upper()):
                    mine = other is ALICE and name == job
                    assert ("error" in get(client, name)) is not mine
                    assert ("error" in follow(client, name)[0]) is not mine
                    if not mine:
                        assert get(client, name) == no_such_job(name)
                        assert follow(client, name) == [no_such_job(name)]
                        assert follow(client, name, 3, more=False) == [no_such_job(name)]
    denied = [e for e in guard.audit() if e["event"] == "call-denied" and e.get("job") == job]
    assert {(e["uid"], e["action"], e["reason"]) for e in denied} == {
        (uid, "hello", "the job is another caller's") for uid in (ALICE.uid, BOB.uid, 0)}


def test_a_job_that_could_not_be_started_says_so_again(start_guard, folder):
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    guard = start_guard({"gone": {"summary": "Gone", "exec": [str(program)], "allow": EVERYONE}})
    program.unlink()
    with guard.connect(as_=ALICE) as client:
        failed = client.call("Run", {"action": "gone", "key": "k"})
        assert failed["error"] == "org.postern.Actions.StartFailed"
        job = failed["parameters"]["job"]
        assert follow(client, job) == [failed]
        assert client.call("Run", {"action": "gone", "key": "k"}) == failed
        shown = get(client, job)["parameters"]["job"]
        assert (shown["state"], shown["message"]) == (
            "failed", "the program could not be started: it does not exist")


def test_a_program_that_can_not_be_started_any_more_says_why(start_guard, folder):
    """The caller is told the reason, but not the path; the audit has both."""
    program, script = folder / "program", folder / "script"
    interpreter = folder / "interpreter"
    for path in (program, interpreter):
        shutil.copy("/bin/true", path)
    script.write_text(f"#!{interpreter}\n")
    script.chmod(0o755)
    action = {"summary": "s", "allow": EVERYONE}
    guard = start_guard({"program": action | {"exec": [str(program)]},
                         "script": action | {"exec": [str(script)]}})

    def told(name):
        with guard.connect(as_=ALICE) as client:
            reply = client.call("Run", {"action": name})
        assert reply["error"] == "org.postern.Actions.StartFailed"
        begin = f"{name}: the program could not be started: "
        assert reply["parameters"]["message"].startswith(begin)
        return reply["parameters"]["message"].removeprefix(begin)

    with guard.connect(as_=ALICE) as client:
        assert client.call("Run", {"action": "script"})["parameters"]["result"]["exitCode"] == 0
    program.chmod(0o644)
    assert told("program") == "it is not executable"
    assert str(program) in guard.audit()[-1]["reason"]
    program.chmod(0o775)
    assert told("program") == "others than its owner could change it"
    program.unlink()
    assert told("program") == "it does not exist"
    interpreter.chmod(0o644)
    assert told("script") == f"its interpreter {interpreter} is not executable"
    interpreter.unlink()
    assert told("script") == f"its interpreter {interpreter} does not exist"
    assert f"{script} is started by {interpreter}" in guard.audit()[-1]["reason"]


def test_a_job_that_ends_with_its_caller_goes_on_for_the_last_who_follows(start_guard, folder):
    guard = start_guard({"steps": steps(folder, onDisconnect="kill")},
                        options=["--limit", "killGrace=0s"])
    with guard.connect(as_=ALICE) as other:
        with guard.connect(as_=ALICE) as client:
            job, _ = begin(client, "steps")
            other.send_call("org.postern.Jobs.Follow", {"job": job}, more=True)
            assert other.read_reply() == {"continues": True, "parameters": {"job": job}}
        (folder / "1").touch()
        assert other.read_reply()["parameters"]["stdout"].startswith("0\n")
        assert get_state(guard, job) == "running"
    assert guard.wait_audit(event="job-ended", job=job)[0]["result"]["outcome"] == "disconnected"


def get_state(guard, job):
    with guard.connect(as_=ALICE) as client:
        return get(client, job)["parameters"]["job"]["state"]


# ---- The key ----

ONCE = "echo x >>{folder}/count; while [ ! -e {folder}/go ]; do sleep 0.02; done; echo done"


def test_the_same_call_with_the_same_key_starts_one_job(start_guard, folder):
    action = {**script(ONCE.format(folder=folder)),
              "arguments": {"z": {"type": "string"}, "a": {"type": "string", "default": "1"}}}
    action["exec"] += ["{z}", "{a}"]
    guard = start_guard({"once": action, "hello": HELLO})
    call = {"action": "once", "arguments": {"a": "2", "z": "3"}, "key": "deploy:1"}
    clients = [guard.connect(as_=ALICE) for _ in range(20)]
    for client in clients:
        client.send_call("Run", call, more=True)
    jobs = {client.read_reply()["parameters"]["job"] for client in clients}
    assert len(jobs) == 1
    (folder / "go").touch()
    for client in clients:
        assert result_of(client) == ("done\n", {"outcome": "exited", "exitCode": 0})
    # When it has ended too, and after a restart.
    again = clients[0].call("Run", call)["parameters"]
    assert (again["job"], again["stdout"]) == (*jobs, "done\n")
    for client in clients:
        client.close()
    guard.stop()
    guard.restart()
    with guard.connect(as_=ALICE) as client:
        assert client.call("Run", call)["parameters"] == again
    assert (folder / "count").read_text() == "x\n"
    assert [e["job"] for e in guard.audit() if e["event"] == "job-started"] == list(jobs)


def test_another_call_with_the_same_key_is_refused(start_guard):
    greet = {"summary": "s", "allow": EVERYONE, "exec": ["/bin/echo", "{name}"],
             "arguments": {"name": {"type": "string"}}}
    guard = start_guard({"greet": greet, "other": greet})
    call = {"action": "greet", "arguments": {"name": "a"}, "key": "k"}
    with guard.connect(as_=ALICE) as client:
        job = client.call("Run", call)["parameters"]["job"]
        for change in ({"action": "other"}, {"arguments": {"name": "b"}}):
            assert client.call("Run", {**call, **change}) == {
                "error": "org.postern.Actions.KeyInUse", "parameters": {
                    "key": "k", "message": f"the key k was given to another call, which started job {job} "
                    "(greet); a new call needs a new key"}}
        assert client.call("Run", {**call, "key": "K"})["parameters"]["job"] != job
    entries = [e for e in guard.audit() if e["event"] == "call-refused"]
    assert [(e["action"], e["reason"], e["job"]) for e in entries] == [
        ("other", "the key is in use", job), ("greet", "the key is in use", job)]


def test_another_secret_is_another_call(start_guard):
    login = {"summary": "s", "allow": EVERYONE, "exec": ["/bin/sh", "-c", "cat", "{name}"],
             "stdin": "{password}",
             "arguments": {"password": {"type": "string", "secret": True},
                           "name": {"type": "string", "required": False}}}
    guard = start_guard({"login": login})
    call = {"action": "login", "arguments": {"password": "Xyzzy-1", "name": "a"}, "key": "k"}
    with guard.connect(as_=ALICE) as client:
        first = client.call("Run", call)["parameters"]
        assert first["stdout"] == "Xyzzy-1"
        for change in ({"password": "Xyzzy-2", "name": "a"}, {"password": "Xyzzy-1"}):
            refused = client.call("Run", {**call, "arguments": change})
            assert refused["error"] == "org.postern.Actions.KeyInUse", change
        same = {**call, "arguments": {"name": "a", "password": "Xyzzy-1"}}
        assert client.call("Run", same)["parameters"] == first
        # The file changes, and the call is still the same; its record names the file that it had.
        old = hashlib.sha256((guard.actions_folder / "login.json").read_bytes()).hexdigest()
        del login["arguments"]["name"]
        login["exec"] = ["/bin/cat"]
        guard.write_action("login", login)
        guard.reload()
        assert client.call("Run", call)["parameters"] == first
        assert record(guard, first["job"])["fileVersion"] == old
        assert "Xyzzy" not in json.dumps(record(guard, first["job"]))
        refused = client.call("Run", {**call, "key": "k2"})
        assert refused["error"] == "org.postern.Actions.InvalidArgument"
    assert len([e for e in guard.audit() if e["event"] == "job-started"]) == 1


def test_a_key_is_its_callers_own(start_guard):
    guard = start_guard({"hello": HELLO})
    jobs = set()
    for who in (ALICE, BOB, POORER, None):
        with guard.connect(as_=who) as client:
            jobs.add(client.call("Run", {"action": "hello", "key": "k"})["parameters"]["job"])
    assert len(jobs) == 4


def test_a_key_gives_nothing_that_was_taken_away(start_guard):
    guard = start_guard({"hello": HELLO})
    with guard.connect(as_=ALICE) as client:
        assert "result" in client.call("Run", {"action": "hello", "key": "k"})["parameters"]
        guard.write_action("hello", {**HELLO, "allow": [{"user": "root"}]})
        guard.reload()
        denied = client.call("Run", {"action": "hello", "key": "k"})
        assert denied["error"] == "org.postern.Actions.NotGranted"


# ---- posternctl run, when what serves it goes ----

def test_kill_9_of_its_session_is_not_noticed(start_guard, folder):
    guard = start_guard({"steps": steps(folder, 4, onDisconnect="kill")})
    with popen_as(ALICE, [harness.program("posternctl"), "--socket", str(guard.socket_path), "run",
                          "steps"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                  text=True) as client:
        for number in range(3):
            assert client.stdout.readline() == f"{number}\n"
            [session] = sessions(guard)
            os.kill(session, signal.SIGKILL)
            guard.wait_audit(event="session-failed", count=number + 1)
            (folder / str(number + 1)).touch()
        assert client.communicate(timeout=60) == ("3\n", "")
        assert client.returncode == 7
    assert len([e for e in guard.audit() if e["event"] == "job-started"]) == 1


def test_json_says_nothing_twice(start_guard, folder):
    guard = start_guard({"steps": steps(folder, 2)})
    with popen_as(ALICE, [harness.program("posternctl"), "--socket", str(guard.socket_path), "run",
                          "--json", "steps"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                  text=True) as client:
        first = [json.loads(client.stdout.readline()) for _ in range(2)]
        [session] = sessions(guard)
        os.kill(session, signal.SIGKILL)
        guard.wait_audit(event="session-failed")
        (folder / "1").touch()
        out, err = client.communicate(timeout=60)
    job = first[0]["job"]
    rest = [json.loads(line) for line in out.splitlines()]
    assert (first, err) == ([{"job": job}, {"job": job, "stdout": "0\n"}], "")
    assert rest[0] == {"job": job, "stdout": "1\n"}
    assert rest[1]["result"]["exitCode"] == 7 and len(rest) == 2
