"""A daemon that can't start, as an administrator and a caller of a real host see it."""

import pytest

import booted_host
import guard
from jobs import WAITS

pytestmark = pytest.mark.needs_root

CONFIGURATION = "/etc/postern/posternd.json"


def test_a_broken_configuration_is_tried_again_and_callers_wait(host):
    assert host.property("posternd.service", "RestartUSec") == "10s"
    guard.stop(host)
    host.write(CONFIGURATION, "{ broken")
    try:
        called = host.run("sh", "-c", "posternctl ping; echo $?", user="member", check=False)
        assert WAITS in called.stderr
        assert called.stderr.count("waiting for the daemon") == 1
        assert called.stdout == "125\n", called
        # Some three in the thirty seconds that posternctl waits.
        assert 1 <= int(host.property("posternd.service", "NRestarts")) <= 5
        assert host.property("posternd.socket", "ActiveState") == "active"
        # The command that the message names has the reason.
        shows_why = WAITS.rsplit(": ", 1)[1].split()
        assert f"{CONFIGURATION}:1:3: " in host.run(*shows_why, "-b", "-o", "cat").stdout
    finally:
        host.run("rm", CONFIGURATION)
    # Nothing has to be restarted.
    booted_host.wait_until(
        lambda: host.run("posternctl", "ping", user="member", check=False).returncode == 0, 60, "it answers")
    host.run("systemctl", "reset-failed")


def test_a_read_only_state_directory(host):
    host.run("posternctl", "ping", user="member")  # by which the directory is made
    guard.stop(host)
    host.run("mount", "-t", "tmpfs", "-o", "mode=0700", "none", "/var/lib/postern")
    host.run("mount", "-o", "remount,ro", "/var/lib/postern")
    try:
        assert host.run("posternctl", "ping", user="member").returncode == 0
        assert host.run("posternctl", "run", "hello", "name=x", user="member", check=False).returncode == 123
        assert "Read-only file system" in host.run("posternctl", "status").stdout
        # A mount that was read-only when the unit's own view of the files was made stays so in there.
        host.run("mount", "-o", "remount,rw", "/var/lib/postern")
        host.run("systemctl", "restart", "posternd.service")
        booted_host.wait_until(
            lambda: host.run("posternctl", "run", "hello", "name=x", user="member",
                             check=False).returncode == 0, 60, "jobs are started")
    finally:
        guard.stop(host)
        host.run("umount", "/var/lib/postern")
