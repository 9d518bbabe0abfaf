"""Off means off: a socket that the administrator has stopped or not enabled stays closed, and what is said of it."""

import json
import re

import pytest

import booted_host
import conftest
import guard

pytestmark = pytest.mark.needs_root

MANUAL = (conftest.REPOSITORY / "packaging/man/posternd.8").read_text(encoding="utf-8").replace("\\-", "-")
SECTION = re.search(r"^\.SH SOCKET UNITS\n(.*?)^\.SH ", MANUAL, re.S | re.M).group(1)
# Each is a line of its own there.
CLOSE, OPEN, ENABLE_DATAGRAM, RESTART_DATAGRAM = (
    line.split() for line in re.findall(r"^systemctl .*$", SECTION, re.M))
CALLERS, ADMIN, DATAGRAM, DAEMON = UNITS = (
    "posternd.socket", "posternd-admin.socket", "posternd-datagram.socket", "posternd.service")
FOLDER = "/run/postern"
AUDIT = "/var/log/postern/audit.log"


@pytest.fixture(scope="module")
def machine(root, package):
    """A host of its own, as the package leaves it, with an action for a member of the group."""
    with conftest.booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as host:
        conftest.install(host, package)
        host.run("cp", "/usr/share/doc/postern/examples/hello.json", guard.ACTIONS)
        host.write(f"{guard.ACTIONS}/mine.json", json.dumps(
            {"summary": "Mine", "exec": ["/bin/echo", "mine"], "allow": [{"user": "member"}]}))
        host.run("useradd", "-G", "postern", "member")
        host.run("useradd", "stranger")
        yield host


@pytest.fixture
def opened(machine):
    """As after the installation; the daemon runs."""
    machine.run("systemctl", "disable", "--now", DATAGRAM)
    machine.run(*OPEN)
    wait_for(machine, CALLERS, ADMIN)
    assert hello(machine) == "Hi, g1\n"
    assert active(machine) == [CALLERS, ADMIN, DAEMON]
    return machine


def active(host):
    return [unit for unit in UNITS if host.property(unit, "ActiveState") == "active"]


def enabled(host):
    return [unit for unit in UNITS if host.property(unit, "UnitFileState") == "enabled"]


def wait_for(host, *units):
    """systemctl waits for the unit that it was told; others come and go with that one."""
    booted_host.wait_until(lambda: set(active(host)) - {DAEMON} == set(units), 20, f"active: {units}")


def hello(host, user="member"):
    return host.run("posternctl", "run", "hello", "name=g1", user=user, check=False).stdout


def exit_code(host, *words, user=None):
    return host.run(*words, user=user, check=False).returncode


def inode(host):
    return host.run("stat", "-c", "%i", FOLDER).stdout


def test_the_package_opens_it_to_callers_and_the_administrator(machine):
    assert enabled(machine) == active(machine) == [CALLERS, ADMIN]
    assert not machine.exists(f"{FOLDER}/postern.dgram")
    assert machine.property(CALLERS, "Description") == "Postern socket for callers"
    assert machine.property(ADMIN, "Description") == "Postern administrator's socket"
    assert machine.property(DATAGRAM, "Description") == "Postern datagram socket"
    assert machine.property(DAEMON, "Description") == "Postern privileged operations daemon"
    assert machine.property("postern-output.service", "Description") == "Postern output keeper"


def test_systemd_finds_nothing_wrong_in_the_units(machine):
    done = machine.run("systemd-analyze", "verify", "--man=no", *UNITS, "postern-output.service", check=False)
    assert [line for line in (done.stdout + done.stderr).splitlines() if "postern" in line] == []


def test_one_command_closes_all_of_it_and_nothing_opens_it_again(opened):
    before = inode(opened)
    opened.run(*CLOSE)
    wait_for(opened)
    assert active(opened) == enabled(opened) == []
    for words in (["status"], ["jobs", "--all"], ["reload"]):
        done = opened.run("posternctl", *words, check=False)
        assert (done.returncode, done.stdout) == (125, "")
        assert "/run/postern-admin/admin.sock: no such socket" in done.stderr
    for words in (["ping"], ["ping", "--datagram"], ["run", "mine"]):
        assert exit_code(opened, "posternctl", *words, user="member") == 125
    assert active(opened) == []
    opened.run(*OPEN)
    wait_for(opened, CALLERS, ADMIN)
    assert enabled(opened) == [CALLERS, ADMIN]
    assert hello(opened) == "Hi, g1\n"
    assert inode(opened) == before
    assert opened.failed_units() == ""


