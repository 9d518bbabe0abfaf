"""What one caller's job writes never reaches another caller."""

import os
import threading

import pytest

import harness
import taken_over
from actions import script
from counted import Client, python
from identity import ALICE, BOB
from jobs import follow, get, no_such_job
from processes import sessions

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

SIZE = 3_000_000
ACTIONS = {
    "mine": python(f"both({SIZE}); sys.exit(7)", allow=[{"user": ALICE.uid}], user="games"),
    "yours": python(f"both({SIZE}); sys.exit(8)", allow=[{"user": BOB.uid}], user="games"),
    "waits": script("echo secret; while [ ! -e /run/never ]; do sleep 0.01; done",
                    allow=[{"user": BOB.uid}]),
}


def opened(pid):
    """(path, how) of all that a process has open of jobs, and of pipes."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{number}")
            with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as info:
                flags = int(next(line for line in info if line.startswith("flags:")).split()[1], 8)
        except FileNotFoundError:
            continue
        if "/jobs/" in link or link.startswith("pipe:"):
            found.append((link, flags & os.O_ACCMODE))
    return found



def test_two_at_once_have_their_own(start_guard):
    guard = start_guard(ACTIONS)
    reads = threading.Event()
    with (Client(guard, "run", "mine", as_=ALICE, slow=lambda size: size < 500_000 or reads.wait()) as mine,
          Client(guard, "run", "yours", as_=BOB, slow=lambda size: size < 500_000 or reads.wait()) as yours):
        try:
            mine.out.wait_size(500_000)
            yours.out.wait_size(500_000)
            jobs = {e["uid"]: e["job"] for e in guard.wait_audit(event="job-started", count=2)}
            for caller, other in ((ALICE, BOB), (BOB, ALICE)):
                with guard.connect(as_=caller) as client:
                    for call in (follow(client, jobs[other.uid]), [get(client, jobs[other.uid])]):
                        assert call == [no_such_job(jobs[other.uid])]
            # Each session has the files of its own caller's job alone, to read, and no pipe at all.
            have = [opened(pid) for pid in sessions(guard)]
            assert all(how == os.O_RDONLY for each in have for _, how in each)
            assert sorted(sorted({link.split("/jobs/")[1].split("/")[0] for link, _ in each})
                          for each in have if each) == sorted([job] for job in jobs.values())
        finally:
            reads.set()
        assert mine.end() == (7, SIZE, SIZE, "")
        assert yours.end() == (8, SIZE, SIZE, "")


def test_a_session_that_was_taken_over_gets_nothing_of_another_s(folder, start_guard):
    place = folder / "bin"
    with taken_over.programs(place, ALICE.uid, "others-output"):
        guard = taken_over.end_tried(start_guard(ACTIONS))
        reads = threading.Event()
        with Client(guard, "run", "yours", as_=BOB,
                    slow=lambda size: size < 500_000 or reads.wait()) as yours:
            try:
                yours.out.wait_size(500_000)
                job = guard.wait_audit(event="job-started")[0]["job"]
                (place / "job").write_text(job)
                with guard.connect(as_=ALICE) as client:
                    assert client.read_to_end() == b""
                said = (place / "answers").read_text().splitlines()
                assert said == [no_such_job(job)["parameters"]["message"]] * 50
                failed = guard.wait_audit(event="session-failed")
                assert [(e["uid"], e["reason"]) for e in failed] == [
                    (ALICE.uid, "it named a connection that it does not have")]
            finally:
                reads.set()
            assert yours.end() == (8, SIZE, SIZE, "")


def test_nobody_else_opens_the_files_or_pipes(start_guard):
    guard = start_guard(ACTIONS)
    with guard.connect(as_=BOB) as client:
        client.send_call("Run", {"action": "waits"}, more=True)
        job = client.read_reply()["parameters"]["job"]
        client.read_reply()
        paths = [f"{guard.state_folder}/jobs/{job}/stdout"]
        for process in (guard.pid, *sessions(guard)):
            paths += [f"/proc/{process}/fd/{number}" for number in range(40)]
        paths += [f"/proc/{pid}/fd/{number}" for pid in os.listdir("/proc") if pid.isdigit()
                  and f"POSTERN_JOB={job}".encode() in environment(pid) for number in (1, 2)]
        assert paths[-1].endswith("/fd/2")
        text = "for path; do cat <\"$path\" && echo READ; echo x >\"$path\" && echo WRITTEN; done"
        for who in (ALICE, BOB):
            done = harness.identities.run_as(who, ["/bin/sh", "-c", text, "sh", *paths])
            assert done.stdout == "", done.stdout
        client.close()


def environment(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""
