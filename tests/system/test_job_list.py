"""posternctl jobs and show on a booted host: one's own jobs, and those of all users."""

import json
import re

import pytest

import booted_host
import guard
from jobs import UNTIL_LET, run, shell, spawn, wait_for_unit

pytestmark = pytest.mark.needs_root


def ctl(host, *words, user="member"):
    done = host.run("posternctl", *words, user=user, check=False)
    return done.returncode, done.stdout, done.stderr


def listed(host, *words, user="member"):
    code, out, err = ctl(host, "jobs", "--json", *words, user=user)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_who_lost_the_terminal_finds_the_job_again(host, declare, let):
    declare(listed=shell(f"echo out; {UNTIL_LET}; exit 3"))
    client = spawn(host, "listed")
    unit = wait_for_unit(host)
    job = unit.removeprefix("postern-job-").removesuffix(".service")
    [running] = listed(host, "--action", "listed", "--state", "running")
    assert (running["job"], "result" in running) == (job, False)
    # Also when the daemon has been restarted meanwhile.
    guard.restart(host)
    assert [seen["job"] for seen in listed(host, "--action", "listed")] == [job]
    let()
    client.communicate(timeout=60)
    assert client.returncode == 3
    [ended] = booted_host.wait_until(
        lambda: listed(host, "--action", "listed", "--state", "ended"), 60, "the end of the job")
    assert (ended["job"], ended["result"]["exitCode"]) == (job, 3)
    code, out, err = ctl(host, "show", job[:12])
    assert (code, err) == (0, "")
    for line in (f"job +{job}", "action +listed", "state +exit 3", "user .*member.*",
                 "socket +/run/postern/postern.sock", 'rule +allow group "postern"', "stdout +4 bytes",
                 "stderr +0 bytes", "processor time +.*"):
        assert re.search(f"^{line}$", out, re.M), (line, out)


def test_everybodys_jobs_are_the_administrators(host, declare):
    declare(mine=shell("true"), roots=shell("true", allow=[{"user": "root"}]))
    assert run(host, "mine")[0] == 0
    assert run(host, "roots", user="root")[0] == 0
    assert [job["action"] for job in listed(host, "--limit", "1")] == ["mine"]
    jobs = listed(host, "--all", "--limit", "2", user="root")
    assert [job["action"] for job in jobs] == ["roots", "mine"]
    # The socket is root's alone.
    code, out, _ = ctl(host, "jobs", "--all")
    assert (code, out) == (125, "")
    root_job = jobs[0]["job"]
    assert ctl(host, "show", root_job) == (126, "", (
        f'posternctl: you have no job "{root_job}": it may not exist, may belong to somebody else, or may have been '
        "removed\n"))
    code, out, err = ctl(host, "show", "--all", jobs[1]["job"][:12], user="root")
    assert (code, err) == (0, "")
    assert re.search(rf'^rule +allow group "postern" \({guard.ACTIONS}/mine\.json:\d+\)$', out, re.M)
