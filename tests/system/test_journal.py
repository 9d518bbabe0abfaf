"""The audit and the journal on a real host: one that stands still, and one that counts entries."""

import json

import pytest

import booted_host
import guard

pytestmark = pytest.mark.needs_root

RUN = json.dumps({"method": "org.postern.Actions.Run", "parameters": {"action": "quick"}})
PING = json.dumps({"method": "org.postern.Actions.Ping", "parameters": {"ping": "x"}})
UNAVAILABLE = "org.postern.Actions.Unavailable"


@pytest.fixture(scope="module", autouse=True)
def quick(host):
    host.write(f"{guard.ACTIONS}/quick.json", json.dumps(
        {"summary": "s", "exec": ["/bin/echo", "done"], "allow": [{"group": "postern"}]}))
    guard.restart(host)
    yield
    host.run("rm", f"{guard.ACTIONS}/quick.json")
    guard.restart(host)


@pytest.fixture
def call(host):
    """call(LINE, TIMES, CONNECTIONS) makes so many calls on each connection; the replies of all."""
    script = ("for i in $(seq $2); do yes \"$1\" | head -n $3 | posternctl call --lines "
              ">/tmp/replies.$i 2>&1 & done; wait; cat /tmp/replies.*; rm /tmp/replies.*")

    def make(line, times, connections=1):
        done = host.run("bash", "-c", script, "call", line, str(connections), str(times),
                        user="member", timeout=240)
        return [json.loads(reply) for reply in done.stdout.splitlines()]

    return make


def entries(host, event):
    """How many entries of this kind the journal has of the action."""
    return int(host.run("sh", "-c", "journalctl --no-pager -o cat --output-fields=POSTERN_JOB "
                        f"POSTERN_EVENT={event} POSTERN_ACTION=quick | wc -l").stdout)


def counts(replies):
    """(jobs that ran, calls that were refused for want of an audit)"""
    ran = [reply for reply in replies if reply["parameters"].get("stdout") == "done\n"]
    refused = [reply for reply in replies if reply.get("error") == UNAVAILABLE]
    assert len(ran) + len(refused) == len(replies), replies[-1]
    return len(ran), len(refused)


def test_a_journal_that_stands_still(host, call):
    before = {event: entries(host, event) for event in ("job-started", "job-ended")}
    journald = host.property("systemd-journald.service", "MainPID")
    pid = host.property("posternd.service", "MainPID")
    total = 0
    # Its own watchdog would start another one, on a machine that is busy.
    host.run("systemctl", "service-watchdogs", "no")
    host.run("kill", "-STOP", journald)
    try:
        # First as ever; what can't be written waits, and so much may.
        ran, refused = counts(call(RUN, 20))
        assert (ran, refused) == (20, 0)
        total += ran
        for _ in range(20):
            ran, refused = counts(call(RUN, 50, 8))
            total += ran
            if refused:
                break
        # Then none is started, at once and with a clear answer; everything else goes on.
        assert counts(call(RUN, 5)) == (0, 5)
        done = host.run("posternctl", "run", "quick", user="member", check=False)
        assert (done.returncode, done.stdout) == (123, "")
        assert "its audit can't be written" in done.stderr
        assert [reply["parameters"] for reply in call(PING, 3)] == [{"pong": "x"}] * 3
        assert json.loads(host.run("posternctl", "--json", "status").stdout)["jobs"] == 0
    finally:
        host.run("kill", "-CONT", journald)
        host.run("systemctl", "service-watchdogs", "yes")
    # Nothing of what ran is missing; and jobs are started again, by the same guard.
    for event in ("job-started", "job-ended"):
        booted_host.wait_until(lambda: entries(host, event) == before[event] + total, 30, event)
    assert counts(call(RUN, 1)) == (1, 0)
    booted_host.wait_until(lambda: host.run(
        "journalctl", "--no-pager", "-o", "cat", "POSTERN_EVENT=records-lost").stdout, 10,
        "the number of refusals that were not recorded")
    assert host.property("posternd.service", "MainPID") == pid
    assert host.property("posternd.service", "NRestarts") == "0"


def test_nothing_is_lost_to_a_rate_limit(host, call):
    before = {event: entries(host, event) for event in ("job-started", "job-ended")}
    host.run("mkdir", "-p", "/run/systemd/journald.conf.d")
    host.write("/run/systemd/journald.conf.d/few.conf",
               "[Journal]\nRateLimitIntervalSec=1h\nRateLimitBurst=10\n")
    try:
        host.run("systemctl", "restart", "systemd-journald.service")
        assert counts(call(RUN, 40, 8)) == (320, 0)
        for event in ("job-started", "job-ended"):
            booted_host.wait_until(lambda: entries(host, event) == before[event] + 320, 30, event)
        suppressed = host.run("journalctl", "--no-pager", "-o", "cat", "-u", "systemd-journald")
        assert "from posternd.service" not in suppressed.stdout
    finally:
        host.run("rm", "/run/systemd/journald.conf.d/few.conf")
        host.run("systemctl", "restart", "systemd-journald.service")
