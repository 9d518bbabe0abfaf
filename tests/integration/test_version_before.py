"""What a guard of 0.1.0 left (tests/v0.1/records), under the guard of today: all of it is still there.

Records are evicted by number and size and never by age (limits recordsPerUser, records and
storedOutputPerUser), and these are few and small: the guard needs no option to keep them.
"""

import json
import os
import shutil
import stat
import time

import pytest

import harness
from identity import ALICE, BOB, CAROL, ROOT, Identity
from jobs import (POORER, end_of, follow, get, get_as_before, no_such_job, text_of,
                  wait_copied)
from packets import Sender

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

RECORDS = harness.REPOSITORY / "tests/v0.1/records"
UNIT_RECORDS = harness.REPOSITORY / "tests/v0.1/unit-records"


def said_of(records):
    """What 0.1.0 said about each job, by the job's name."""
    return {entry["name"]: entry for entry in json.loads((records / "said.json").read_text())}


SAID = said_of(RECORDS)
SECRET = b"Xyzzy-4711-Plugh"
GREETING = 'Zo\u00eb "\\ {x}\n2\nfalse\na\nb c\n'
# How each job ended, and what it wrote to standard output and standard error.
ENDED = {
    "exited": ({"outcome": "exited", "exitCode": 0}, GREETING, "careful\n"),
    "the same key of another": ({"outcome": "exited", "exitCode": 0}, GREETING, "careful\n"),
    "exited with 3": ({"outcome": "exited", "exitCode": 3}, "", "no\n"),
    "without a key": ({"outcome": "exited", "exitCode": 3}, "", "no\n"),
    "killed by a signal": ({"outcome": "signaled", "signal": 9}, "before\n", ""),
    "no UTF-8": ({"outcome": "exited", "exitCode": 0}, "/wAK", ""),
    "secret": ({"outcome": "exited", "exitCode": 0}, "16\n", ""),
    "timed out, killed": ({"outcome": "timeout", "signal": 15}, "began\n", ""),
    "timed out, exited": ({"outcome": "timeout"}, "began\nasked\n", "Terminated\n"),
    "packet": ({"outcome": "exited", "exitCode": 0}, "by packet\n", ""),
    "disconnected": ({"outcome": "disconnected", "signal": 15}, "began\n", ""),
    "stopped": ({"outcome": "stopped", "signal": 15}, "began\n", ""),
    "lost": ({"outcome": "lost"}, "began\n", ""),
}
NOT_STARTED = "not started"
# What kill -9 of that guard interrupted: whether the program ran, and what it had written.
INTERRUPTED = {"running": (True, "began\n"), "starting": (False, "")}


def owner(name):
    return Identity(SAID[name]["uid"], SAID[name]["gid"], tuple(SAID[name]["groups"]))


def job(name):
    return SAID[name]["job"]


def action(path):
    """The action as it is in the file; its program went, which is why its job did not start."""
    content = json.loads(path.read_text())
    return {**content, "exec": ["/bin/true"]} if path.stem == "gone" else content


def start_on_copy(start_guard, records, folder, **more):
    """The guard of today on a copy of the state directory, with the modes that git does not keep."""
    state = folder / "state"
    shutil.copytree(records / "state", state)
    for path in (state, *state.rglob("*")):
        os.chown(path, 0, 0)
        path.chmod(0o700 if path.is_dir() else 0o600)
    for path in (state / "jobs").iterdir():
        if json.loads((path / "record.json").read_text())["state"] in ("starting", "running"):
            # The job could still write.
            (path / "stdout").chmod(0o622)
            (path / "stderr").chmod(0o622)
    return start_guard({path.stem: action(path) for path in (records / "actions").iterdir()},
                       state_folder=state, **more)


@pytest.fixture
def guard(start_guard, folder):
    return start_on_copy(start_guard, RECORDS, folder, datagrams=True)


def files(state):
    """The files of each job."""
    return {path.name: sorted(os.listdir(path)) for path in (state / "jobs").iterdir()}


def modes(state):
    """Of all files: no job can write to its output any more."""
    return {stat.S_IMODE(path.stat().st_mode) for path in (state / "jobs").glob("*/*")}


def all_text(replies, stream):
    return "".join(reply["parameters"].get(stream, reply["parameters"].get(f"{stream}Base64", ""))
                   for reply in replies)


def started(guard):
    return [entry["job"] for entry in guard.audit() if entry["event"] == "job-started"]