def test_without_a_socket_the_daemon_opens_none(opened):
    opened.run(*CLOSE)
    wait_for(opened)
    assert exit_code(opened, "systemctl", "start", DAEMON) != 0
    said = "no socket to listen on: start it through its socket unit (systemctl start posternd.socket)"
    booted_host.wait_until(lambda: said in opened.run(
        "journalctl", "--no-pager", "-u", DAEMON, "-n", "20", "-o", "cat").stdout, 20, said)
    assert active(opened) == [] and not opened.exists(f"{FOLDER}/postern.sock")
    # Once, and not every ten seconds.
    booted_host.wait_until(lambda: opened.property(DAEMON, "ActiveState") == "failed", 20, "it is given up")
    assert (opened.property(DAEMON, "ExecMainStatus"), opened.property(DAEMON, "NRestarts")) == ("3", "0")
    # What is open then starts it.
    opened.run(*OPEN)
    assert hello(opened) == "Hi, g1\n"
    assert opened.failed_units() == ""


def test_asking_for_the_status_does_not_let_callers_in(opened):
    opened.run(*CLOSE)
    wait_for(opened)
    opened.run("systemctl", "start", ADMIN)
    status = opened.run("posternctl", "status").stdout
    assert "/run/postern-admin/admin.sock (administrator); none for callers: posternd.socket is stopped\n" in status
    assert active(opened) == [ADMIN, DAEMON]
    assert exit_code(opened, "posternctl", "ping", user="member") == 125
    # systemd starts no socket of a service that runs; the command that a caller is told opens it.
    assert exit_code(opened, "systemctl", "start", CALLERS) != 0
    told = opened.run("posternctl", "ping", user="member", check=False).stderr
    opened.run(*re.search(r"(systemctl restart \S+), ", told).group(1).split())
    assert opened.run("posternctl", "ping", user="member").returncode == 0
    assert "none for callers" not in opened.run("posternctl", "status").stdout
    assert active(opened) == [CALLERS, ADMIN, DAEMON]


def test_a_socket_that_is_closed_is_not_served_any_more(opened):
    pid = opened.property(DAEMON, "MainPID")
    opened.run("systemctl", "stop", ADMIN)
    assert active(opened) == [CALLERS]
    assert hello(opened) == "Hi, g1\n"
    assert opened.property(DAEMON, "MainPID") not in (pid, "0")
    assert active(opened) == [CALLERS, DAEMON]
    opened.run("systemctl", "restart", ADMIN)
    assert opened.run("posternctl", "status").returncode == 0


def test_the_datagram_socket_is_open_only_where_it_was_enabled(opened):
    for _ in range(2):
        assert exit_code(opened, "posternctl", "ping", "--datagram", user="member") == 125
        opened.run("systemctl", "restart", DAEMON)
        assert hello(opened) == "Hi, g1\n"
    assert active(opened) == [CALLERS, ADMIN, DAEMON]
    assert exit_code(opened, "systemctl", "start", DATAGRAM) != 0
    opened.run(*ENABLE_DATAGRAM)
    opened.run(*RESTART_DATAGRAM)
    assert opened.run("posternctl", "ping", "--datagram", user="member").returncode == 0
    assert active(opened) == list(UNITS)
    # Closed with the callers' socket, which alone opens it again.
    opened.run(*CLOSE)
    wait_for(opened)
    assert exit_code(opened, "systemctl", "start", DATAGRAM) != 0
    assert active(opened) == []
    opened.run(*OPEN)
    wait_for(opened, CALLERS, ADMIN, DATAGRAM)
    assert opened.run("posternctl", "ping", "--datagram", user="member").returncode == 0
    opened.run("systemctl", "disable", "--now", DATAGRAM)
    for _ in range(2):
        assert hello(opened) == "Hi, g1\n"
        assert active(opened) == [CALLERS, ADMIN, DAEMON]
        assert exit_code(opened, "posternctl", "ping", "--datagram", user="member") == 125
        opened.run("systemctl", "restart", DAEMON)


