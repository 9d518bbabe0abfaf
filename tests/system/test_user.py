"""A user's own guard, by the shipped user units, with the user's own manager as supervisor."""

import json

import pytest

import booted_host

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def own(host):
    """own(WORDS...) runs a command as a user whose own manager runs and who has an action."""
    host.run("useradd", "--create-home", "selfish")
    uid = host.run("id", "-u", "selfish").stdout.strip()
    host.run("systemctl", "start", f"user@{uid}.service")
    folder = "/home/selfish/.config/postern/actions.d"
    host.run("install", "-d", "-o", "selfish", "-g", "selfish", "/home/selfish/.config",
             "/home/selfish/.config/postern", folder)
    host.write(f"{folder}/mine.json", json.dumps(
        {"summary": "Mine", "exec": ["/bin/sh", "-c", "id -u; cat /proc/self/cgroup; ulimit -n"],
         "allow": [{"user": "selfish"}], "sandbox": {"LimitNOFILE": 123}}))
    host.run("chown", "selfish:", f"{folder}/mine.json")

    def run(*words, check=True):
        return host.run("env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "HOME=/home/selfish", *words,
                        user="selfish", check=check)

    run.uid = uid
    booted_host.wait_until(
        lambda: run("systemctl", "--user", "is-system-running", check=False).stdout.strip()
        in ("running", "degraded"), 10, "the user's own manager")
    run("systemctl", "--user", "enable", "--now", "posternd.socket")
    run("systemctl", "--user", "enable", "--now", "posternd-datagram.socket")
    yield run
    run("systemctl", "--user", "stop", "posternd.socket", "posternd-admin.socket",
        "posternd-datagram.socket", "posternd.service", "postern-output.service")
    host.run("systemctl", "stop", f"user@{uid}.service")


def test_it_is_enabled_for_who_asked_for_it_alone(own, host):
    for unit in ("posternd.socket", "posternd-admin.socket", "posternd-datagram.socket"):
        assert own("systemctl", "--user", "is-enabled", unit).stdout == "enabled\n"
        everyones = host.run("systemctl", "--global", "is-enabled", unit, check=False)
        assert everyones.stdout == "disabled\n"


def test_the_doors_are_the_users_alone(own):
    folder = f"/run/user/{own.uid}"
    for path, mode in (("postern", "700"), ("postern/postern.sock", "600"),
                       ("postern/postern.dgram", "600"),
                       ("postern-admin", "700"), ("postern-admin/admin.sock", "600")):
        assert own("stat", "-c", "%a %U", f"{folder}/{path}").stdout == f"{mode} selfish\n", path


def test_a_job_is_a_unit_of_the_users_own_manager(own):
    done = own("posternctl", "--user", "run", "mine")
    lines = done.stdout.splitlines()
    assert lines[0] == own.uid and lines[-1] == "123"
    [cgroup] = [line for line in lines if line.startswith("0::")]
    assert f"/user@{own.uid}.service/" in cgroup
    assert "/postern.slice/postern-job-" in cgroup


def test_its_keeper_of_output_runs_as_the_user(own):
    own("posternctl", "--user", "ping")
    state = own("systemctl", "--user", "show", "--value", "-p", "ActiveState", "postern-output.service")
    assert state.stdout == "active\n"
    folder = f"/run/user/{own.uid}/postern-output"
    assert own("stat", "-c", "%a %U", folder, f"{folder}/socket").stdout == "700 selfish\n660 selfish\n"
    own("systemctl", "--user", "kill", "-s", "KILL", "postern-output.service")
    booted_host.wait_until(
        lambda: own("systemctl", "--user", "show", "--value", "-p", "NRestarts", "-p", "ActiveState",
                    "postern-output.service").stdout.split() in (["active", "1"], ["1", "active"]), 30,
        "a new keeper")


def test_packets_come_too(own):
    assert own("posternctl", "--user", "ping", "--datagram").returncode == 0
    who = json.loads(own("posternctl", "--user", "--json", "whoami", "--datagram").stdout)
    assert who["uid"] == int(own.uid)


def test_the_administrator_is_the_user(own):
    status = json.loads(own("posternctl", "--user", "--json", "status").stdout)
    assert status["supervision"] == "systemd" and status["actions"] == 1
    assert own("stat", "-c", "%a", f"/run/user/{own.uid}/posternd").stdout == "700\n"


def test_a_reload_puts_in_force_what_changed_and_fails_where_a_file_is_bad(own, host):
    folder = "/home/selfish/.config/postern/actions.d"
    own("posternctl", "--user", "ping")  # it runs
    host.write(f"{folder}/later.json", json.dumps(
        {"summary": "Later", "exec": ["/bin/echo", "now"], "allow": [{"user": "selfish"}]}))
    host.run("chown", "selfish:", f"{folder}/later.json")
    own("systemctl", "--user", "reload", "posternd.service")
    assert own("posternctl", "--user", "run", "later").stdout == "now\n"
    host.write(f"{folder}/later.json", "{}")
    assert own("systemctl", "--user", "reload", "posternd.service", check=False).returncode != 0
    assert own("posternctl", "--user", "run", "later", check=False).returncode == 126
    host.run("rm", f"{folder}/later.json")
    own("systemctl", "--user", "reload", "posternd.service")
    assert own("systemctl", "--user", "is-active", "posternd.service").stdout == "active\n"


def test_nobody_else_is_served(own, host):
    done = host.run("posternctl", "--socket", f"/run/user/{own.uid}/postern/postern.sock", "ping",
                    check=False)
    assert (done.returncode, done.stdout) == (125, "")
    booted_host.wait_until(lambda: host.run(
        "journalctl", "--no-pager", "-o", "cat", f"_UID={own.uid}",
        "POSTERN_EVENT=connection-refused").stdout != "", 10, "the refusal in the journal")


def test_closed_is_closed(own):
    def states():
        shown = own("systemctl", "--user", "show", "--value", "-p", "ActiveState", "posternd.socket",
                    "posternd-admin.socket", "posternd-datagram.socket").stdout
        return shown.split()

    own("posternctl", "--user", "ping")
    own("systemctl", "--user", "disable", "--now", "posternd.socket")
    booted_host.wait_until(lambda: states() == ["inactive"] * 3, 20, "all are closed")
    service = own("systemctl", "--user", "is-active", "posternd.service", check=False)
    assert service.stdout == "inactive\n"
    assert own("posternctl", "--user", "status", check=False).returncode == 125
    # Without its sockets the service does not make some by itself.
    assert own("systemctl", "--user", "start", "posternd.service", check=False).returncode != 0
    assert own("posternctl", "--user", "ping", check=False).returncode == 125
    assert states() == ["inactive"] * 3
    own("systemctl", "--user", "stop", "posternd.service")
    own("systemctl", "--user", "enable", "--now", "posternd.socket")
    booted_host.wait_until(lambda: states() == ["active"] * 3, 20, "all are open")
    assert own("posternctl", "--user", "ping").returncode == 0
