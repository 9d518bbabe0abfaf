"""What jobs write, while those who keep it and those who pass it on are killed, restarted and stopped."""

import json

import pytest

import booted_host
from jobs import records, run, shell, spawn, wait_for_unit

pytestmark = pytest.mark.needs_root

ROUNDS = 300
# 2 MB of numbered lines, in as many pieces and some seconds.
NUMBERS = (f"i=1; while [ $i -le {ROUNDS} ]; do seq $((i * 1000)) $((i * 1000 + 999)); i=$((i + 1)); "
           "sleep 0.01; done; echo end >&2; exit 3")
EXPECTED = "".join(f"{number}\n" for number in range(1000, (ROUNDS + 1) * 1000))
SOCKETS = ("posternd.socket", "posternd-admin.socket", "posternd-datagram.socket")
BOTH = ("posternd.service", "postern-output.service")


def kill(host, unit):
    host.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit)


def restart(host, unit):
    host.run("systemctl", "restart", unit)


def output_problem(host):
    return json.loads(host.run("posternctl", "status", "--json").stdout).get("outputProblem", "")


def stop_both(host):
    """With the sockets: a client that comes back would start the daemon again."""
    host.run("systemctl", "stop", *SOCKETS, "posternd.service")
    host.run("systemctl", "stop", "postern-output.service")
    host.run("systemctl", "start", *SOCKETS, *BOTH)


@pytest.mark.parametrize("units", [BOTH[:1], BOTH[1:], BOTH], ids=["daemon", "keeper", "in-turn"])
@pytest.mark.parametrize("how", [kill, restart])
def test_nothing_is_lost_and_nothing_doubled(host, declare, how, units):
    declare(numbers=shell(NUMBERS))
    client = spawn(host, "numbers")
    wait_for_unit(host)
    lines = []
    for times in range(5):
        # As soon as that much more has come.
        lines += [client.stdout.readline() for _ in range(ROUNDS * 1000 // 6)]
        unit = units[times % len(units)]
        before = host.property(unit, "MainPID")
        how(host, unit)
        booted_host.wait_until(
            lambda: (host.property(unit, "ActiveState") == "active" and
                     host.property(unit, "MainPID") not in ("0", before)), 20, "it is back")
    assert "".join(lines) + client.stdout.read() == EXPECTED
    assert client.stderr.read().splitlines()[-1] == "end"
    assert client.wait(60) == 3
    record = records(host, "numbers")[-1]
    assert record["result"]["status"] == 3
    assert "stdoutLostFrom" not in record["result"]


def test_while_the_keeper_is_stopped_jobs_wait_and_it_is_said(host, declare):
    declare(much=shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end"))
    host.run("systemctl", "stop", "postern-output.service")
    booted_host.wait_until(
        lambda: "postern-output does not run" in output_problem(host), 20, "the daemon has noticed")
    assert "systemctl start postern-output.service" in host.run("posternctl", "status").stdout
    code, out, err = run(host, "much")
    assert (code, out) == (123, "")
    assert "postern-output" in err
    host.run("systemctl", "start", "postern-output.service")
    assert run(host, "much") == (0, "x" * 3000000 + "end\n", "")
    assert output_problem(host) == ""


def test_a_running_job_waits_for_the_keeper(host, declare, let):
    declare(later=shell("echo first; while [ ! -e /run/let ]; do sleep 0.05; done; "
                        "head -c 3000000 /dev/zero | tr '\\0' x; echo end"))
    client = spawn(host, "later")
    assert client.stdout.readline() == "first\n"
    host.run("systemctl", "stop", "postern-output.service")
    let()
    unit = wait_for_unit(host)
    tasks = "/sys/fs/cgroup" + host.property(unit, "ControlGroup") + "/cgroup.procs"
    booted_host.wait_until(
        lambda: any("pipe" in host.run("sh", "-c", f"cat /proc/{pid}/wchan", check=False).stdout
                    for pid in host.run("cat", tasks).stdout.split()), 20, "it waits for its pipe")
    host.run("systemctl", "start", "postern-output.service")
    assert client.stdout.read() == "x" * 3000000 + "end\n"
    assert (client.wait(60), client.stderr.read()) == (0, "")


def run_without_both(host):
    """Both are stopped while the job runs, and started again; what was kept of it, and its record."""
    client = spawn(host, "night")
    assert client.stdout.readline() == "1000\n"
    stop_both(host)
    client.kill()
    client.communicate()
    record = booted_host.wait_until(
        lambda: next((one for one in records(host, "night") if one["state"] == "ended"), None), 60,
        "it has ended")
    return host.run("cat", f"/var/lib/postern/jobs/{record['job']}/stdout").stdout, record


@pytest.mark.suite("trixie")
def test_what_both_leave_the_service_manager_has(host, declare):
    """Where its store outlives a stop (systemd 254)."""
    declare(night=shell(NUMBERS))
    out, record = run_without_both(host)
    assert out == EXPECTED
    assert record["result"]["status"] == 3 and "stdoutLostFrom" not in record["result"]


@pytest.mark.suite("bookworm")
def test_what_both_leave_is_lost_and_said(host, declare):
    declare(night=shell("trap '' PIPE; " + NUMBERS))
    out, record = run_without_both(host)
    assert out and EXPECTED.startswith(out)
    assert record["result"]["status"] == 3
    assert record["result"]["stdoutLostFrom"] == len(out)
