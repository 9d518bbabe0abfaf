"""Jobs of a really booted systemd that nobody waits for, and what is seen of them later."""

import json

import pytest

import booted_host
import guard
from jobs import UNTIL_LET, expect_no_units, finished, job_units, shell

pytestmark = pytest.mark.needs_root


def ctl(host, *words, user="member"):
    done = host.run("posternctl", *words, user=user, check=False)
    return done.returncode, done.stdout, done.stderr


def detach(host, action):
    code, out, err = ctl(host, "run", "--detach", action)
    assert (code, err) == (0, "")
    return out.removesuffix("\n")


@pytest.mark.usefixtures("quick_restarts")
@pytest.mark.parametrize("how", ["kill", "restart"])
def test_a_detached_job_is_attached_to_when_the_guard_is_back(host, declare, let, how):
    declare(talks=shell(f"echo 1; echo 2; echo warn >&2; {UNTIL_LET}; echo 3; exit 6"))
    job = detach(host, "talks")
    booted_host.wait_until(lambda: ctl(host, "logs", job) == (0, "1\n2\n", "warn\n"), 60, "its first lines")
    if how == "kill":
        host.run("systemctl", "kill", "--kill-who=main", "-s", "KILL", "posternd.service")
    else:
        guard.restart(host)
    client = host.spawn("posternctl", "attach", "--tail", "1", job, user="member")
    # Only then is it sure that it counted its line before there is another.
    assert client.stdout.readline() == "2\n"
    let()
    assert finished(client) == (6, "3\n", "warn\n")
    assert ctl(host, "attach", job) == (6, "1\n2\n3\n", "warn\n")
    assert ctl(host, "wait", job) == (6, "", "")
    booted_host.wait_until(lambda: job_units(host) == [], 60, "the end of the job")


def test_a_detached_job_outlives_its_client(host, declare, let):
    """There is no client that could go: nothing follows it until its end."""
    declare(lives=shell(f"{UNTIL_LET}; exit 6"))
    job = detach(host, "lives")
    let()
    code, out, err = ctl(host, "--json", "wait", job)
    assert (code, err) == (6, "")
    reply = json.loads(out)
    assert (reply["job"], reply["result"]["exitCode"]) == (job, 6)


def test_what_ends_with_its_caller_is_not_detached(host, declare):
    declare(kept=shell("exit 0", onDisconnect="kill"))
    code, out, err = ctl(host, "run", "--detach", "kept")
    assert (code, out) == (122, "")
    assert err == ('posternctl: "kept" can\'t be detached: its file says "onDisconnect": "kill", which ends its job '
                   "when nobody follows it; run it without detaching it\n")
    expect_no_units(host)
