"""What a job leaves in the background is ended with it, and that is told, once."""

import json

import pytest

import harness
from actions import script
from identity import ALICE
from jobs import begin

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

TWO = script("sleep 1000 & setsid sleep 1000 & echo started; exit 3")
ONE = script("sleep 1000 & echo started")
# The left side of the pipe ends by itself, a moment later.
PIPE = script("yes | head -n 1")
TERMS = script("trap 'exit 7' TERM; echo started; sleep 1000 & wait")


def results_of(guard):
    return [entry["result"].get("endedProcesses") for entry in
            guard.audit() if entry["event"] == "job-ended"]


def test_it_is_told_once(start_guard):
    guard = start_guard({"two": TWO, "one": ONE})
    done = guard.ctl("run", "two", as_=ALICE)
    assert (done.returncode, done.stdout, done.stderr) == (
        3, "started\n", "posternctl: two: 2 background processes were ended with the job\n")
    done = guard.ctl("run", "one", as_=ALICE)
    assert (done.returncode, done.stdout, done.stderr) == (
        0, "started\n", "posternctl: one: 1 background process was ended with the job\n")
    done = guard.ctl("--json", "run", "one", as_=ALICE)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["result"]["endedProcesses"] == 1
    assert results_of(guard) == [2, 1, 1]


def test_what_ends_by_itself_is_not_told_of(start_guard):
    guard = start_guard({"pipe": PIPE})
    done = guard.ctl("run", "pipe", as_=ALICE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "y\n", "")
    with guard.connect(as_=ALICE) as client:
        assert "endedProcesses" not in client.run("pipe")[-1]["parameters"]["result"]
    assert results_of(guard) == [None, None]


def test_who_follows_later_and_after_a_restart_is_told_too(start_guard):
    guard = start_guard({"two": TWO})
    with guard.connect(as_=ALICE) as client:
        job = client.run("two")[0]["parameters"]["job"]
    for _ in range(2):
        with guard.connect(as_=ALICE) as client:
            reply = client.call("org.postern.Jobs.Follow", {"job": job})
            assert reply["parameters"]["result"]["endedProcesses"] == 2
            reply = client.call("org.postern.Jobs.Get", {"job": job})
            assert reply["parameters"]["job"]["result"]["endedProcesses"] == 2
        guard.stop()
        guard.restart()


def test_of_a_job_that_is_ended_all_go_and_nothing_is_told(start_guard):
    guard = start_guard({"terms": {**TERMS, "onDisconnect": "kill"}})
    with guard.connect(as_=ALICE) as client:
        begin(client, "terms")
    [entry] = guard.wait_audit(event="job-ended")
    assert entry["result"]["outcome"] == "disconnected"
    assert "endedProcesses" not in entry["result"]
