"""The guard killed at any point of a job's life, and replaced under load: no job runs twice, none is
lost, and posternctl does not notice."""

import json

import pytest

import booted_host
import load
from conftest import install
from jobs import (
    UNTIL_LET,
    all_records,
    finished,
    job_units,
    records,
    run,
    shell,
    spawn,
    wait_for_unit,
)
from traced import calls_of, ended, guard_pid, killed_at, recorded, some_of_each_kind, traced

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("quick_restarts")]

# Says what it does where the guard has no part in it.
ONCE = shell("echo $POSTERN_JOB >>/run/once; echo begin; sleep 0.2; echo end; exit 7")


def states_of_records(host):
    """What the records say, each of them once."""
    return {record["state"] for record in all_records(host)}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_guard_is_killed_at_any_point(host, declare, tmp_path, every):
    """At one system call of each kind that a run makes it do; the long form: at every one."""
    declare(once=ONCE)
    host.run("rm", "-f", "/run/once")
    log = tmp_path / "calls"
    guard = guard_pid(host)
    with recorded(guard, log):
        assert run(host, "once") == (7, "begin\nend\n", "")
    calls = calls_of(guard, log)
    points = calls if every else some_of_each_kind(calls, 1)
    assert {"sendmsg", "recvmsg", "epoll_wait", "renameat"} <= {name for name, _, _ in points}
    booted_host.wait_until(lambda: job_units(host) == [], 60, "no unit left")
    host.run("rm", "-f", "/run/once")
    killed = 0
    states = set()
    for name, ordinal, kind in points:
        strace = killed_at(guard_pid(host), name, ordinal)
        done = run(host, "once")
        booted_host.wait_until(lambda: job_units(host) == [], 60,
                               f"no unit left after a kill at {name} number {ordinal}, {kind}")
        killed += ended(strace)
        assert done == (7, "begin\nend\n", ""), (kind, ordinal)
        [job] = host.run("cat", "/run/once").stdout.split()  # once, whatever happened
        host.run("rm", "/run/once")
        record = booted_host.wait_until(
            lambda: [r for r in records(host, "once") if r["job"] == job and r["state"] == "ended"],
            60, f"the record of job {job}")[0]
        assert (record["result"]["outcome"], record["result"]["status"]) == ("exited", 7)
        assert host.run("cat", f"/var/lib/postern/jobs/{job}/stdout").stdout == "begin\nend\n"
        states |= {record["state"] for record in records(host, "once")}
    # The test did what it is for; and no record was left behind in the middle.
    assert killed >= len(points) // 2, (killed, points)  # later there are fewer: sessions are there
    assert states <= {"ended", "failed"}


@pytest.mark.long
def test_the_guard_is_killed_while_output_flows(host, declare, tmp_path):
    """At one system call of each kind, with more of both streams than is kept for a follower that is behind:
    every line comes once."""
    declare(flows=shell("seq 1000000 1199999 & seq 2000000 2199999 >&2; wait; exit 7", storedOutput="4KiB"))
    expected = tuple("".join(f"{number}\n" for number in range(first, first + 200_000))
                     for first in (1_000_000, 2_000_000))
    log = tmp_path / "calls"
    guard = guard_pid(host)
    with recorded(guard, log):
        assert run(host, "flows") == (7, *expected)
    killed = 0
    points = some_of_each_kind(calls_of(guard, log), 1)
    for name, ordinal, kind in points:
        strace = killed_at(guard_pid(host), name, ordinal)
        done = run(host, "flows")
        killed += ended(strace)
        assert done == (7, *expected), (kind, ordinal)
    assert killed >= len(points) // 2, (killed, points)