def test_what_is_mounted_elsewhere_outlives_a_restart_of_the_sockets(opened):
    before = inode(opened)
    opened.run("mkdir", "-p", "/run/elsewhere")
    opened.run("mount", "--bind", FOLDER, "/run/elsewhere")
    try:
        ping = ("posternctl", "--socket", "/run/elsewhere/postern.sock", "ping")
        assert opened.run(*ping, user="member").returncode == 0
        opened.run("systemctl", "restart", CALLERS)
        assert opened.run(*ping, user="member").returncode == 0
        opened.run("systemctl", "stop", CALLERS)
        assert exit_code(opened, *ping, user="member") == 125
        opened.run("systemctl", "start", CALLERS)
        assert opened.run(*ping, user="member").returncode == 0
        assert inode(opened) == before
        assert opened.run("stat", "-c", "%a %U:%G", FOLDER).stdout == "755 root:root\n"
    finally:
        opened.run("umount", "/run/elsewhere")


@pytest.mark.parametrize("removed", [f"{FOLDER}/postern.sock", FOLDER])
def test_where_a_file_is_missing_the_advice_helps(opened, removed):
    opened.run("rm", "-r", removed)
    told = opened.run("posternctl", "ping", user="member", check=False)
    assert told.returncode == 125
    opened.run(*re.search(r"(systemctl restart \S+), ", told.stderr).group(1).split())
    assert opened.run("posternctl", "ping", user="member").returncode == 0
    assert opened.run("stat", "-c", "%a %U:%G", FOLDER).stdout == "755 root:root\n"


def test_a_socket_for_everybody_where_the_rules_decide(opened):
    done = opened.run("posternctl", "run", "hello", "name=g1", user="stranger", check=False)
    assert done.returncode == 125
    assert done.stderr.endswith("(for a service: SupplementaryGroups=postern in its unit)\n")
    drop_in = "/etc/systemd/system/posternd.socket.d"
    opened.run("mkdir", drop_in)
    opened.write(f"{drop_in}/override.conf", re.search(r"^\[Socket\]\n.*\n", SECTION, re.M).group(0))
    opened.run("systemctl", "daemon-reload")
    try:
        opened.run("systemctl", "restart", CALLERS)
        assert opened.run("stat", "-c", "%a", f"{FOLDER}/postern.sock").stdout == "666\n"
        assert hello(opened, user="stranger") == "Hi, g1\n"
        assert exit_code(opened, "posternctl", "run", "mine", user="stranger") == 126
        assert opened.run("posternctl", "run", "mine", user="member").stdout == "mine\n"
        nobody = opened.run("systemd-run", "-q", "--pipe", "--wait", "--collect", "--property=DynamicUser=yes",
                            "posternctl", "run", "hello", "name=x")
        assert nobody.stdout == "Hi, x\n"
    finally:
        opened.run("rm", "-r", drop_in)
        opened.run("systemctl", "daemon-reload")
        opened.run("systemctl", "restart", CALLERS)
    assert exit_code(opened, "posternctl", "ping", user="stranger") == 125


def test_the_audit_can_be_a_file_below_var_log(opened):
    opened.write(conftest.CONFIGURATION, json.dumps({"audit": AUDIT}))
    opened.run("systemctl", "restart", DAEMON)
    try:
        assert hello(opened) == "Hi, g1\n"
        assert opened.run("stat", "-c", "%a %U:%G", AUDIT).stdout == "600 root:root\n"
        assert opened.run("stat", "-c", "%a %U:%G", "/var/log/postern").stdout == "700 root:root\n"
        started = [entry for entry in map(json.loads, opened.run("cat", AUDIT).stdout.splitlines())
                   if entry["event"] == "job-started"]
        assert [entry["action"] for entry in started] == ["hello"]
        # As the package's own rule for rotating it.
        rule = opened.run("cat", "/etc/logrotate.d/postern").stdout
        assert f"\n{AUDIT} {{\n" in rule
        command = re.search(r"^ *(systemctl kill .*) 2>/dev/null", rule, re.M).group(1)
        opened.run("mv", AUDIT, f"{AUDIT}.1")
        opened.run(*command.split())
        booted_host.wait_until(lambda: opened.exists(AUDIT), 20, "the next file")
    finally:
        opened.run("rm", conftest.CONFIGURATION)
        opened.run("systemctl", "restart", DAEMON)
