"""The installed guard of a booted host."""

ACTIONS = "/etc/postern/actions.d"


def restart(host):
    """It loads the action files, and is ready when this returns."""
    host.run("systemctl", "restart", "posternd.service")


def stop(host):
    """Back to how it is before the first call: the socket waits, the guard does not run."""
    host.run("systemctl", "stop", "posternd.service")
    host.run("systemctl", "start", "posternd.socket")
    assert host.property("posternd.service", "ActiveState") == "inactive"


def until_it_left(host, script, calls):
    """Runs `script`, which makes so many calls, until it has left a tenth as often meanwhile.

    On a machine that is busy it leaves more rarely, since the calls come later.
    """
    before = times_it_left(host)
    for _ in range(10):
        done = host.run("bash", "-c", script, user="member", timeout=600)
        assert (done.stdout, done.stderr) == ("", "")
        if times_it_left(host) - before > calls // 10:
            return
    raise AssertionError(f"it left {times_it_left(host) - before} times in {10 * calls} calls")


def times_it_left(host):
    """How often it has ended because there was nothing to do."""
    said = host.run("journalctl", "--no-pager", "-o", "cat", "-u", "posternd.service").stdout
    return said.count("nothing to do: exiting")
