"""Where the record of a job lies: in memory at once, and on the disk as soon as may be."""

import contextlib
import json
import os
import re
import shutil
import signal

import pytest

import harness
from actions import script
from identity import ALICE
from jobs import begin, end_of, follow, get, record, result_of, wait_copied

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

NINE = {"outcome": "exited", "exitCode": 9}


def on_disk(guard, job):
    return json.loads((guard.state_folder / "jobs" / job / "record.json").read_text())


@pytest.fixture
def waits(folder):
    """An action that waits until the test lets it go on, and exits with 9; and what lets it."""
    go = folder / "go"
    return script(f"echo ran >>{folder}/ran; chmod 666 {folder}/ran; echo began; "
                  f"while [ ! -e {go} ]; do sleep 0.02; done; exit 9"), go.touch


@contextlib.contextmanager
def disk_stands_still(guard, job):
    """Where the next copy of this job's record is to be written: opening a FIFO waits for a reader."""
    fifo = guard.state_folder / "jobs" / job / "record.json.new"
    os.mkfifo(fifo)
    yield
    fifo.unlink()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_loop_renames_nothing_on_the_disk_and_waits_for_nothing(start_guard, folder):
    trace = folder / "trace"
    guard = start_guard({"nine": script("exit 9")}, under=[
        "strace", "-f", "-y", "-e", "trace=rename,renameat,renameat2,fsync,fdatasync", "-o", trace])
    with guard.connect(as_=ALICE) as client:
        runs = [client.run("nine") for _ in range(5)]
        assert [end_of(replies[-1]) for replies in runs] == [NINE] * 5
    wait_copied(guard)
    records = [on_disk(guard, replies[0]["parameters"]["job"]) for replies in runs]
    loop = int(re.match(r"\d+", trace.read_text()).group())
    os.kill(loop, signal.SIGTERM)
    assert guard.wait() == 0
    jobs = f"{guard.state_folder}/jobs/"
    of_loop, of_others = [], []
    for line in trace.read_text().splitlines():
        if re.match(r"\d+ +(rename\w*|f\w*sync)\(", line):
            (of_loop if line.startswith(f"{loop} ") else of_others).append(line)
    assert len([line for line in of_loop if f"{guard.runtime_folder}>" in line]) == 15
    assert not [line for line in of_loop if jobs in line or "sync(" in line]
    # The first record and the last of each, unless that came while the first was being written; what comes
    # between only where that is a second. Never without having been synchronized: the file, and its name.
    renamed = [line for line in of_others if "renameat(" in line and jobs in line]
    slow = [record for record in records if record["result"]["endedUsec"] - record["startedUsec"] > 900_000]
    assert 5 <= len(renamed) <= 10 + len(slow)
    assert len([line for line in of_others if "fsync(" in line]) == 2 * len(renamed)


def test_an_end_that_was_not_copied_is_known_to_the_next_guard(start_guard, waits):
    action, let = waits
    guard = start_guard({"waits": action})
    call = {"action": "waits", "key": "k"}
    with guard.connect(as_=ALICE) as client:
        job, said = begin(client, **call)
        assert said == "began\n"
        wait_copied(guard)
        assert on_disk(guard, job)["state"] == "running"
        with disk_stands_still(guard, job):
            let()
            assert result_of(client)[1] == NINE
            assert record(guard, job)["state"] == "ended"
            guard.kill()
            assert on_disk(guard, job)["state"] == "running"
    guard.restart()
    with guard.connect(as_=ALICE) as client:
        assert get(client, job)["parameters"]["job"]["state"] == "ended"
        again = client.call("Run", call)["parameters"]
        assert (again["job"], again["result"]["exitCode"]) == (job, 9)
    wait_copied(guard)
    assert on_disk(guard, job)["state"] == "ended"
    assert [e["event"] for e in guard.audit() if e.get("job") == job] == ["job-started", "job-ended"]


def test_after_a_power_cut_a_key_is_known_and_its_job_lost(start_guard, waits, folder):
    action, _ = waits
    guard = start_guard({"waits": action})
    call = {"action": "waits", "key": "k"}
    with guard.connect(as_=ALICE) as client:
        job, said = begin(client, **call)
        assert said == "began\n"
        wait_copied(guard)
        guard.kill()
    # It has nothing but the disk.
    shutil.rmtree(guard.runtime_folder)
    guard.runtime_folder.mkdir(mode=0o700)
    guard.restart()
    with guard.connect(as_=ALICE) as client:
        again = client.call("Run", call)["parameters"]
        assert (again["job"], again["result"]["outcome"]) == (job, "lost")
        assert end_of(follow(client, job)[-1]) == {"outcome": "lost"}
    assert (folder / "ran").read_text() == "ran\n"


def test_what_can_not_be_copied_is_told_once_shown_and_tried_again(start_guard, waits, folder):
    action, let = waits
    socket = folder / "admin.sock"
    guard = start_guard({"waits": action}, options=["--admin-socket", str(socket)])

    def status(*words):
        done = guard.ctl("--socket", str(socket), *words, "status")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    with guard.connect(as_=ALICE) as client:
        job, _ = begin(client, "waits")
        wait_copied(guard)
        assert "recordProblem" not in json.loads(status("--json")) and "records" not in status()
        file = guard.state_folder / "jobs" / job / "record.json"
        file.unlink()
        obstacles = [file, file.with_name("record.json.new")]
        for path in obstacles:
            path.mkdir()
        let()
        assert result_of(client)[1] == NINE
    problem = f"{file} can't be written: Is a directory"
    harness.wait_until(lambda: problem in guard.stderr(), what="the log says so")
    assert json.loads(status("--json"))["recordProblem"] == problem
    assert f"records    {problem}\n" in status()
    for path in obstacles:
        path.rmdir()
    again = f"records are copied to {guard.state_folder}/jobs again"
    harness.wait_until(lambda: again in guard.stderr(), what="the log says so")
    assert on_disk(guard, job)["result"]["status"] == 9
    assert "recordProblem" not in json.loads(status("--json"))
    assert guard.stderr().count(problem) == 1
    assert (f"{problem}; until it can, the record is kept in {guard.runtime_folder} alone, and is lost "
            "where the machine stops: make room, or look what is wrong with that file system\n"
            in guard.stderr())


def test_without_a_runtime_directory_records_are_on_the_disk_at_once(start_guard, waits):
    action, let = waits
    guard = start_guard({"waits": action}, runtime=False)
    with guard.connect(as_=ALICE) as client:
        job, _ = begin(client, "waits")
        assert on_disk(guard, job)["state"] == "running"
        guard.kill()
    guard.restart()
    assert on_disk(guard, job)["state"] == "lost"
    let()
    with guard.connect(as_=ALICE) as client:
        assert end_of(client.run("waits")[-1]) == NINE
