"""Large data that goes straight between a client and a job, which is a unit of systemd."""

import json
import signal

import pytest

import booted_host
from jobs import finished, records, run, shell, wait_for_unit

pytestmark = pytest.mark.needs_root

# Of the member's: what goes in, and what came out.
DATA, COPY = "/tmp/data", "/tmp/copy"


@pytest.fixture
def data(host):
    """200 MB of random bytes."""
    host.run("sh", "-c", f"head -c 200000000 /dev/urandom >{DATA}", user="member")
    yield
    host.run("rm", "-f", DATA, COPY)


def copied(host):
    return host.run("cmp", DATA, COPY, check=False).returncode == 0


def copying(host):
    """posternctl run copy from the one file to the other; it prints the exit code."""
    return host.spawn("sh", "-c", f"cat {DATA} | posternctl run copy >{COPY}; echo $?", user="member")


def test_every_byte_and_the_exit_code(host, declare, data):
    declare(copy=shell("cat; echo said >&2; exit 5", input="direct", output="direct"),
            where=shell("cat /proc/self/cgroup; ls -l /proc/self/fd", output="direct"))
    client = copying(host)
    assert finished(client)[1:] == ("5\n", "said\n")
    assert copied(host)
    record = records(host, "copy")[-1]
    assert record["result"]["status"] == 5
    assert record["stdoutNotKept"] is True
    kept = f"/var/lib/postern/jobs/{record['job']}"
    assert host.run("cat", f"{kept}/stderr").stdout == "said\n"
    assert host.run("sh", "-c", f"cat {kept}/stdout 2>/dev/null", check=False).stdout == ""
    followed = host.run("posternctl", "call", "--more", "org.postern.Jobs.Follow",
                        json.dumps({"job": record["job"]}), user="member").stdout.splitlines()
    replies = [json.loads(line)["parameters"] for line in followed]
    assert replies[0]["stdoutNotKept"] is True
    assert not any("stdout" in reply or "stdoutBase64" in reply for reply in replies)
    assert [reply["stderr"] for reply in replies if "stderr" in reply] == ["said\n"]
    code, out, err = run(host, "where")
    assert (code, err) == (0, "")
    assert f"/postern-job-{records(host, 'where')[-1]['job']}.service" in out


def test_a_job_that_leaves_its_input_and_a_client_that_leaves_its_output(host, declare, data):
    declare(some=shell("head -c 10 | wc -c", input="direct", output="direct"),
            endless=shell("exec cat /dev/zero", output="direct"))
    done = host.run("sh", "-c", f"posternctl run some <{DATA}; echo $?", user="member")
    assert (done.stdout, done.stderr) == ("10\n0\n", "")
    # As with any pipe: it gets SIGPIPE.
    host.run("sh", "-c", f"posternctl run endless | head -c 100 >{COPY}", user="member")
    booted_host.wait_until(lambda: records(host, "endless")[-1]["state"] == "ended", 60, "its end")
    result = records(host, "endless")[-1]["result"]
    assert (result["outcome"], result["status"]) == ("signaled", signal.SIGPIPE)


@pytest.mark.usefixtures("quick_restarts")
@pytest.mark.parametrize("unit", ["posternd.service", "postern-output.service"])
def test_neither_the_daemon_nor_the_keeper_has_a_part_in_it(host, declare, data, unit):
    declare(copy=shell("head -c 1000000; until [ -e /run/let ]; do sleep 0.05; done; cat; exit 6",
                       input="direct", output="direct"))
    host.run("rm", "-f", "/run/let")
    client = copying(host)
    wait_for_unit(host)
    booted_host.wait_until(lambda: int(host.run("stat", "-c", "%s", COPY).stdout) == 1000000, 60,
                           "the first of it has come")
    before = host.property(unit, "MainPID")
    host.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit)
    booted_host.wait_until(lambda: host.property(unit, "MainPID") not in ("0", before), 20, "it is back")
    host.write("/run/let", "")
    assert finished(client)[1:] == ("6\n", "")
    assert copied(host)
    host.run("rm", "-f", "/run/let")