def test_the_set_is_whole():
    assert len(SAID) == 16
    assert {*ENDED, *INTERRUPTED, NOT_STARTED} == set(SAID)
    assert set(files(RECORDS / "state")) == {entry["job"] for entry in SAID.values()}
    assert len({entry["job"] for entry in SAID.values()}) == 16
    for path in RECORDS.rglob("*"):
        if path.is_file() and path.name != "said.json":
            assert SECRET not in path.read_bytes(), path


def test_nothing_is_dropped(guard):
    for _ in range(2):
        wait_copied(guard)
        assert files(guard.state_folder) == {
            entry["job"]: ["record.json", "stderr", "stdout"] for entry in SAID.values()}
        assert "not believed" not in guard.stderr() and ".bad" not in guard.stderr()
        lost = [(e["job"], e["action"], e["uid"]) for e in guard.audit() if e["event"] == "job-lost"]
        assert sorted(lost) == sorted((job(name), "wait", owner(name).uid) for name in INTERRUPTED)
        assert modes(guard.state_folder) <= {0o600, 0o622}
        # With another key no job would be found by callers that have groups.
        assert (guard.state_folder / "groups.key").read_bytes() == \
            (RECORDS / "state/groups.key").read_bytes()
        # Once more, on what this guard has made of it.
        guard.stop()
        guard.restart()


def test_what_had_ended_is_told_as_0_1_0_told_it(guard):
    for name, (result, stdout, stderr) in ENDED.items():
        with guard.connect(as_=owner(name)) as client:
            found, replies = get_as_before(client, job(name)), follow(client, job(name))
        assert found == SAID[name]["get"], name
        assert replies == SAID[name]["follow"], name
        assert found["parameters"]["job"]["state"] == "ended", name
        assert (end_of(replies[-1]), all_text(replies, "stdout"), all_text(replies, "stderr")) \
            == (result, stdout, stderr), name


def test_what_could_not_be_started_says_so(guard):
    said = SAID[NOT_STARTED]
    failed = {"error": "org.postern.Actions.StartFailed", "parameters": {
        "job": said["job"], "message": "gone: the program could not be started"}}
    with guard.connect(as_=ALICE) as client:
        assert get_as_before(client, said["job"]) == said["get"] == {"parameters": {"job": {
            "job": said["job"], "action": "gone", "state": "failed",
            "createdAt": said["get"]["parameters"]["job"]["createdAt"],
            "message": "the program could not be started"}}}
        assert follow(client, said["job"]) == said["follow"] == [failed]
        assert client.call("Run", said["run"]) == failed
    assert started(guard) == []


@pytest.mark.parametrize("name", INTERRUPTED)
def test_what_was_interrupted_is_lost(guard, name):
    ran, written = INTERRUPTED[name]
    old = json.loads((RECORDS / "state/jobs" / job(name) / "record.json").read_text())
    assert (old["state"], "started_usec" in old) == (name, ran)
    with guard.connect(as_=owner(name)) as client:
        found = get_as_before(client, job(name))["parameters"]["job"]
        result = found["result"]
        ended = result["endedAt"]
        assert time.time() - 60 < ended / 1_000_000 <= time.time()
        assert found == {
            "job": job(name), "action": "wait", "state": "ended", "createdAt": old["created_usec"],
            "result": {"outcome": "lost", "startedAt": old.get("started_usec", 0), "endedAt": ended,
                       "cpuMicroseconds": 0, "maxResidentKiB": 0}}
        replies = follow(client, job(name))
        assert (text_of(replies), replies[-1]["parameters"]) == (
            written, {"job": job(name), "result": result})
        # It may have done its work: its key starts it no second time.
        client.send_call("Run", SAID[name]["run"], more=True)
        assert client.read_replies() == replies
    assert started(guard) == []


def test_a_key_stands_for_the_job_that_it_started(guard):
    streamed = [name for name in ENDED if "key" in SAID[name]["run"] and name != "packet"]
    assert len(streamed) == 11
    for name in streamed:
        with guard.connect(as_=owner(name)) as client:
            client.send_call("Run", SAID[name]["run"], more=True)
            assert client.read_replies() == SAID[name]["follow"], name
            assert client.call("Run", {"action": "bytes", "key": SAID[name]["run"]["key"]}) == (
                key_in_use(name) if name != "no UTF-8" else follow(client, job(name), more=False)[0])
    with Sender(guard.datagram_path, ALICE) as sender:
        assert sender.call("Run", SAID["packet"]["run"]) == {"parameters": {"job": job("packet")}}
    assert started(guard) == []
    # Each of these is another caller, or came another way: to them these keys are new.
    for who, name in ((POORER, "exited"), (CAROL, "killed by a signal"), (ALICE, "packet")):
        with guard.connect(as_=who) as client:
            assert client.call("Run", SAID[name]["run"])["parameters"]["job"] != job(name)
    assert len(started(guard)) == 3


