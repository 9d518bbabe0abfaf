"""The machine, or a user's own manager, shuts down while a job runs: the job ends first, and its record says how."""

import json

import pytest

import booted_host
import conftest
import guard

pytestmark = pytest.mark.needs_root

# Ends in a way of its own when it is asked to, with a last line.
LAST_WORDS = ("trap 'echo asked; sleep 0.3; echo ends; exit 3' TERM; echo begins; "
              "while :; do sleep 0.1; done")
ACTION = {"summary": "Speaks last", "exec": ["/bin/sh", "-c", LAST_WORDS]}


def stops_with(state, manager=""):
    """A drop-in of posternd.service: which jobs are still active when it is to stop, and then it has a moment to
    write down how the last one ended (a daemon that is told to stop waits for none)."""
    return (f"[Service]\nExecStop=/bin/sh -c \"systemctl {manager} list-units --plain --no-legend 'postern-job-*' "
            f">{state}/active; for i in `seq 100`; do grep -q ended {state}/jobs/*/record.json && break; "
            "sleep 0.1; done\"\n")


def expect_the_whole_end(state):
    """One job, which was not active any more, with how it ended and all that it wrote."""
    assert (state / "active").read_text(encoding="ascii") == ""
    [job] = (state / "jobs").iterdir()
    record = json.loads((job / "record.json").read_text(encoding="utf-8"))
    assert (record["state"], record["result"]["outcome"], record["result"]["status"]) == ("ended", "exited", 3)
    assert (job / "stdout").read_text(encoding="ascii") == "begins\nasked\nends\n"


def test_of_the_machine(root, package, tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with booted_host.BootedHost(root, binds=[(package.parent, "/packages")],
                                keeps=[(state, "/var/lib/postern")]) as machine:
        conftest.install(machine, package)
        machine.write(f"{guard.ACTIONS}/last.json", json.dumps({**ACTION, "allow": [{"user": "root"}]}))
        folder = "/run/systemd/system/posternd.service.d"
        machine.run("mkdir", "-p", folder)
        machine.write(f"{folder}/stop.conf", stops_with("/var/lib/postern"))
        machine.run("systemctl", "daemon-reload")
        job = machine.run("posternctl", "run", "--detach", "last").stdout.strip()
        booted_host.wait_until(
            lambda: machine.property(f"postern-job-{job}.service", "SubState") == "running", 30, "the job runs")
        booted_host.wait_until(lambda: (state / "jobs" / job / "stdout").read_text() == "begins\n", 30, "its output")
        assert {"posternd.service", "postern-output.service"} <= set(machine.property("postern.slice", "After").split())
    expect_the_whole_end(state)


def test_of_a_users_own_manager(host, tmp_path):
    host.run("useradd", "--create-home", "leaver")
    uid = host.run("id", "-u", "leaver").stdout.strip()
    folder = "/home/leaver/.config/postern/actions.d"
    host.run("install", "-d", "-o", "leaver", "-g", "leaver", "/home/leaver/.config", "/home/leaver/.config/postern",
             folder)
    host.write(f"{folder}/last.json", json.dumps({**ACTION, "allow": [{"user": "leaver"}]}))
    host.run("chown", "leaver:", f"{folder}/last.json")
    units = "/home/leaver/.config/systemd/user/posternd.service.d"
    state = "/home/leaver/.local/state/postern"
    host.run("mkdir", "-p", units)
    host.write(f"{units}/stop.conf", stops_with(state, "--user"))
    host.run("chown", "-R", "leaver:", "/home/leaver/.config")
    host.run("systemctl", "start", f"user@{uid}.service")

    def own(*words):
        return host.run("env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "HOME=/home/leaver", *words, user="leaver").stdout

    own("systemctl", "--user", "enable", "--now", "posternd.socket")
    job = own("posternctl", "--user", "run", "--detach", "last").strip()
    booted_host.wait_until(
        lambda: own("systemctl", "--user", "show", "--value", "-p", "SubState",
                    f"postern-job-{job}.service") == "running\n", 30, "the job runs")
    stdout = f"{state}/jobs/{job}/stdout"
    booted_host.wait_until(lambda: host.run("cat", stdout).stdout == "begins\n", 30, "its output")
    host.run("systemctl", "stop", f"user@{uid}.service")
    for name in ("active", f"jobs/{job}/record.json", f"jobs/{job}/stdout"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(host.run("cat", f"{state}/{name}").stdout, encoding="utf-8")
    expect_the_whole_end(tmp_path)
    host.run("userdel", "--remove", "leaver")
