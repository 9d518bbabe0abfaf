"""What keeps the output of jobs, and what passes it on, killed at their system calls while it flows."""

import pytest

import booted_host
from jobs import job_units, records, run, shell
from traced import calls_of, ended, guard_pid, killed_at, recorded, some_of_each_kind

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("quick_restarts")]

ROUNDS = 40
# 240 KB on each stream, in some 2 s; which is more than a pipe holds.
NUMBERS = (f"i=1; while [ $i -le {ROUNDS} ]; do seq $((i * 1000)) $((i * 1000 + 999)); "
           "seq $((i * 1000)) $((i * 1000 + 999)) >&2; i=$((i + 1)); sleep 0.03; done; exit 3")
EXPECTED = "".join(f"{number}\n" for number in range(1000, (ROUNDS + 1) * 1000))
LONG = pytest.mark.long


def main_pid(host, unit):
    """The main process of a unit that runs, by its number outside."""
    if unit == "posternd.service":
        return guard_pid(host)
    inner = booted_host.wait_until(
        lambda: host.property(unit, "ActiveState") == "active" and int(host.property(unit, "MainPID")),
        20, f"{unit} runs")
    return host.outer_pid(inner)


# The guard's short form is in test_kill.py.
@pytest.mark.parametrize("unit, each", [("postern-output.service", 1),
                                        pytest.param("postern-output.service", 8, marks=LONG),
                                        pytest.param("posternd.service", 6, marks=LONG)])
def test_killed_at_any_point_while_output_flows(host, declare, tmp_path, unit, each):
    """At so many system calls of each kind."""
    declare(numbers=shell(NUMBERS))
    run(host, "numbers")  # a session is there
    log = tmp_path / "calls"
    pid = main_pid(host, unit)
    with recorded(pid, log):
        assert run(host, "numbers") == (3, EXPECTED, EXPECTED)
    # The keeper moves bytes in threads; the guard's processes are not its threads.
    points = some_of_each_kind(calls_of(pid, log, threads=unit == "postern-output.service"), each)
    needed = {"posternd.service": {"sendto", "recvmsg", "epoll_wait", "renameat"},
              "postern-output.service": {"splice", "recvmsg", "epoll_wait", "epoll_ctl", "sendto"}}[unit]
    assert needed <= {name for name, _, _ in points}
    killed = 0
    for name, ordinal, kind in points:
        strace = killed_at(main_pid(host, unit), name, ordinal)
        code, out, err = run(host, "numbers")
        at = (kind, ordinal)
        killed += ended(strace)
        assert code == 3, (at, err[-1000:])
        assert out == EXPECTED, at
        assert err == EXPECTED, at
        booted_host.wait_until(lambda: job_units(host) == [], 60, f"no unit left after {at}")
        record = records(host, "numbers")[-1]
        assert record["result"]["status"] == 3 and "stdoutLostFrom" not in record["result"], at
        kept = f"/var/lib/postern/jobs/{record['job']}"
        for stream in ("stdout", "stderr"):
            assert host.run("cat", f"{kept}/{stream}").stdout == EXPECTED, (at, stream)
    assert killed >= len(points) // 2, (killed, points)
