"""Jobs.List, and a job that is named by the beginning of its id: whose jobs, and what of them."""

import json
import re
import subprocess

import pytest

import harness
import wire
from actions import EVERYONE, script
from identity import ALICE, BOB
from jobs import POORER, begin, follow, get, no_such_job, record, text_of

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

LIST = "org.postern.Jobs.List"
HELLO = script("echo hello")
LONG = "with-a-name-too-long-for-its-column"
WAITS = script("echo began; exec sleep 60", onDisconnect="kill")
SHOWN = {"summary": "Shown", "exec": ["/bin/echo", "{text}"], "stdin": "{password}",
         "allow": EVERYONE, "arguments": {"text": {"type": "string"},
                       "password": {"type": "string", "secret": True}}}


@pytest.fixture
def guard(start_guard, folder):
    return start_guard({"hello": HELLO, "waits": WAITS, "shown": SHOWN, LONG: HELLO},
                       options=["--admin-socket", folder / "admin.sock"])


@pytest.fixture
def admin_path(folder):
    return str(folder / "admin.sock")


def jobs_of(client, **parameters):
    reply = client.call(LIST, parameters)["parameters"]
    assert reply.keys() <= {"jobs", "next"}
    return reply["jobs"], reply.get("next")


def ids_of(client, **parameters):
    return [job["job"] for job in jobs_of(client, **parameters)[0]]


def run(client, action="hello"):
    return client.run(action)[0]["parameters"]["job"]


def test_a_list_has_ones_own_jobs_the_newest_first(guard):
    with guard.connect(as_=ALICE) as alice, guard.connect(as_=BOB) as bob, \
            guard.connect(as_=POORER) as poorer:
        first = run(alice)
        foreign = run(bob)
        second = run(alice)
        with guard.connect(as_=ALICE) as runs:
            third, _ = begin(runs, "waits")
            jobs, following = jobs_of(alice)
            assert [job["job"] for job in jobs] == [third, second, first]
            assert following is None
            created = record(guard, third)["createdUsec"]
            pid = jobs[0]["pid"]
            assert jobs[0] == {"job": third, "action": "waits", "state": "running", "uid": ALICE.uid,
                               "pid": pid, "createdAt": created}
            assert jobs[1]["result"]["exitCode"] == 0
            assert ids_of(alice, state="running") == [third]
            assert ids_of(alice, action="hello") == [second, first]
            assert ids_of(alice, action="hello", limit=1) == [second]
            assert ids_of(alice, since=created) == [third]
            page, following = jobs_of(alice, limit=2)
            assert [job["job"] for job in page] == [third, second]
            assert ids_of(alice, limit=2, before=following) == [first]
        assert ids_of(bob) == [foreign]
        assert ids_of(poorer) == []


def test_everybodys_are_the_administrators(guard, admin_path):
    with guard.connect(as_=ALICE) as alice, guard.connect(as_=BOB) as bob:
        jobs = [run(alice), run(bob)]
        for client in (alice, bob):
            assert client.call(LIST, {"all": True}) == {
                "error": "org.varlink.service.PermissionDenied", "parameters": {}}
    with wire.WireClient(admin_path) as admin:
        assert ids_of(admin, all=True) == jobs[::-1]
        assert ids_of(admin) == []


def test_what_has_ended_is_listed_by_the_next_guard_too(guard):
    with guard.connect(as_=ALICE) as alice:
        run(alice)
        run(alice)
        before = jobs_of(alice)
    guard.stop()
    guard.restart()
    with guard.connect(as_=ALICE) as alice:
        assert jobs_of(alice) == before


