"""Jobs that nobody waits for, and what is seen of them later: run --detach, attach, logs and wait."""

import contextlib
import json
import re
import subprocess

import pytest

import harness
from actions import HELLO, script
from harness import program, wait_until
from identity import ALICE, BOB, popen_as
from jobs import POORER, end_of, get, no_such_job, record, text_of
from posternctl import outcome

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")


def talk(folder, **more):
    """Writes to both streams, waits for a file, writes again; exits with 7."""
    return script(f"echo one; echo two; echo three; echo warn >&2; while [ ! -e {folder}/go ]; do sleep 0.02; done; "
                  "echo four; exit 7", **more)


def detach(guard, action, as_=ALICE):
    done = guard.ctl("run", "--detach", action, as_=as_)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch("[0-9a-f]{32}\n", done.stdout)
    return done.stdout[:-1]


def stored(guard, job):
    """How much is stored of each stream."""
    folder = guard.state_folder / "jobs" / job
    with contextlib.suppress(FileNotFoundError):
        return tuple((folder / name).stat().st_size for name in ("stdout", "stderr"))


def wait_stored(guard, job, *sizes):
    wait_until(lambda: stored(guard, job) == sizes, what=f"{sizes} bytes are stored")


def ask(guard, as_, job, more=True, **parameters):
    with guard.connect(as_=as_) as client:
        client.send_call("org.postern.Jobs.Follow", {"job": job, **parameters}, more=more)
        return client.read_replies()


# ---- run --detach ----

