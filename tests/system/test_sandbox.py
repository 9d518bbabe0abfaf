"""The sandbox of guard and sessions under the shipped units."""

import re

import pytest

from booted_host import wait_until

pytestmark = pytest.mark.needs_root

# What systemd-analyze security says of the service: at most this, of 10.
MOST_EXPOSED = {"bookworm": 2.1, "trixie": 2.0}
SETUID_SETGID_KILL = "00000000000000e0"
SYS_CHROOT = "0000000000040000"


def status(host, name):
    """/proc/PID/status of the one process of this name, as a dict."""
    pid = host.run("pgrep", "-x", name).stdout.split()[0]
    lines = host.run("cat", f"/proc/{pid}/status").stdout.splitlines()
    return dict(re.split(r":\s*", line, maxsplit=1) for line in lines)


def test_the_exposure(host, suite):
    said = host.run("systemd-analyze", "--no-pager", "security", "posternd.service").stdout
    level = float(re.search(r"Overall exposure level for posternd.service: ([0-9.]+)", said).group(1))
    assert level <= MOST_EXPOSED[suite]
    assert host.property("posternd.service", "PrivateUsers") == "no"


def test_the_guard_has_three_capabilities(host):
    assert host.run("posternctl", "ping", user="member").returncode == 0
    guard = status(host, "posternd")
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert guard[kind] == SETUID_SETGID_KILL, kind
    assert (guard["CapAmb"], guard["NoNewPrivs"], guard["Seccomp"]) == ("0" * 16, "1", "2")


def test_a_session_has_none(host):
    assert host.run("posternctl", "ping", user="member").returncode == 0
    session = status(host, "postern-session")
    uid = host.run("id", "-u", "postern-session").stdout.strip()
    assert session["Uid"].split() == [uid] * 4 and session["Groups"].strip() == ""
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert session[kind] == "0" * 16, kind
    # The guard has no CAP_SETPCAP to empty it with; under NoNewPrivileges it is of no use.
    assert session["CapBnd"] == SETUID_SETGID_KILL
    assert (session["NoNewPrivs"], session["Seccomp"]) == ("1", "2")


def test_the_keeper_of_output_has_nothing_at_all(host):
    assert host.run("posternctl", "ping", user="member").returncode == 0
    keeper = status(host, "postern-output")
    uid = host.run("id", "-u", "postern-output").stdout.strip()
    assert keeper["Uid"].split() == [uid] * 4
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert keeper[kind] == "0" * 16, kind
    # It was for the change of the root directory.
    assert keeper["CapBnd"] == SYS_CHROOT
    assert (keeper["NoNewPrivs"], keeper["Seccomp"]) == ("1", "2")
    assert host.run("ls", "-A", f"/proc/{keeper['Pid']}/root/").stdout == ""
    said = host.run("systemd-analyze", "--no-pager", "security", "postern-output.service").stdout
    level = re.search(r"Overall exposure level for postern-output.service: ([0-9.]+)", said).group(1)
    assert float(level) <= 0.8


def test_the_keeper_of_output_outlives_the_daemon_and_comes_again(host):
    def keeper():
        return host.property("postern-output.service", "MainPID")
    assert host.run("posternctl", "ping", user="member").returncode == 0
    first = keeper()
    host.run("systemctl", "restart", "posternd.service")
    assert keeper() == first
    host.run("systemctl", "stop", "posternd.service")
    assert keeper() == first
    host.run("kill", "-KILL", first)
    wait_until(lambda: keeper() not in ("0", first), 30, "a new keeper")
    wait_until(lambda: host.property("postern-output.service", "ActiveState") == "active", 30, "it runs")
    assert host.failed_units() == ""
    # No key of the unit is unknown to this systemd.
    said = host.run("journalctl", "--no-pager", "-u", "postern-output.service").stdout
    assert "Unknown key" not in said


def test_a_job_has_none_of_the_guards_sandbox(host):
    host.write("/etc/postern/actions.d/free.json",
               '{"summary": "s", "exec": ["/bin/sh", "-c", "grep -hE \\"NoNew|Seccomp_f\\" '
               '/proc/self/status /proc/1/status; echo x >/etc/written && cat /etc/written; ls -d /sys/fs/cgroup"],'
               ' "allow": [{"group": "postern"}]}')
    host.run("systemctl", "restart", "posternd.service")
    done = host.run("posternctl", "run", "free", user="member")
    lines = done.stdout.splitlines()
    # As PID 1 itself: the container has filters of its own.
    assert lines[:2] == lines[2:4] and lines[0].split() == ["NoNewPrivs:", "0"]
    assert lines[4:] == ["x", "/sys/fs/cgroup"]
    host.run("rm", "/etc/postern/actions.d/free.json", "/etc/written")