def test_a_beginning_that_no_other_job_has_names_a_job(guard, admin_path):
    with guard.connect(as_=ALICE) as alice, guard.connect(as_=BOB) as bob, \
            wire.WireClient(admin_path) as admin:
        job = run(alice)
        others = [run(bob) for _ in range(3)]
        assert get(alice, job[:12])["parameters"]["job"]["job"] == job
        assert text_of(follow(alice, job[:12])) == "hello\n"
        for name in (job[:3], job[:11] + "x", job[:12].upper() + "F"):
            assert get(alice, name) == no_such_job(name)
        # Others' do not count, nor are they found.
        for other in others:
            assert get(alice, other[:12]) == no_such_job(other[:12])
            assert get(admin, other[:12])["parameters"]["job"]["job"] == other
        assert get(bob, job[:12]) == no_such_job(job[:12])


def test_a_beginning_that_two_jobs_have_is_ambiguous(guard):
    with guard.connect(as_=ALICE) as alice:
        job = run(alice)
    guard.stop()
    # Another one that begins so, as if chance had made it.
    state = guard.state_folder / "jobs"
    twin = job[:8] + ("0" if job[8] != "0" else "1") * 24
    subprocess.run(["cp", "-a", state / job, state / twin], check=True)
    text = (state / twin / "record.json").read_text().replace(job, twin)
    (state / twin / "record.json").write_text(text)
    guard.restart()
    with guard.connect(as_=ALICE) as alice:
        assert get(alice, job[:8]) == {"error": "org.postern.Jobs.AmbiguousJob", "parameters": {
            "job": job[:8],
            "message": f'2 of your jobs begin with "{job[:8]}"; give more digits of the one you mean'}}
        assert get(alice, job[:9])["parameters"]["job"]["job"] == job
        assert get(alice, twin[:9])["parameters"]["job"]["job"] == twin
    done = guard.ctl("show", job[:8], as_=ALICE)
    assert (done.returncode, done.stdout, done.stderr) == (
        122, "", f'posternctl: 2 of your jobs begin with "{job[:8]}"; give more digits of the one '
        "you mean\n")


def test_a_list_is_told_as_one(start_guard):
    action = {"summary": "s", "exec": ["/bin/echo", "{what}", "{text}"], "allow": EVERYONE,
              "arguments": {"what": {"type": "list", "items": "string"}, "text": {"type": "string"}}}
    guard = start_guard({"listed": action})
    given = {"what": ["srv", 'a, "b'], "text": '["a"]'}
    with guard.connect(as_=ALICE) as alice:
        job = alice.run("listed", given)[0]["parameters"]["job"]
        assert get(alice, job)["parameters"]["job"]["arguments"] == given
    # The next guard has it from the record.
    guard.stop()
    guard.restart()
    done = guard.ctl("show", job, "--json", as_=ALICE)
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["arguments"]) == (0, given)
    assert shown["result"].get("maxResidentKiB") != 0
    assert re.search(r'^argument +what=\["srv","a, \\"b"\]$', guard.ctl("show", job, as_=ALICE).stdout, re.M)


def test_failed_are_those_that_did_not_end_with_0(start_guard, folder):
    program = folder / "gone"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    guard = start_guard({"code3": script("exit 3"), "gone": {
        "summary": "s", "exec": [str(program)], "allow": EVERYONE}, "hello": HELLO})
    program.unlink()
    with guard.connect(as_=ALICE) as alice:
        ok = run(alice)
        bad = run(alice, "code3")
        gone = alice.call("Run", {"action": "gone"})["parameters"]["job"]
        # The check says what Run says.
        assert alice.call("Check", {"action": "gone"}) == {
            "error": "org.postern.Actions.StartFailed",
            "parameters": {"job": "", "message": "the program could not be started: it does not exist"}}

    def listed(*words):
        done = guard.ctl("jobs", *words, as_=ALICE)
        return [line.split()[0] for line in done.stdout.splitlines()], done.stderr

    assert listed() == ([gone, bad, ok], "")
    assert listed("--failed") == ([gone, bad], "")
    assert listed("--failed", "--limit", "1") == ([gone], "")
    assert listed("--state", "failed") == ([gone], "")
    assert listed("--failed", "--action", "hello") == ([], "posternctl: there are no such jobs on record\n")
    assert listed("--state", "failed", "--action", "code3") == (
        [], "posternctl: there are no jobs on record that could not be started; --failed also lists those that did "
        "not end with exit code 0\n")
    done = guard.ctl("check", "gone", as_=ALICE)
    assert (done.returncode, done.stdout, done.stderr) == (
        127, "", "posternctl: the program could not be started: it does not exist\n")
    (refused,) = [e for e in guard.audit() if e["event"] == "call-refused" and e["action"] == "gone"][:1]
    assert str(program) in refused["reason"]