@pytest.mark.parametrize("state", ["starting", "running"])
def test_the_guard_is_killed_in_each_state(host, declare, let, state):
    """With the request to systemd just sent, and with the job under way; killed again afterwards."""
    declare(slow=shell(f"echo $POSTERN_JOB >>/run/slow; echo one; {UNTIL_LET}; echo two >&2; exit 8"))
    host.run("rm", "-f", "/run/slow")
    guard = guard_pid(host)
    if state == "starting":
        # The guard stands still after its request, before it can hear the answer.
        strace = traced(guard_pid(host), "-o", "/dev/null", "-e", "trace=sendmsg", "-e",
                        "inject=sendmsg:delay_exit=2s")
        client = spawn(host, "slow")
        booted_host.wait_until(lambda: host.exists("/run/slow"), 60, "the job runs")
        assert states_of_records(host) & {"starting"}
        host.kill_outside(guard)
        strace.wait(60)
    else:
        client = spawn(host, "slow")
        wait_for_unit(host)
        booted_host.wait_until(lambda: "running" in states_of_records(host), 60, "the record says so")
        host.kill_outside(guard)
    second = guard_pid(host)
    assert second != guard
    host.kill_outside(second)
    let()
    assert finished(client) == (8, "one\n", "two\n")
    [job] = host.run("cat", "/run/slow").stdout.split()
    record = records(host, "slow")[-1]
    assert (record["job"], record["state"], record["result"]["status"]) == (job, "ended", 8)
    started = host.run("journalctl", "--no-pager", "-o", "cat", "POSTERN_EVENT=job-started",
                       f"POSTERN_JOB={job}").stdout
    assert started.count("job-started") == 1


def test_a_unit_whose_job_has_ended_is_forgotten_by_the_next_guard(host, declare):
    """As one is left where the guard dies before systemd has dealt with its last call."""
    declare(quick=shell("exit 7"))
    assert run(host, "quick") == (7, "", "")
    ended = records(host, "quick")[-1]["job"]
    strange = "0" * 32  # may be another guard's
    for job in (ended, strange):
        host.run("systemd-run", "-q", f"--unit=postern-job-{job}", "-p", "CollectMode=inactive",
                 "/bin/false")
    booted_host.wait_until(lambda: failed_units(host) == {ended, strange}, 60, "both have failed")
    host.kill_outside(guard_pid(host))
    guard_pid(host)
    booted_host.wait_until(lambda: failed_units(host) == {strange}, 60, "that one is forgotten")
    host.run("systemctl", "reset-failed", f"postern-job-{strange}.service")


def failed_units(host):
    """The jobs whose units have failed."""
    listed = host.run("systemctl", "list-units", "--failed", "--no-legend", "--plain", "postern-job-*")
    return {line.split()[0].removeprefix("postern-job-").removesuffix(".service")
            for line in listed.stdout.splitlines()}


def test_a_job_that_ends_with_its_caller_survives_a_restart_with_it(host, declare, let):
    declare(bound=shell(f"echo one; {UNTIL_LET}; echo two; exit 9", onDisconnect="kill"))
    client = spawn(host, "bound")
    unit = wait_for_unit(host)
    host.kill_outside(guard_pid(host))
    let()
    assert finished(client) == (9, "one\ntwo\n", "")
    let(False)
    # And without it ends, some seconds after the guard is back.
    client = spawn(host, "bound")
    unit = wait_for_unit(host)
    job = unit.removeprefix("postern-job-").removesuffix(".service")
    guard = guard_pid(host)
    host.run("systemctl", "kill", "-s", "STOP", unit)  # so that it can't end by itself
    # The next guard comes a second later: nobody is there then who would come back.
    host.kill_outside(guard)
    host.run("pkill", "-KILL", "posternctl")
    client.communicate(timeout=100)
    guard_pid(host)
    booted_host.wait_until(lambda: job_units(host) == [], 40, "the end of the job")
    [record] = [r for r in records(host, "bound") if r["job"] == job]
    assert record["result"]["outcome"] == "disconnected"


def test_the_package_is_replaced_under_load(host, declare, package):
    """Twenty clients call all the while: no connection is refused, no job is lost, each runs once and has a true
    end, and nobody is told to try again.

    What waited for its turn when the daemon stopped, and what systemd dropped while posternd.service was
    restarted (252; seen twice in some hundred calls), did not begin: posternctl makes the call again. Where
    dpkg takes its time it says that it waits, and then runs the job all the same.
    """
    declare(replaced=load.ACTION, ticks=shell("for i in $(seq 60); do echo $i; sleep 0.1; done; exit 3"))
    long_one = spawn(host, "ticks")
    with load.users(host):
        callers = load.begin(host)
        for number in range(3):
            load.wait_for_starts(host, 40 * (number + 1))  # all of them are at it
            install(host, package)
        count, wrong = load.end(host, callers)
        assert wrong == []
    code, out, err = finished(long_one)
    assert (code, err) == (3, "")
    assert out.split() == [str(i) for i in range(1, 61)]
    load.assert_each_ran_once(host, count)
    assert json.loads(host.run("posternctl", "--json", "status").stdout)["jobs"] == 0
