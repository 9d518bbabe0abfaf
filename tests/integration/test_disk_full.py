"""A state directory without room: what gives way, who is told, and that it heals by itself."""

import contextlib
import json
import os
import pathlib
import subprocess

import pytest

import harness
from actions import HELLO, script
from identity import ALICE, BOB, Identity
from jobs import follow, get, no_such_job
from processes import sessions
from small_disk import fill, tmpfs

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a small file system")

# Leaves its sandbox of 8 MiB full after a few, whatever the bounds of a user.
FLOOD = script("head -c 2000000 /dev/zero | tr '\\0' x")
UNBOUNDED = ("--limit", "storedOutputTotal=1GiB")


@pytest.fixture(name="disk")
def small_file_system(folder):
    with tmpfs(folder / "disk", "8M") as path:
        yield path


@pytest.fixture(name="on_disk")
def guard_on_it(start_guard, folder, disk):
    """Starts a guard whose records and outputs are there."""
    def start(*options, **actions):
        guard = start_guard({"hello": HELLO, "flood": FLOOD, **actions}, state_folder=disk / "state",
                            options=["--admin-socket", str(folder / "admin.sock"), *options])
        guard.admin = str(folder / "admin.sock")
        return guard
    return start


def run(guard, action, as_=ALICE, **more):
    """The reply of a run that does not stream."""
    with guard.connect(as_=as_) as client:
        return client.call("Run", {"action": action, **more})


def floods(guard, *, as_=ALICE, action="flood", count=1, **more):
    """Runs it so often; the jobs, oldest first."""
    jobs = []
    for _ in range(count):
        reply = run(guard, action, as_, **more)
        assert "result" in reply["parameters"], reply
        jobs.append(reply["parameters"]["job"])
    return jobs


def kept(disk, jobs):
    """Those of which the output is still there."""
    return [job for job in jobs if blocks(disk / "state/jobs" / job / "stdout") > 0]


def blocks(path):
    try:
        return path.stat().st_blocks
    except FileNotFoundError:
        return 0


def room(disk):
    status = os.statvfs(disk)
    return status.f_bfree * status.f_frsize


def evicted(guard):
    """The jobs that had to go for others' sake, in their order, and why."""
    return [(entry["job"], entry["reason"]) for entry in guard.audit() if entry["event"] == "job-evicted"]


def events_of_disk(guard):
    return [(entry["event"], entry["place"], entry.get("reason")) for entry in guard.audit()
            if entry["event"].startswith("disk-")]


def status(guard, *words):
    done = guard.ctl("--socket", guard.admin, *words, "status")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def check(guard, as_=ALICE):
    done = guard.ctl("check", "hello", as_=as_)
    return done.returncode, done.stdout, done.stderr


def test_jobs_that_have_ended_give_way_to_new_ones(on_disk, disk):
    """In version 0.1.0, and before: six of one user, and nobody could run anything ever after."""
    guard = on_disk(*UNBOUNDED)
    jobs = floods(guard, count=6)
    hello = floods(guard, as_=BOB, action="hello")
    assert [job for job, why in evicted(guard) if why == "the disk is full"] == jobs[:len(evicted(guard))]
    assert len(evicted(guard)) >= 3
    entry = guard.wait_audit(event="job-evicted")[0]
    assert (entry["uid"], entry["gid"], entry["action"], entry["job"], entry["reason"]) == (
        ALICE.uid, ALICE.gid, "flood", jobs[0], "the disk is full")
    with guard.connect(as_=ALICE) as client:
        assert get(client, jobs[0]) == no_such_job(jobs[0])
        assert "error" not in get(client, jobs[-1])
    guard.reload()
    hello += floods(guard, as_=BOB, action="hello")
    guard.stop()
    guard.restart()
    hello += floods(guard, as_=BOB, action="hello")
    # His are small, and none has gone.
    assert kept(disk, hello) == hello
    assert events_of_disk(guard) == []
    assert "diskFull" not in json.loads(status(guard, "--json")) and "disk full" not in status(guard)


