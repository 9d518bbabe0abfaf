"""Who callers are on a real host, and rules that name their units."""

import json

import pytest

import booted_host
import guard
from jobs import records

pytestmark = pytest.mark.needs_root


def in_unit(host, *words, properties=(), unit=None, check=False):
    """Runs a command in a transient service of the system."""
    options = [f"--property={one}" for one in properties]
    if unit:
        options.append(f"--unit={unit}")
    return host.run("systemd-run", "-q", "--pipe", "--wait", "--collect", *options, *words, check=check)


def whoami(done):
    return json.loads(done.stdout)


WHOAMI = ("posternctl", "--json", "whoami")


@pytest.fixture(scope="module", autouse=True)
def loaded(host):
    host.write(f"{guard.ACTIONS}/ci.json", json.dumps(
        {"summary": "s", "exec": ["/usr/bin/id", "-u"], "allow": [{"unit": "ci-runner.service"}]}))
    host.write(f"{guard.ACTIONS}/notci.json", json.dumps(
        {"summary": "s", "exec": ["/usr/bin/id", "-u"], "allow": [{"group": "postern"}],
         "deny": [{"unit": "ci-runner.service"}]}))
    guard.restart(host)
    yield
    host.run("rm", f"{guard.ACTIONS}/ci.json", f"{guard.ACTIONS}/notci.json")
    guard.restart(host)


def log_in(host, *words):
    """Runs a command in a login session of the member."""
    return host.run("su", "member", "-c", " ".join(words))


def test_a_login_session(host):
    uid = int(host.run("id", "-u", "member").stdout)
    me = whoami(log_in(host, *WHOAMI))
    assert me["uid"] == uid and me["unit"].startswith("session-") and me["unit"].endswith(".scope")


def test_a_system_service(host):
    me = whoami(in_unit(host, *WHOAMI, unit="some.service", properties=["User=member"]))
    assert (me["uid"], me["unit"]) == (int(host.run("id", "-u", "member").stdout), "some.service")


def test_a_service_under_a_dynamic_user_without_privileges(host):
    properties = ["DynamicUser=yes", "NoNewPrivileges=yes", "SupplementaryGroups=postern"]
    me = whoami(in_unit(host, *WHOAMI, unit="ci-runner.service", properties=properties))
    group = int(host.run("sh", "-c", "getent group postern | cut -d: -f3").stdout)
    assert me["unit"] == "ci-runner.service" and group in me["groups"]
    assert 61184 <= me["uid"] <= 65519  # systemd's range of dynamic users
    # What sudo can't do here.
    done = in_unit(host, "posternctl", "run", "ci", unit="ci-runner.service", properties=properties)
    assert (done.returncode, done.stdout) == (0, "0\n")


def test_a_unit_of_the_users_own_manager_is_none_of_the_systems(host):
    uid = host.run("id", "-u", "member").stdout.strip()
    host.run("systemctl", "start", f"user@{uid}.service")
    in_own = ["env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "systemd-run", "--user", "-q", "--pipe",
              "--wait", "--collect", "--unit=ci-runner.service"]
    booted_host.wait_until(
        lambda: host.run(*in_own, "true", user="member", check=False).returncode == 0, 10,
        "the user's own manager")
    me = whoami(host.run(*in_own, *WHOAMI, user="member"))
    assert me["unit"] == f"user@{uid}.service"
    assert host.run(*in_own, "posternctl", "run", "ci", user="member", check=False).returncode == 126


def test_nested_user_and_pid_namespaces(host):
    me = whoami(log_in(host, "unshare", "-U", "-r", "-p", "-f", *WHOAMI))
    assert me["uid"] == int(host.run("id", "-u", "member").stdout)
    assert me["unit"].startswith("session-")


def test_rules_that_name_a_unit(host):
    assert host.run("posternctl", "run", "ci", user="member", check=False).returncode == 126
    assert log_in(host, "posternctl", "run", "notci").stdout == "0\n"
    # A process in no unit at all, as nsenter leaves it, might be anybody's.
    assert host.run("posternctl", "run", "notci", user="member", check=False).returncode == 126
    for action, code in (("ci", 0), ("notci", 126)):
        done = in_unit(host, "posternctl", "run", action, unit="ci-runner.service",
                       properties=["User=member"])
        assert done.returncode == code, done.stderr
        done = in_unit(host, "posternctl", "run", action, unit="ci-runner2.service",
                       properties=["User=member"])
        assert done.returncode == 126 - code, done.stderr


def test_callers_of_different_units_have_sessions_of_their_own(host):
    client = host.spawn("systemd-run", "-q", "--pipe", "--wait", "--collect", "--unit=ci-runner.service",
                        "--property=User=member", "sh", "-c",
                        "posternctl ping >/dev/null && pgrep -c postern-session")
    host.run("posternctl", "ping", user="member")
    out, err = client.communicate(timeout=150)
    assert client.returncode == 0, err
    assert host.run("posternctl", "ping", user="member").returncode == 0
    assert int(host.run("pgrep", "-c", "postern-session").stdout) >= 2


def test_the_audit_names_the_unit(host):
    in_unit(host, "posternctl", "run", "ci", unit="ci-runner.service", properties=["User=member"])
    found = booted_host.wait_until(
        lambda: host.run("journalctl", "--no-pager", "-o", "json", "POSTERN_UNIT=ci-runner.service",
                         "POSTERN_EVENT=job-started").stdout, 10, "the entry")
    assert json.loads(found.splitlines()[-1])["POSTERN_RULE"] == r'allow unit \"ci-runner.service\"'


def test_units_that_no_rule_names_share_one_session(host):
    guard.restart(host)
    uid = int(host.run("id", "-u", "member").stdout)
    for number in range(10):
        done = in_unit(host, "posternctl", "run", "notci", unit=f"worker{number}.service",
                       properties=["User=member"])
        assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    in_unit(host, "posternctl", "ping", unit="ci-runner.service", properties=["User=member"], check=True)
    callers = json.loads(host.run("posternctl", "--json", "status").stdout)["callers"]
    # One for all of them, and one for the unit that a rule names.
    assert sorted(caller.get("unit", "") for caller in callers if caller["uid"] == uid) == [
        "", "ci-runner.service"]


def test_a_unit_in_the_file_of_another_action_changes_nobodys_jobs(host, declare):
    declare(plain={"exec": ["/bin/true"]}, bound={"exec": ["/bin/true"], "deny": [{"unit": "x.service"}]})
    jobs = {}
    for action in ("plain", "bound"):
        done = in_unit(host, "posternctl", "run", action, unit="a.service", properties=["User=member"])
        assert done.returncode == 0, done.stderr
        jobs[action] = records(host, action)[-1]["job"]

    def found(action, unit):
        call = ["posternctl", "call", "org.postern.Jobs.Get", json.dumps({"job": jobs[action]})]
        done = in_unit(host, *call, unit=unit, properties=["User=member"])
        assert done.returncode == 0 or "NoSuchJob" in done.stdout + done.stderr, done.stderr
        return done.returncode == 0

    assert found("plain", "a.service") and found("plain", "b.service")
    assert found("bound", "a.service") and not found("bound", "b.service")
