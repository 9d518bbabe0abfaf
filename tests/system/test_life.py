"""The life of the installed guard: what systemd is told, and leaving when there is nothing to do."""

import json
import re

import pytest

import booted_host
import guard
from jobs import records

pytestmark = pytest.mark.needs_root


def status_text(host):
    return host.property("posternd.service", "StatusText")


def wait_for_status(host, pattern):
    try:
        booted_host.wait_until(lambda: re.fullmatch(pattern, status_text(host)), 60, pattern)
    except AssertionError as error:
        raise AssertionError(f"{error}: {status_text(host)}") from None


def test_the_status_has_live_figures(host):
    host.run("posternctl", "ping", user="member")
    quiet = r"\d+ (?:action is|actions are) loaded, 0 files are bad; 0 connections in \d+ sessions?, 0 jobs"
    wait_for_status(host, quiet)
    host.write("/etc/postern/actions.d/waits.json", json.dumps(
        {"summary": "s", "exec": ["/bin/sleep", "60"], "allow": [{"group": "postern"}],
         "onDisconnect": "kill"}))
    host.run("systemctl", "reload", "posternd.service")
    client = host.spawn("posternctl", "run", "waits", user="member")
    wait_for_status(host, r"2 actions are loaded, 0 files are bad; 1 connection in \d sessions?, 1 job")
    host.run("pkill", "-KILL", "posternctl")
    client.communicate()
    wait_for_status(host, quiet)
    host.run("rm", "/etc/postern/actions.d/waits.json")
    host.run("systemctl", "reload", "posternd.service")


def test_where_memory_runs_out_the_guard_goes_last(host):
    assert host.run("posternctl", "ping", user="member").returncode == 0
    assert host.property("posternd.service", "OOMPolicy") == "continue"
    assert host.property("posternd.service", "OOMScoreAdjust") == "-500"
    scores = host.run("sh", "-c", "for pid in $(pgrep -x postern-session); do "
                      "cat /proc/$pid/oom_score_adj; done").stdout.split()
    assert set(scores) == {"500"}


def test_it_leaves_when_there_is_nothing_to_do(host, configure):
    configure({"limits": {"idleExit": "200ms"}})
    assert host.run("posternctl", "ping", user="member").returncode == 0
    booted_host.wait_until(
        lambda: host.property("posternd.service", "ActiveState") == "inactive", 10, "it left")
    assert host.property("posternd.service", "Result") == "success"
    assert host.property("posternd.socket", "SubState") == "listening"
    # What jobs write is kept by a service of its own.
    assert host.run("ps", "-eo", "comm=").stdout.split().count("postern-output") == 1
    assert host.run("pgrep", "-x", "posternd|postern-session|postern-dropper", check=False).stdout == ""
    assert host.failed_units() == ""


def test_it_stays_while_there_is_something_to_do(host, configure):
    configure({"limits": {"idleExit": "200ms"}})
    # Longer than the guard stays where there is nothing to do; and then for as long as there is a file.
    host.write("/etc/postern/actions.d/waits.json", json.dumps(
        {"summary": "s", "allow": [{"group": "postern"}],
         "exec": ["/bin/sh", "-c", "sleep 1.5; while [ -e /run/held ]; do sleep 0.05; done; echo over"]}))
    done = host.run("posternctl", "run", "waits", user="member")
    assert done.stdout == "over\n"
    # The client goes, its job does not: the guard records how that ends.
    host.run("touch", "/run/held")
    client = host.spawn("posternctl", "run", "waits", user="member")
    booted_host.wait_until(lambda: host.run(
        "systemctl", "list-units", "--no-legend", "postern-job-*").stdout != "", 60, "the job")
    pid = host.property("posternd.service", "MainPID")
    host.run("pkill", "-KILL", "posternctl")
    client.communicate()
    host.run("rm", "/run/held")
    booted_host.wait_until(
        lambda: host.property("posternd.service", "ActiveState") == "inactive", 60, "it left")
    ended = host.run("journalctl", "--no-pager", "-o", "cat", f"_PID={pid}",
                     "POSTERN_EVENT=job-ended").stdout
    assert ended.count(f"job-ended: waits, job {records(host, 'waits')[-1]['job']}") == 1
    host.run("rm", "/etc/postern/actions.d/waits.json")


def test_it_stays_while_subordinate_ids_count_that_were_taken_away(host, configure):
    """The next guard would not know of them, and let in whom a rule denies."""
    host.write("/etc/subuid", "member:100000:65536\n")
    configure({"limits": {"idleExit": "2s"}})
    host.run("posternctl", "ping", user="member")
    host.write("/etc/subuid", "")

    def said(text):
        return text in host.run("journalctl", "--no-pager", "-o", "cat", "-u", "posternd.service").stdout

    pid = host.property("posternd.service", "MainPID")
    booted_host.wait_until(lambda: said("nothing to do, but not exiting: subordinate ids"), 60, "it is idle")
    assert host.property("posternd.service", "MainPID") == pid
    host.run("rm", "/etc/subuid")
    host.run("systemctl", "restart", "posternd.service")


@pytest.mark.parametrize("calls", [120, pytest.param(1000, marks=pytest.mark.long)])
def test_no_call_is_lost_to_a_guard_that_leaves(host, configure, calls):
    configure({"limits": {"idleExit": "20ms"}})
    # Pauses around the very time after which it leaves.
    script = (f"for i in $(seq {calls}); do sleep 0.0$((15 + i % 20)); "
              "posternctl ping >/dev/null || echo \"call $i was lost\"; done")
    guard.until_it_left(host, script, calls)
    assert host.failed_units() == ""


def test_a_guard_that_hangs_is_started_again(host):
    assert host.property("posternd.service", "WatchdogUSec") == "30s"
    host.run("mkdir", "-p", "/run/systemd/system/posternd.service.d")
    host.write("/run/systemd/system/posternd.service.d/soon.conf", "[Service]\nWatchdogSec=3s\n")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "posternd.service")
    pid = host.property("posternd.service", "MainPID")
    restarts = int(host.property("posternd.service", "NRestarts"))
    host.run("kill", "-STOP", pid)
    booted_host.wait_until(
        lambda: int(host.property("posternd.service", "NRestarts")) > restarts, 60, "a restart")
    host.run("rm", "-r", "/run/systemd/system/posternd.service.d")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "posternd.service")
    assert host.run("posternctl", "ping", user="member").returncode == 0
    host.run("systemctl", "reset-failed")