def test_a_detached_job_is_followed_later(start_guard, folder):
    guard = start_guard({"talk": talk(folder)})
    job = detach(guard, "talk")
    wait_stored(guard, job, 14, 5)
    [started] = [entry for entry in guard.audit() if entry["event"] == "job-started"]
    assert (started["job"], started["uid"], started["action"]) == (job, ALICE.uid, "talk")
    with popen_as(ALICE, [program("posternctl"), "--socket", str(guard.socket_path), "attach", job],
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert [client.stdout.readline() for _ in range(3)] == ["one\n", "two\n", "three\n"]
        (folder / "go").touch()
        out, err = client.communicate(timeout=60)
    assert (client.returncode, out, err) == (7, "four\n", "warn\n")
    # And when it has ended.
    assert outcome(guard.ctl("attach", job, as_=ALICE)) == (7, "one\ntwo\nthree\nfour\n", "warn\n")
    assert outcome(guard.ctl("logs", job, as_=ALICE)) == (0, "one\ntwo\nthree\nfour\n", "warn\n")
    assert outcome(guard.ctl("wait", job, as_=ALICE)) == (7, "", "")


def test_the_same_call_with_its_key_starts_nothing(start_guard, folder):
    guard = start_guard({"talk": talk(folder)})
    with guard.connect(as_=ALICE) as client:
        asked = {"action": "talk", "key": "k", "detach": True}
        first = client.call("Run", asked)
        assert list(first["parameters"]) == ["job"]
        assert client.call("Run", asked) == first
        assert client.call("Run", asked, more=True) == first
        assert sum(entry["event"] == "job-started" for entry in guard.audit()) == 1
    (folder / "go").touch()
    wait_until(lambda: record(guard, first["parameters"]["job"])["state"] == "ended")


@pytest.mark.parametrize("says, means", [
    ({"onDisconnect": "kill"}, "ends its job when nobody follows it"),
    ({"output": "direct"}, "writes straight to the client that starts it"),
    ({"input": "direct"}, "reads straight from the client that starts it")])
def test_what_can_not_be_detached(start_guard, says, means):
    guard = start_guard({"hello": {**HELLO, **says}})
    [(key, value)] = says.items()
    said = f'"{key}": "{value}"'
    assert outcome(guard.ctl("run", "--detach", "hello", as_=ALICE)) == (
        122, "", f'posternctl: "hello" can\'t be detached: its file says {said}, which {means}; run it without '
        "detaching it\n")
    [entry] = [entry for entry in guard.audit() if entry["event"] == "call-refused"]
    assert (entry["action"], entry["reason"]) == ("hello", f"the action says {said}, so it can't be detached")
    with guard.connect(as_=ALICE) as client:
        reply = client.call("Run", {"action": "hello", "detach": True})
        assert (reply["error"], list(reply["parameters"])) == ("org.postern.Actions.NotDetachable", ["message"])
        assert not any(entry["event"] == "job-started" for entry in guard.audit())


def test_who_may_not_run_it_learns_nothing(start_guard):
    guard = start_guard({"hello": {**HELLO, "onDisconnect": "kill", "allow": [{"user": ALICE.uid}]}})
    with guard.connect(as_=BOB) as client:
        names = [client.call("Run", {"action": name, "detach": True})["parameters"]["message"].replace(name, "X")
                 for name in ("hello", "nothing")]
        assert names[0] == names[1]


# ---- What of a job's output is asked for ----

def test_the_last_lines_from_now_and_what_is_stored(start_guard, folder):
    guard = start_guard({"talk": talk(folder)})
    job = detach(guard, "talk")
    wait_stored(guard, job, 14, 5)
    # Of a job that runs: nothing waits.
    replies = ask(guard, ALICE, job, tail=2, stored=True)
    assert replies[0] == {"continues": True, "parameters": {"job": job, "stdoutOffset": 4, "stderrOffset": 0}}
    assert (text_of(replies), replies[-1]) == ("two\nthree\n", {"parameters": {"job": job}})
    assert ask(guard, ALICE, job, more=False, stored=True) == [
        {"parameters": {"job": job, "stdout": "one\ntwo\nthree\n", "stderr": "warn\n"}}]
    assert outcome(guard.ctl("logs", job, as_=ALICE)) == (0, "one\ntwo\nthree\n", "warn\n")
    assert outcome(guard.ctl("logs", "--tail", "1", "--stdout", job, as_=ALICE)) == (0, "three\n", "")
    assert outcome(guard.ctl("logs", "--stderr", job, as_=ALICE)) == (0, "warn\n", "")
    assert get_state(guard, job) == "running"
    with guard.connect(as_=ALICE) as now, guard.connect(as_=ALICE) as result:
        now.send_call("org.postern.Jobs.Follow", {"job": job, "fromNow": True}, more=True)
        assert now.read_reply()["parameters"] == {"job": job, "stdoutOffset": 14, "stderrOffset": 5}
        result.send_call("org.postern.Jobs.Follow", {"job": job, "output": False}, more=True)
        assert result.read_reply() == {"continues": True, "parameters": {"job": job}}
        (folder / "go").touch()
        replies = now.read_replies()
        assert text_of(replies) == "four\n"
        last = result.read_reply()
        assert end_of(last) == end_of(replies[-1]) == {"outcome": "exited", "exitCode": 7}
        assert sorted(last["parameters"]) == ["job", "result"]
    # Of one that has ended its result comes too.
    [reply] = ask(guard, ALICE, job, more=False, stored=True, tail=1)
    assert reply["parameters"].pop("result")["exitCode"] == 7
    assert reply["parameters"] == {"job": job, "stdout": "four\n", "stdoutOffset": 14, "stderr": "warn\n",
                                   "stderrOffset": 0}
    assert outcome(guard.ctl("attach", "--tail", "1", job, as_=ALICE)) == (7, "four\n", "warn\n")
    assert outcome(guard.ctl("attach", "--from-now", job, as_=ALICE)) == (7, "", "")


def get_state(guard, job):
    with guard.connect(as_=ALICE) as client:
        return get(client, job)["parameters"]["job"]["state"]


def test_one_that_wants_no_output_does_not_hold_the_job(start_guard, folder):
    """4 MiB are more than the window that a job may be ahead of its slowest follower."""
    guard = start_guard({"much": script(f"while [ ! -e {folder}/go ]; do sleep 0.02; done; "
                                        "yes | head -c 4194304; exit 3")})
    job = detach(guard, "much")
    with guard.connect(as_=ALICE) as client:
        client.send_call("org.postern.Jobs.Follow", {"job": job, "output": False})
        (folder / "go").touch()
        assert end_of(client.read_reply()) == {"outcome": "exited", "exitCode": 3}
    done = guard.ctl("logs", "--tail", "3", job, as_=ALICE)
    assert outcome(done) == (0, "y\ny\ny\n", "")


def test_output_without_lines_is_looked_through_to_its_beginning(start_guard):
    guard = start_guard({"long": script("head -c 3000000 /dev/zero | tr '\\0' x")})
    job = detach(guard, "long")
    assert outcome(guard.ctl("wait", job, as_=ALICE)) == (0, "", "")
    assert outcome(guard.ctl("logs", "--tail", "1", job, as_=ALICE)) == (0, "x" * 3000000, "")


# ---- Whose jobs ----

def test_to_others_there_is_no_such_job(start_guard, folder):
    guard = start_guard({"talk": talk(folder)})
    job = detach(guard, "talk")
    missing = job[::-1]
    for other in (POORER, BOB, None):
        for name in (job, missing):
            for parameters in ({"tail": 1}, {"fromNow": True}, {"output": False}, {"stored": True}):
                assert ask(guard, other, name, **parameters) == [no_such_job(name)]
            for verb in ("attach", "logs", "wait"):
                said = no_such_job(name)["parameters"]["message"]
                assert outcome(guard.ctl(verb, name, as_=other)) == (126, "", f"posternctl: {said}\n")
    (folder / "go").touch()
    assert outcome(guard.ctl("wait", job, as_=ALICE)) == (7, "", "")


# ---- wait ----

def test_wait_for_many(start_guard, folder):
    guard = start_guard({"talk": talk(folder), "killed": script("kill -9 $$")})
    running, killed = detach(guard, "talk"), detach(guard, "killed")
    with popen_as(ALICE, [program("posternctl"), "--socket", str(guard.socket_path), "--json", "wait", running, killed],
                  stdout=subprocess.PIPE, text=True) as client:
        wait_until(lambda: get_state(guard, killed) == "ended")
        assert client.poll() is None
        (folder / "go").touch()
        lines = [json.loads(line) for line in client.communicate(timeout=60)[0].splitlines()]
    assert [(line["job"], line["result"]["outcome"]) for line in lines] == [(running, "exited"), (killed, "signaled")]
    assert client.returncode == 137
    assert outcome(guard.ctl("wait", killed, running, as_=ALICE)) == (
        7, "", "posternctl: killed: ended by signal 9 (KILL)\n")