def test_the_oldest_of_the_largest_user_go_first(on_disk, disk):
    mib = script("head -c 1000000 /dev/zero | tr '\\0' x")
    guard = on_disk(*UNBOUNDED, mib=mib)
    carol, dave = Identity(64003, 64003), Identity(64004, 64004)
    of_alice = floods(guard, as_=ALICE, action="mib", count=3)
    of_bob = floods(guard, as_=BOB, action="mib", count=2)
    of_carol = floods(guard, as_=carol, action="mib", count=2)
    assert evicted(guard) == []
    # There is room for seven and a little. Whoever has most gives way, whoever comes.
    for comes, has_most in ((dave, of_alice), (BOB, of_bob), (carol, of_carol), (BOB, of_bob)):
        new = floods(guard, as_=comes, action="mib")
        if comes is not dave:
            (of_bob if comes is BOB else of_carol).extend(new)
        gone = has_most.pop(0)
        assert evicted(guard)[-1] == (gone, "the disk is full")
        with guard.connect(as_=ALICE if has_most is of_alice else BOB) as client:
            assert get(client, gone) == no_such_job(gone)
    assert len(evicted(guard)) == 4
    harness.wait_until(lambda: len(os.listdir(disk / "state/jobs")) == 7, what="they are gone")
    assert kept(disk, of_alice + of_bob + of_carol) == of_alice + of_bob + of_carol


def test_a_limit_bounds_what_all_users_have_stored(on_disk, disk):
    mib = script("head -c 1000000 /dev/zero | tr '\\0' x")
    guard = on_disk("--limit", "storedOutputTotal=4MiB", mib=mib)
    of_alice = floods(guard, as_=ALICE, action="mib", count=3)
    # One has at most half of it.
    harness.wait_until(lambda: kept(disk, of_alice) == of_alice[1:], what="the limit holds")
    assert evicted(guard) == []
    of_bob = floods(guard, as_=BOB, action="mib", count=2)
    of_carol = floods(guard, as_=Identity(64003, 64003), action="mib", count=1)
    assert evicted(guard) == [(of_alice[1], "limit storedOutputTotal")]
    harness.wait_until(lambda: kept(disk, of_alice) == of_alice[2:], what="the limit holds")
    assert kept(disk, of_bob + of_carol) == of_bob + of_carol
    # After a restart the same are there, and no more go.
    guard.stop()
    guard.restart()
    floods(guard, action="hello")
    assert kept(disk, of_alice + of_bob + of_carol) == of_alice[2:] + of_bob + of_carol
    assert len(evicted(guard)) == 1


def test_by_default_a_tenth_of_the_file_system_is_theirs(on_disk, disk):
    small = script("head -c 300000 /dev/zero | tr '\\0' x")
    guard = on_disk(small=small)
    jobs = floods(guard, action="small", count=4)
    # 0.8 MiB, and half of it for one user.
    harness.wait_until(lambda: kept(disk, jobs) == jobs[3:], what="the limit holds")


def test_a_key_stays_where_its_output_goes(on_disk, disk):
    guard = on_disk(*UNBOUNDED)
    [job] = floods(guard, key="k")
    floods(guard, count=2)
    floods(guard, as_=BOB)
    harness.wait_until(lambda: not kept(disk, [job]), what="its output has gone")
    again = run(guard, "flood", key="k")["parameters"]
    assert (again["job"], again["result"]["exitCode"], again["stdoutMissed"]) == (job, 0, 2_000_000)
    assert json.loads((disk / "state/jobs" / job / "record.json").read_text())["requester"]["key"] == "k"
    guard.kill()
    guard.restart()
    assert run(guard, "flood", key="k")["parameters"]["job"] == job
    assert len([e for e in guard.audit() if e["event"] == "job-started"]) == 4


def test_who_reads_what_has_given_way_holds_no_room(on_disk, disk):
    """Unlinked files would occupy the disk for as long as a client that does not read is there."""
    guard = on_disk(*UNBOUNDED, big=script("head -c 6000000 /dev/zero | tr '\\0' x"))
    [job] = floods(guard, action="big")
    with guard.connect(as_=ALICE) as lazy:
        # The whole of it, of which the client takes nothing.
        lazy.send_call("org.postern.Jobs.Follow", {"job": job}, more=True)
        harness.wait_until(lambda: held(guard, job), what="a session has the file")
        floods(guard, as_=BOB)
        assert evicted(guard) == [(job, "the disk is full")]
        harness.wait_until(lambda: room(disk) > 6_000_000, what="it has given way")
        assert held(guard, job)
        replies = lazy.read_replies()
    # It is told what it misses, and nothing is made up.
    text = "".join(reply["parameters"].get("stdout", "") for reply in replies)
    missed = sum(reply["parameters"].get("stdoutMissed", 0) for reply in replies)
    assert set(text) <= {"x"} and len(text) + missed == 6_000_000 and missed > 0


