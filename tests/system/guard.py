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


def times_it_left(host):
    """How often it has ended because there was nothing to do."""
    said = host.run("journalctl", "--no-pager", "-o", "cat", "-u", "posternd.service").stdout
    return said.count("nothing to do: leaving")