def key_in_use(name):
    call = SAID[name]["run"]
    return {"error": "org.postern.Actions.KeyInUse", "parameters": {
        "key": call["key"], "message": f"the key {call['key']} was given to another call, which started "
        f"job {job(name)} ({call['action']}); a new call needs a new key"}}


def test_a_job_is_still_its_callers_own(guard):
    for who in (ALICE, POORER, BOB, CAROL, ROOT):
        with guard.connect(as_=who) as client:
            seen = {name for name in SAID if "error" not in get(client, job(name))}
            for name in set(SAID) - seen:
                assert get(client, job(name)) == no_such_job(job(name))
                assert follow(client, job(name)) == [no_such_job(job(name))]
        # Of a packet's sender the groups were not known.
        assert seen == {name for name in SAID if owner(name) == who} | (
            {"packet"} if who is POORER else set()), who


def test_posternctl_finds_them(guard):
    for name, code in (("exited", 0), ("timed out, killed", 0), (NOT_STARTED, 127)):
        done = guard.ctl("call", "--more", "org.postern.Jobs.Follow", json.dumps({"job": job(name)}),
                         as_=owner(name))
        assert (done.returncode, done.stderr) == (code, ""), name
        assert [json.loads(line) for line in done.stdout.splitlines()] == SAID[name]["follow"]


# ---- Jobs that systemd supervised ----

UNIT_ENDED = {
    "exited with 3": ({"outcome": "exited", "exitCode": 3}, "out\n", "err\n"),
    "called from a unit": ({"outcome": "exited", "exitCode": 3}, "out\n", "err\n"),
    "killed by a signal": ({"outcome": "signaled", "signal": 9}, "before\n", ""),
    "timed out": ({"outcome": "timeout", "signal": 15}, "began\n", ""),
}
# What ran, what was being ended, and what had exited but for a process that it left behind.
UNIT_INTERRUPTED = {"running", "ending", "result known"}


def test_records_of_units(start_guard, folder):
    """After another boot, and whoever supervises jobs then."""
    said = said_of(UNIT_RECORDS)
    assert set(said) == {*UNIT_ENDED, *UNIT_INTERRUPTED}
    guard = start_on_copy(start_guard, UNIT_RECORDS, folder)
    wait_copied(guard)
    assert files(guard.state_folder) == {
        entry["job"]: ["record.json", "stderr", "stdout"] for entry in said.values()}
    assert len(said) == 7 and "not believed" not in guard.stderr()
    assert modes(guard.state_folder) <= {0o600, 0o622}
    lost = {entry["job"] for entry in guard.audit() if entry["event"] == "job-lost"}
    assert lost == {said[name]["job"] for name in UNIT_INTERRUPTED}
    with guard.connect(as_=ALICE) as client:
        for name, expected in UNIT_ENDED.items():
            job_id = said[name]["job"]
            assert get_as_before(client, job_id) == said[name]["get"], name
            replies = follow(client, job_id)
            assert replies == said[name]["follow"], name
            assert (end_of(replies[-1]), all_text(replies, "stdout"),
                    all_text(replies, "stderr")) == expected, name
            client.send_call("Run", said[name]["run"], more=True)
            assert client.read_replies() == replies, name
        for name in UNIT_INTERRUPTED:
            job_id = said[name]["job"]
            old = json.loads((UNIT_RECORDS / "state/jobs" / job_id / "record.json").read_text())
            replies = follow(client, job_id)
            result = replies[-1]["parameters"]["result"]
            assert (text_of(replies), result) == ("began\n", {
                "outcome": "lost", "startedAt": old["started_usec"], "endedAt": result["endedAt"],
                "cpuMicroseconds": old.get("result", {}).get("cpu_usec", 0), "maxResidentKiB": 0}), name
            assert get_as_before(client, job_id)["parameters"]["job"] == {
                "job": job_id, "action": said[name]["run"]["action"], "state": "ended",
                "createdAt": old["created_usec"], "result": result}, name
            client.send_call("Run", said[name]["run"], more=True)
            assert client.read_replies() == replies, name
    assert started(guard) == []