def test_of_one_user_what_is_being_read_goes_last(on_disk):
    guard = on_disk(*UNBOUNDED)
    jobs = floods(guard)
    with guard.connect(as_=ALICE) as slow:
        slow.send_call("org.postern.Jobs.Follow", {"job": jobs[0]}, more=True)
        harness.wait_until(lambda: held(guard, jobs[0]), what="a session has the file")
        jobs += floods(guard, count=2)
        floods(guard, as_=BOB)
        assert evicted(guard) == [(jobs[1], "the disk is full")]
        replies = slow.read_replies()
    assert "".join(reply["parameters"].get("stdout", "") for reply in replies) == "x" * 2_000_000


def held(guard, job):
    """Whether a session has an output of it open."""
    for pid in sessions(guard):
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if f"jobs/{job}/stdout" in os.readlink(link):
                    return True
    return False


def test_a_disk_that_others_fill_is_told_and_heals_by_itself(on_disk, disk):
    guard = on_disk(*UNBOUNDED)
    [before] = floods(guard, action="hello")
    assert check(guard) == (0, "hello: would run\n", "")
    fill(disk / "foreign")
    path = f"{disk}/state/jobs"
    full = f"{path}: No space left on device"
    message = (f"no job can be started at the moment: disk full ({full}); ask the administrator to make "
               "room there, then try again")
    refused = {"error": "org.postern.Actions.Unavailable", "parameters": {"message": message}}
    for _ in range(2):
        assert run(guard, "hello") == refused
    assert check(guard) == (123, "", f"posternctl: {message}\n")
    done = guard.ctl("run", "hello", as_=BOB)
    assert (done.returncode, done.stdout, done.stderr) == (123, "", f"posternctl: {message}\n")
    advice = "make room on that file system: no job is started before"
    assert json.loads(status(guard, "--json"))["diskFull"] == f"{full}; {advice}"
    assert f"disk full  {full}; {advice}\n" in status(guard)
    assert guard.wait_status(lambda text: text.endswith(f"; disk full: {full}"))
    # Nothing that is kept could help, and so it stays.
    assert evicted(guard) == [] and blocks(disk / "state/jobs" / before / "stdout") > 0
    guard.reload()
    assert run(guard, "hello") == refused
    (disk / "foreign").unlink()
    guard.wait_audit(event="disk-has-room")
    floods(guard, action="hello")
    assert check(guard) == (0, "hello: would run\n", "")
    assert "diskFull" not in json.loads(status(guard, "--json"))
    assert guard.wait_status(lambda text: "disk full" not in text)
    assert events_of_disk(guard) == [("disk-full", path, "No space left on device"),
                                     ("disk-has-room", path, None)]
    assert guard.stderr().count(f"disk full: {full}; {advice}\n") == 1
    assert guard.stderr().count(f"the disk has room again: {path}\n") == 1


def test_a_daemon_that_starts_on_a_full_disk_says_so_and_heals(on_disk, disk):
    guard = on_disk(*UNBOUNDED)
    [before] = floods(guard, action="hello")
    guard.stop()
    fill(disk / "foreign")
    guard.restart()
    assert [entry[0] for entry in events_of_disk(guard)] == ["disk-full"]
    assert check(guard)[0] == 123
    with guard.connect(as_=ALICE) as client:
        assert "error" not in get(client, before)
        assert follow(client, before)[-1]["parameters"]["result"]["exitCode"] == 0
    (disk / "foreign").unlink()
    guard.wait_audit(event="disk-has-room")
    floods(guard, action="hello")


def test_without_files_to_be_had_the_oldest_jobs_go_as_well(on_disk, disk):
    subprocess.run(["mount", "-o", "remount,nr_inodes=60", str(disk)], check=True)
    guard = on_disk(*UNBOUNDED)
    jobs = floods(guard, action="hello", count=30)
    assert [job for job, _ in evicted(guard)] == jobs[:len(evicted(guard))]
    assert len(evicted(guard)) >= 15 and events_of_disk(guard) == []


def test_a_quota_of_files_is_a_full_disk_too(on_disk, disk):
    subprocess.run(["mount", "-o", "remount,nr_inodes=30", str(disk)], check=True)
    guard = on_disk(*UNBOUNDED)
    for number in range(40):
        try:
            (disk / f"foreign{number}").touch()
        except OSError:
            break
    assert check(guard)[0] == 123
    for path in disk.glob("foreign*"):
        path.unlink()
    guard.wait_audit(event="disk-has-room")
    floods(guard, action="hello")
