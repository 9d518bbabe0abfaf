"""Jobs whose output finds no room on the disk."""

import os
import pathlib
import signal

import pytest

import harness
from counted import Client, keeper_pid, numbered, python
from jobs import bytes_of, follow
from small_disk import fill, tmpfs

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a small file system")

FIRST, SIZE = 500_000, 4_000_000


@pytest.fixture(name="disk")
def small_file_system(folder):
    with tmpfs(folder / "disk", "8M") as path:
        yield path


@pytest.fixture(name="guard")
def guard_on_it(start_guard, folder, disk):
    """Its job writes a part, and the rest when it may."""
    text = (f"count(1, {FIRST}); open({str(folder / 'note')!r}, 'w').write(str(os.getpid()))\n"
            f"till({str(folder / 'go')!r}); count(1, {SIZE}, {FIRST}); sys.exit(7)")
    return start_guard({"fills": python(text)}, state_folder=disk / "state",
                       options=["--limit", "storedOutputTotal=1GiB"])


def noted(folder):
    return harness.wait_until(
        lambda: (folder / "note").exists() and (folder / "note").read_text(), what="the job is that far")


@pytest.mark.parametrize("killed", [False, True], ids=["plain", "keeper-killed"])
def test_while_it_is_followed_it_is_held_back_and_nothing_is_lost(guard, folder, disk, killed):
    with Client(guard, "run", "fills") as client:
        wait_channel = pathlib.Path(f"/proc/{noted(folder)}/wchan")
        client.out.wait_size(FIRST)
        fill(disk / "foreign")
        (folder / "go").touch()
        guard.wait_audit(event="disk-full")
        harness.wait_until(lambda: "pipe_write" in wait_channel.read_text(), what="it is held back")
        if killed:
            os.kill(keeper_pid(guard), signal.SIGKILL)
            keeper_pid(guard)
        (disk / "foreign").unlink()
        assert client.end() == (7, SIZE, 0, "")
        job = guard.wait_audit(event="job-ended")[0]["job"]
        data = (disk / "state/jobs" / job / "stdout").read_bytes()
        assert data == numbered(0, SIZE)


def test_while_nobody_follows_the_oldest_bytes_give_way_and_are_counted(guard, folder, disk):
    with guard.connect() as client:
        client.send_call("Run", {"action": "fills"}, more=True)
        job = client.read_reply()["parameters"]["job"]
    noted(folder)
    fill(disk / "foreign")
    (folder / "go").touch()
    # It ends, though there is never any room.
    assert guard.wait_audit(event="job-ended", seconds=60)[0]["result"]["exitCode"] == 7
    (disk / "foreign").unlink()
    output = disk / "state/jobs" / job / "stdout"
    assert output.stat().st_size == SIZE
    with guard.connect() as client:
        replies = follow(client, job)
    missed, data = bytes_of(replies, "stdout")
    assert missed + len(data) == SIZE and missed > 0
    assert data == numbered(missed, len(data))
