"""A state directory that can't be used when the daemon starts: it answers all but Run, and heals by itself."""

import pathlib
import subprocess

import pytest

import harness
from actions import HELLO
from identity import ALICE
from small_disk import fill, tmpfs

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a small file system")

TOLD = ("no job can be started at the moment: its record or its audit can't be written; try again later, the "
        "administrator finds more in the log")


@pytest.fixture(name="disk")
def small_file_system(folder):
    with tmpfs(folder / "disk", "1M") as path:
        yield path


@pytest.fixture(name="start")
def guard_on_it(start_guard, folder):
    def start(state):
        guard = start_guard({"hello": HELLO}, state_folder=state,
                            options=["--admin-socket", str(folder / "admin.sock")])
        guard.admin = str(folder / "admin.sock")
        return guard
    return start


def remount(path, how):
    subprocess.run(["mount", "-o", f"remount,{how}", path], check=True)


def answers_all_but_run(guard, why):
    assert guard.ctl("ping", as_=ALICE).returncode == 0
    assert "hello" in guard.ctl("list", as_=ALICE).stdout
    assert guard.ctl("describe", "hello", as_=ALICE).returncode == 0
    for verb in ("check", "run"):
        done = guard.ctl(verb, "hello", as_=ALICE)
        assert (done.returncode, done.stdout, done.stderr) == (123, "", f"posternctl: {TOLD}\n"), verb
    guard.wait_audit(event="call-refused", reason=why, count=2)


def heals(guard):
    harness.wait_until(lambda: guard.ctl("run", "hello", as_=ALICE).returncode == 0, what="Run works again")
    assert guard.ctl("check", "hello", as_=ALICE).returncode == 0


@pytest.mark.parametrize("why", ["ro", "full"])
def test_a_directory_that_can_not_be_made(start, disk, why):
    state = disk / "state"
    if why == "ro":
        remount(disk, "ro")
        reason = f"state directory can't be made: {state}: Read-only file system"
    else:
        # No inode is left.
        remount(disk, "nr_inodes=1")
        reason = f"state directory can't be made: {state}: No space left on device"
    guard = start(state)
    assert f"posternd: warning: jobs: {reason}; no job is started before\n" in guard.stderr()
    answers_all_but_run(guard, reason)
    assert reason in guard.ctl("--socket", guard.admin, "status").stdout
    remount(disk, "rw" if why == "ro" else "nr_inodes=1000")
    heals(guard)
    assert ("posternd: warning: jobs: the state directory can be used: jobs are started from now on\n"
            in guard.stderr())


def test_a_key_that_can_not_be_written(start, disk):
    state = disk / "state"
    state.mkdir(mode=0o700)
    (state / "lock").touch(mode=0o600)
    (state / "jobs").mkdir(mode=0o700)
    fill(disk / "other")
    guard = start(state)
    answers_all_but_run(guard, f"state directory {state}: groups.key: No space left on device")
    (disk / "other").unlink()
    heals(guard)
    assert len((state / "groups.key").read_bytes()) == 16


def test_a_read_only_directory_still_tells_of_its_jobs(start, disk):
    state = disk / "state"
    guard = start(state)
    with guard.connect(as_=ALICE) as client:
        job = client.call("Run", {"action": "hello"})["parameters"]["job"]
    guard.stop()
    remount(disk, "ro")
    guard = start(state)
    answers_all_but_run(guard, f"state directory {state}: Read-only file system; see that the daemon can write to it, "
                               "or restart it with another one")
    with guard.connect(as_=ALICE) as client:
        reply = client.call("org.postern.Jobs.Follow", {"job": job})
    assert reply["parameters"]["result"]["exitCode"] == 0, reply
    remount(disk, "rw")
    heals(guard)


def test_something_else_in_its_place(start, folder):
    place = folder / "place"
    place.write_text("")
    guard = start(place / "state")
    answers_all_but_run(guard, f"state directory can't be made: {place}/state: Not a directory")
    place.unlink()
    heals(guard)


def test_it_stops_while_it_waits(start, disk):
    remount(disk, "ro")
    guard = start(disk / "state")
    guard.stop()
    assert not pathlib.Path(disk / "state").exists()