def test_get_tells_all_of_a_job(guard, admin_path):
    with guard.connect(as_=ALICE) as alice, wire.WireClient(admin_path) as admin:
        job = alice.run("shown", {"text": "x" * 100, "password": "hunter2"})[0]["parameters"]["job"]
        seen = get(alice, job)["parameters"]["job"]
        assert record(guard, job)["requester"]["listener"] == str(guard.socket_path)
        assert {key: seen[key] for key in seen.keys() - {
            "job", "createdAt", "result", "pid", "callerUnit", "user"}} == {
            "action": "shown", "state": "ended", "uid": ALICE.uid, "gid": ALICE.gid,
            "listener": str(guard.socket_path), "rule": "allow everyone",
            "arguments": {"text": "x" * 100, "password": "(secret)"},
            "stdoutBytes": 101, "stdoutStored": 101, "stderrBytes": 0, "stderrStored": 0}
        told = get(admin, job)["parameters"]["job"]
        assert re.fullmatch(r".*/shown\.json:\d+", told.pop("rulePlace"))
        assert told == seen
    assert "hunter2" not in json.dumps(record(guard, job))


# ---- posternctl ----

def test_posternctl_lists_and_shows(guard):
    with guard.connect(as_=ALICE) as alice, guard.connect(as_=BOB) as bob:
        first, second = run(alice), run(alice)
        foreign = run(bob)
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    done = guard.ctl("jobs", as_=ALICE)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{second}  hello  exit 0  {time}  0s\n{first}  hello  exit 0  {time}  0s\n",
                        done.stdout)
    lines = guard.ctl("jobs", "--json", as_=ALICE).stdout.splitlines()
    assert [json.loads(line)["job"] for line in lines] == [second, first]
    assert guard.ctl("jobs", "--limit", "1", as_=ALICE).stdout.count("\n") == 1
    assert guard.ctl("jobs", "--since", "1h", "--state", "ended", as_=ALICE).stdout == done.stdout
    none = guard.ctl("jobs", "--action", "none", as_=ALICE)
    assert (none.returncode, none.stdout, none.stderr) == (
        0, "", "posternctl: there are no such jobs on record\n")
    denied = guard.ctl("--socket", guard.socket_path, "jobs", "--all", as_=ALICE)
    assert (denied.returncode, denied.stdout) == (126, "")
    shown = guard.ctl("show", first[:12], as_=ALICE)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(rf"^job +{first}$", shown.stdout, re.M)
    assert re.search(r"^state +exit 0$", shown.stdout, re.M)
    assert json.loads(guard.ctl("show", "--json", first, as_=ALICE).stdout)["job"] == first
    missing = guard.ctl("show", foreign, as_=ALICE)
    assert (missing.returncode, missing.stdout) == (126, "")
    assert missing.stderr == "posternctl: " + no_such_job(foreign)["parameters"]["message"] + "\n"


def test_on_a_terminal_it_is_a_table_that_fits(guard):
    with guard.connect() as root:
        job = run(root, LONG)
    program = harness.program("posternctl")
    done = subprocess.run(
        ["script", "-qec", f"stty cols 60; exec {program} --socket {guard.socket_path} jobs", "/dev/null"],
        check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    heading, line = done.stdout.replace("\r", "").splitlines()
    assert heading.split() == ["JOB", "ACTION", "STATE", "CREATED", "TIME"]
    assert line.startswith(f"{job[:12]}  {LONG[:8]}...  exit 0  ") and job not in line
    assert len(line) <= 60
