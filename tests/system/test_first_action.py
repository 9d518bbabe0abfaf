"""What Postern is for, as the manual shows it: a group, and a service without privileges, restart nginx."""

import json
import re

import pytest

import conftest

pytestmark = pytest.mark.needs_root

PAGES = conftest.REPOSITORY / "packaging/man"
MANUAL = (PAGES / "postern-action.5").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def machine(root, package):
    """A host of its own, with something named nginx.service on it."""
    with conftest.booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as host:
        conftest.install(host, package)
        host.run("groupadd", "deploy")
        host.run("useradd", "--groups", "deploy,postern", "alice")
        host.run("useradd", "--groups", "postern", "bob")
        host.write("/etc/systemd/system/nginx.service",
                   "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep infinity\n")
        host.run("systemctl", "daemon-reload")
        # The manual's own example, and the group of the socket as well: a service has that one alone.
        text = re.search(r"^\.SH EXAMPLE\n\.EX\n(.*?)^\.EE", MANUAL, re.S | re.M).group(1)
        action = json.loads(text.replace("\\-", "-"))
        action["allow"].append({"unit": "ci-runner.service"})
        host.write("/root/web.restart.json", json.dumps(action))
        yield host


RUN = ("posternctl", "run", "web.restart", "service=nginx")


def test_it_is_put_in_force_and_the_first_call_starts_the_guard(machine):
    machine.run("systemctl", "enable", "--now", "posternd.socket")
    machine.run("sh", "-c", "cd /root && install -m 644 web.restart.json /etc/postern/actions.d/")
    assert machine.property("posternd.service", "ActiveState") == "inactive"
    done = machine.run(*RUN, user="alice")
    assert (done.stdout, done.stderr) == ("", "")
    assert machine.property("posternd.service", "ActiveState") == "active"
    assert machine.property("nginx.service", "ActiveState") == "active"


def test_it_restarts_each_time(machine):
    pids = set()
    for _ in range(3):
        machine.run(*RUN, user="alice")
        pids.add(machine.property("nginx.service", "MainPID"))
    assert len(pids) == 3 and "0" not in pids


def test_a_service_without_privileges_may_where_sudo_can_not(machine):
    before = machine.property("nginx.service", "MainPID")
    service = ("systemd-run", "-q", "--pipe", "--wait", "--collect", "--unit=ci-runner.service",
               "--property=DynamicUser=yes", "--property=NoNewPrivileges=yes",
               "--property=SupplementaryGroups=postern")
    done = machine.run(*service, *RUN)
    assert (done.stdout, done.stderr) == ("", "")
    assert machine.property("nginx.service", "MainPID") not in (before, "0")


def test_nothing_else_is_permitted_and_nobody_else(machine):
    before = machine.property("nginx.service", "MainPID")
    done = machine.run("posternctl", "run", "web.restart", "service=sshd", user="alice", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        122, "", 'posternctl: service: "sshd" is not one of nginx, php-fpm\n')
    done = machine.run(*RUN, user="bob", check=False)
    assert (done.returncode, done.stdout) == (126, "")
    assert '"web.restart" does not exist or is not granted to you' in done.stderr
    assert machine.property("nginx.service", "MainPID") == before


def masked(line):
    """Without what differs from run to run: job, uid, process and line."""
    return re.sub(r"(uid |pid |json:)\d+", r"\1N", re.sub(r"job [0-9a-f.]+", "job ID", line))


def test_the_journal_says_it_as_the_manual_shows(machine):
    text = re.search(r"^\.EX\n(job\\-started: .*?)^\.EE", (PAGES / "posternd.8").read_text(encoding="utf-8"),
                     re.S | re.M).group(1)
    # An entry is one line; the page breaks the first.
    shown = text.replace("\\-", "-").replace(",\n    ", ", ").splitlines()
    assert [line.partition(":")[0] for line in shown] == ["job-started", "job-ended"]
    machine.run("systemd-run", "-q", "--pipe", "--wait", "--collect", "--unit=ci-runner.service",
                "--property=User=alice", *RUN)

    def said():
        return machine.run("journalctl", "--no-pager", "-o", "cat", "POSTERN_UNIT=ci-runner.service",
                           "POSTERN_USER=alice", "POSTERN_ACTION=web.restart").stdout.splitlines()

    conftest.booted_host.wait_until(lambda: len(said()) == 2, 10, "both entries")
    assert [masked(line) for line in said()] == [masked(line) for line in shown]
