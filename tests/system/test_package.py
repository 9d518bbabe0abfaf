"""The real package on a really booted Debian: from its installation until it is purged."""

import json
import re
import subprocess

import pytest

import booted_host
import build_deb
import guard
import removal
from conftest import HELLO, REPOSITORY, install

pytestmark = pytest.mark.needs_root

SOCKET = "/run/postern/postern.sock"
ADMIN_SOCKET = "/run/postern-admin/admin.sock"


def state(host, unit):
    return host.property(unit, "ActiveState")


def hello(host, user="member"):
    return host.run("posternctl", "run", "hello", "name=g1", user=user, check=False)


def audit(host, **match):
    """The journal's entries of the guard with these fields."""
    words = [f"{key}={value}" for key, value in match.items()]
    lines = host.run("journalctl", "--no-pager", "-o", "json", "-u", "posternd.service", *words)
    return [json.loads(line) for line in lines.stdout.splitlines()]


def test_the_package_enables_the_socket(package, tmp_path):
    subprocess.run(["dpkg-deb", "-e", package, tmp_path], check=True)
    postinst = (tmp_path / "postinst").read_text()
    assert "deb-systemd-helper enable 'posternd.socket'" in postinst
    assert "deb-systemd-helper enable 'posternd-admin.socket'" in postinst
    # Only where an older package had enabled it, and it still is.
    assert re.search(r"debian-installed 'posternd-datagram.socket'; then\n.*?was-enabled 'posternd-datagram.socket'; "
                     r"then\n[^\n]*\n\t\t\tdeb-systemd-helper enable 'posternd-datagram.socket'", postinst, re.S)
    assert postinst.count("deb-systemd-helper enable 'posternd-datagram.socket'") == 1
    assert re.search(r"deb-systemd-invoke start .*'posternd.socket'", postinst)
    assert not re.search(r"deb-systemd-invoke .*'posternd-datagram.socket'", postinst)
    assert "deb-systemd-invoke try-restart 'posternd.service'" in postinst
    assert "systemd-sysusers" in postinst


def test_right_after_the_installation_the_socket_waits(fresh_host, package):
    install(fresh_host, package)
    assert fresh_host.property("posternd.socket", "UnitFileState") == "enabled"
    assert state(fresh_host, "posternd.socket") == "active"
    assert state(fresh_host, "posternd.service") == "inactive"
    assert fresh_host.failed_units() == ""


def test_the_session_user_is_nobody_of_note(host):
    passwd = host.run("getent", "passwd", "postern-session").stdout.strip().split(":")
    assert passwd[5:] == ["/", "/usr/sbin/nologin"]
    assert host.run("id", "-nG", "postern-session").stdout.split() == ["postern-session"]


def test_the_socket_file_is_there_and_the_doors_mode_is_exact(host):
    stat = host.run("stat", "-c", "%F %a %U:%G %s", SOCKET).stdout.strip()
    assert stat == "socket 660 root:postern 0"
    assert host.run("stat", "-c", "%a %U:%G", "/run/postern").stdout.strip() == "755 root:root"
    listening = host.run("ss", "-xlH", "src", SOCKET).stdout
    assert SOCKET in listening


def test_the_schema_and_lint_are_there(host):
    schema = json.loads(host.run("cat", "/usr/share/postern/action.schema.json").stdout)
    assert schema["title"] == "Postern action"
    done = host.run("posternctl", "lint", "/etc/postern/actions.d/hello.json", user="member")
    assert done.stdout == "1 file is good\n"


def test_completions_run_the_program_of_the_package(host):
    for path in ("bash-completion/completions/posternctl", "zsh/vendor-completions/_posternctl",
                 "fish/vendor_completions.d/posternctl.fish"):
        assert "/usr/bin/posternctl complete -" in host.run("cat", f"/usr/share/{path}").stdout


def test_a_members_call_wakes_the_guard(host):
    guard.stop(host)
    done = hello(host)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hi, g1\n", "")
    assert state(host, "posternd.service") == "active"
    # It said READY itself: systemd counted it as started only then.
    assert host.property("posternd.service", "Type") == "notify"
    assert host.property("posternd.service", "NotifyAccess") == "main"
    assert host.property("posternd.service", "SubState") == "running"
    assert host.property("posternd.service", "NRestarts") == "0"
    assert host.failed_units() == ""


def test_nobody_else_gets_through_the_door(host):
    done = hello(host, user="stranger")
    assert done.returncode == 125
    assert done.stdout == ""
    assert SOCKET in done.stderr
    assert "postern" in done.stderr.replace(SOCKET, "") and len(done.stderr.splitlines()) == 1


def test_the_audit_is_in_the_journal(host):
    assert hello(host).returncode == 0

    def entries():
        return audit(host, POSTERN_ACTION="hello", POSTERN_EVENT="job-started")

    found = booted_host.wait_until(entries, 10, "an audit entry in the journal")
    uid = host.run("id", "-u", "member").stdout.strip()
    assert found[-1]["POSTERN_UID"] == uid
    assert len(found[-1]["POSTERN_JOB"]) == 32


def test_the_journal_explains_and_finds(host):
    assert hello(host).returncode == 0
    assert host.run("posternctl", "run", "nowhere", user="member", check=False).returncode == 126

    def explained():
        text = host.run("journalctl", "--no-pager", "-x", "POSTERN_ACTION=nowhere").stdout
        return text if "Subject: A call was denied" in text else None

    text = booted_host.wait_until(explained, 10, "the denial in the journal")
    assert re.search(r"^uid 1000 \(pid \d+\) asked for the action nowhere; the call was denied:$", text.replace("░░ ", ""), re.M)
    assert "Documentation: man:posternd(8)" in text
    assert host.property("posternd.service", "LogRateLimitBurst") == "1000000"


def test_a_reload_puts_new_files_in_force(host):
    assert hello(host).returncode == 0
    pid = host.property("posternd.service", "MainPID")
    denied = host.run("posternctl", "run", "later", user="member", check=False)
    assert denied.returncode == 126
    host.write("/etc/postern/actions.d/later.json", json.dumps({
        "summary": "Declared later", "exec": ["/usr/bin/echo", "now"],
        "allow": [{"group": "postern"}]}))
    host.run("systemctl", "reload", "posternd.service")
    # It returned when the new set was in force.
    done = host.run("posternctl", "run", "later", user="member", check=False)
    assert (done.returncode, done.stdout) == (0, "now\n")
    host.run("rm", "/etc/postern/actions.d/later.json")
    host.run("systemctl", "reload", "posternd.service")
    denied = host.run("posternctl", "run", "later", user="member", check=False)
    assert denied.returncode == 126
    assert host.property("posternd.service", "MainPID") == pid
    assert state(host, "posternd.service") == "active"


def test_a_reload_fails_where_a_file_is_bad_and_names_it(host):
    assert hello(host).returncode == 0
    host.write("/etc/postern/actions.d/misspelt.json", '{"summary": "s", "exec": ["/bin/true"], '
               '"allow": [],\n "sumary": 1}')
    done = host.run("systemctl", "reload", "posternd.service", check=False)
    assert done.returncode != 0
    booted_host.wait_until(lambda: "misspelt.json:2:2: sumary: unknown key" in host.run(
        "journalctl", "--no-pager", "-n", "20", "-u", "posternd.service").stdout, 10, "the reason")
    [entry] = booted_host.wait_until(lambda: audit(host, POSTERN_ACTION="misspelt"), 10, "its entry")
    assert (entry["POSTERN_EVENT"], entry["PRIORITY"]) == ("action-off", "3")
    assert entry["POSTERN_PLACE"] == "/etc/postern/actions.d/misspelt.json"
    explained = host.run("journalctl", "--no-pager", "-x", "POSTERN_ACTION=misspelt").stdout
    assert "Subject: An action is not loaded" in explained
    # It runs on, with everything else in force.
    assert state(host, "posternd.service") == "active"
    assert hello(host).stdout == "Hi, g1\n"
    host.run("rm", "/etc/postern/actions.d/misspelt.json")
    host.run("systemctl", "reload", "posternd.service")


def test_the_administrators_socket(host):
    stat = host.run("stat", "-c", "%F %a %U:%G", ADMIN_SOCKET).stdout.strip()
    assert stat == "socket 600 root:root"
    assert host.run("stat", "-c", "%a %U:%G", "/run/postern-admin").stdout.strip() == "700 root:root"
    assert host.run("stat", "-c", "%a %U:%G", "/run/posternd").stdout.strip() == "700 root:root"
    status = json.loads(host.run("posternctl", "--json", "status").stdout)
    assert status["supervision"] == "systemd"
    assert {"path": ADMIN_SOCKET, "kind": "stream", "administrator": True} in status["sockets"]
    assert {"path": SOCKET, "kind": "stream", "administrator": False} in status["sockets"]
    denied = host.run("posternctl", "status", user="member", check=False)
    assert denied.returncode == 125 and ADMIN_SOCKET in denied.stderr
    # It alone wakes the guard as well.
    guard.stop(host)
    assert host.run("posternctl", "reload").stdout == "1 action is loaded, 0 files are bad\n"
    assert hello(host).stdout == "Hi, g1\n"


def test_a_restart_keeps_the_socket(host):
    assert hello(host).returncode == 0
    inode = host.run("stat", "-c", "%i", SOCKET).stdout
    pid = host.property("posternd.service", "MainPID")
    host.run("systemctl", "restart", "posternd.service")
    assert host.property("posternd.service", "MainPID") != pid
    assert host.run("stat", "-c", "%i", SOCKET).stdout == inode
    assert hello(host).stdout == "Hi, g1\n"


def test_a_reinstallation_restarts_the_guard_and_keeps_socket_and_configuration(host, configure, package):
    configure({"limits": {"jobsPerUser": 7}})
    host.run("sh", "-c", "echo '# mine' >>/etc/logrotate.d/postern")
    files = ("cat", "/etc/postern/posternd.json", "/etc/postern/actions.d/hello.json", "/etc/logrotate.d/postern")
    before = host.run(*files).stdout
    assert hello(host).returncode == 0
    inode = host.run("stat", "-c", "%i", SOCKET).stdout
    pid = host.property("posternd.service", "MainPID")
    install(host, package)
    assert host.run(*files).stdout == before
    assert host.property("posternd.service", "MainPID") not in (pid, "0")
    assert host.run("stat", "-c", "%i", SOCKET).stdout == inode
    assert hello(host).stdout == "Hi, g1\n"


def assert_still_said(host, job, before):
    """What the version before said of a job this one says as well, and more."""
    [reply] = call(host, "Jobs.Get", {"job": job})
    [earlier] = before
    now, then = reply["parameters"]["job"], earlier["parameters"]["job"]
    assert then == {name: now[name] for name in then}
    assert now["uid"] == 1000


@pytest.mark.long
def test_an_upgrade_keeps_jobs_and_what_the_administrator_set(host_before, suite, package):
    host = host_before
    host.run("dpkg", "-i", "/before.deb")
    assert package_version(host) == build_deb.VERSION_BEFORE
    host.run("useradd", "member")
    host.run("usermod", "-a", "-G", "postern", "member")
    for name, script in {"once": "echo x >>/run/count; echo done; echo careful >&2; exit 3",
                         "long": "echo began; while [ ! -e /run/go ]; do sleep 0.1; done; echo over; "
                                 "echo late >&2; exit 7"}.items():
        host.write(f"/etc/postern/actions.d/{name}.json", json.dumps(
            {"summary": name, "exec": ["/bin/sh", "-c", script], "allow": [{"group": "postern"}]}))
    # In the spelling of the version before, which this one still reads.
    configuration = '{ "limits": { "jobs-per-uid": 1 } }\n'
    host.write("/etc/postern/posternd.json", configuration)
    host.run("systemctl", "disable", "posternd-datagram.socket")
    host.run("systemctl", "mask", "--now", "posternd-admin.socket")
    enabled = {"posternd.socket": "enabled", "posternd-admin.socket": "masked",
               "posternd-datagram.socket": "disabled"}
    assert {name: host.property(name, "UnitFileState") for name in enabled} == enabled

    once = {"action": "once", "key": "upgrade:1"}
    job = call(host, "Actions.Run", once)[0]["parameters"]["job"]
    said = call(host, "Jobs.Follow", {"job": job})
    assert said[1]["parameters"] == {"job": job, "stdout": "done\n", "stderr": "careful\n"}
    assert said[-1]["parameters"]["result"]["exitCode"] == 3
    found = call(host, "Jobs.Get", {"job": job})
    client = host.spawn("posternctl", "run", "long", user="member")
    assert client.stdout.readline() == "began\n"
    [long_job] = {*host.run("ls", "/var/lib/postern/jobs").stdout.split()} - {job}
    unit = f"postern-job-{long_job}.service"
    running = call(host, "Jobs.Get", {"job": long_job})
    assert running[0]["parameters"]["job"]["state"] == "running"
    pids = [host.property(name, "MainPID") for name in (unit, "posternd.service")]

    install(host, package)
    assert package_version(host) == build_deb.package_version(suite)
    assert host.property(unit, "MainPID") == pids[0]
    assert host.property("posternd.service", "MainPID") not in (pids[1], "0")
    assert_still_said(host, job, found)
    assert call(host, "Jobs.Follow", {"job": job}) == call(host, "Actions.Run", once) == said
    assert_still_said(host, long_job, running)
    # The limit that the file sets holds: the long job is the one that the user may have.
    [full] = call(host, "Actions.Run", {"action": "long"}, code=123)
    assert full["parameters"]["limit"] == "jobsPerUser"
    host.run("touch", "/run/go")
    assert client.communicate(timeout=150) == ("over\n", "late\n")
    assert client.returncode == 7
    ended = call(host, "Jobs.Follow", {"job": long_job})
    assert ended[1]["parameters"] == {"job": long_job, "stdout": "began\nover\n", "stderr": "late\n"}
    assert ended[-1]["parameters"]["result"]["exitCode"] == 7
    assert host.run("cat", "/run/count").stdout == "x\n"
    assert sorted(host.run("ls", "/var/lib/postern/jobs").stdout.split()) == sorted([job, long_job])
    assert {name: host.property(name, "UnitFileState") for name in enabled} == enabled
    assert state(host, "posternd-admin.socket") == "inactive"
    assert host.run("cat", "/etc/postern/posternd.json").stdout == configuration
    assert host.failed_units() == ""


def package_version(host):
    return host.run("dpkg-query", "-W", "-f", "${Version}", "postern").stdout


def call(host, method, parameters, code=0):
    """All replies of a method to the member."""
    done = host.run("posternctl", "call", "--more", f"org.postern.{method}", json.dumps(parameters),
                    user="member", check=False)
    assert (done.returncode, done.stderr) == (code, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.long
def test_an_upgrade_keeps_what_was_enabled(host_before, package):
    host = host_before
    host.run("dpkg", "-i", "/before.deb")
    host.run("useradd", "-G", "postern", "member")
    assert host.run("posternctl", "ping", user="member").returncode == 0
    install(host, package)
    for name in ("posternd.socket", "posternd-admin.socket", "posternd-datagram.socket"):
        assert (host.property(name, "UnitFileState"), state(host, name)) == ("enabled", "active"), name
    assert host.run("posternctl", "ping", "--datagram", user="member").returncode == 0
    # From now on the one brings the others.
    host.run("systemctl", "stop", "posternd.socket")
    host.run("systemctl", "start", "posternd.socket")
    for name in ("posternd-admin.socket", "posternd-datagram.socket"):
        booted_host.wait_until(lambda name=name: state(host, name) == "active", 20, name)
    host.run("dpkg", "--purge", "postern")
    assert host.run("find", "/etc", "/run", "/var/lib/systemd", "-xdev", "-path", "*postern*").stdout == ""


@pytest.mark.long
def test_an_upgrade_opens_nothing_that_was_closed(host_before, package):
    host = host_before
    host.run("dpkg", "-i", "/before.deb")
    host.run("systemctl", "disable", "--now", "posternd.socket")
    host.run("systemctl", "stop", "posternd-admin.socket", "posternd.service")
    install(host, package)
    assert host.run("posternctl", "status", check=False).returncode == 125
    for name in ("posternd.socket", "posternd-admin.socket", "posternd-datagram.socket"):
        assert (host.property(name, "UnitFileState"), state(host, name)) == ("disabled", "inactive"), name
    assert state(host, "posternd.service") == "inactive"


def test_removal_names_the_jobs_that_run(fresh_host, package):
    host = fresh_host
    install(host, package)
    host.run("useradd", "-G", "postern", "member")
    jobs = removal.start_jobs(host)
    removal.check(host, jobs, host.run("dpkg", "--remove", "postern").stderr)


def test_removal_takes_the_units_of_jobs_that_have_ended_along(fresh_host, package):
    """They ended when no daemon was there to see it."""
    host = fresh_host
    install(host, package)
    host.run("useradd", "-G", "postern", "member")
    host.write("/etc/postern/actions.d/lasts.json", json.dumps(
        {"summary": "s", "exec": ["/bin/sh", "-c", "until [ -e /run/let ]; do sleep 0.1; done; exit $1", "sh", "{code}"],
         "arguments": {"code": {"type": "integer"}}, "allow": [{"user": "member"}]}))
    jobs = [host.run("posternctl", "run", "--detach", "lasts", f"code={code}", user="member").stdout.strip()
            for code in (0, 3)]
    units = [f"postern-job-{job}.service" for job in jobs]
    for unit in units:
        booted_host.wait_until(lambda unit=unit: host.property(unit, "SubState") == "running", 20, "the job runs")
    host.run("systemctl", "disable", "--now", "posternd.socket")
    booted_host.wait_until(lambda: state(host, "posternd.service") == "inactive", 20, "it is off")
    host.run("touch", "/run/let")
    for unit, sub in zip(units, ("exited", "failed")):
        booted_host.wait_until(lambda unit=unit, sub=sub: host.property(unit, "SubState") == sub, 20, "it has ended")
    assert state(host, "postern.slice") == "active"
    host.run("dpkg", "--purge", "postern")
    assert [host.property(unit, "LoadState") for unit in units] == ["not-found"] * 2
    assert state(host, "postern.slice") == "inactive"
    assert host.failed_units() == ""


def test_removal_without_jobs_names_none(fresh_host, package):
    install(fresh_host, package)
    assert fresh_host.run("posternctl", "status").returncode == 0
    assert "jobs" not in fresh_host.run("dpkg", "--remove", "postern").stderr


KEPT = ["/etc/postern/actions.d/hello.json", "/etc/postern/posternd.json", "/etc/logrotate.d/postern"]


def in_use(host, package):
    """Installed, with an action, a configuration, a record of a job, and the audit in a file."""
    install(host, package)
    host.run("useradd", "-G", "postern", "member")
    host.write(KEPT[0], HELLO)
    host.write(KEPT[1], '{ "audit": "/var/log/postern/audit.log" }\n')
    host.run("sh", "-c", f"echo '# mine' >>{KEPT[2]}")
    assert hello(host).stdout == "Hi, g1\n"
    assert host.run("ls", "/var/lib/postern/jobs").stdout.count("\n") == 1
    assert "job-started" in host.run("cat", "/var/log/postern/audit.log").stdout


def test_removed_it_keeps_what_the_administrator_has(fresh_host, package):
    in_use(fresh_host, package)
    kept = ("sh", "-c", f"cat {' '.join(KEPT)} && find /var/lib/postern /var/log/postern | sort")
    before = fresh_host.run(*kept).stdout
    fresh_host.run("dpkg", "--remove", "postern")
    assert fresh_host.run(*kept).stdout == before
    install(fresh_host, package)
    assert fresh_host.run(*kept).stdout == before
    assert hello(fresh_host).stdout == "Hi, g1\n"


def test_a_reinstallation_opens_nothing_that_was_closed(fresh_host, package):
    install(fresh_host, package)
    fresh_host.run("systemctl", "disable", "--now", "posternd.socket")
    install(fresh_host, package)
    assert (fresh_host.property("posternd.socket", "UnitFileState"), state(fresh_host, "posternd.socket")) == (
        "disabled", "inactive")
    assert state(fresh_host, "posternd.service") == "inactive"


def test_purged_it_leaves_what_the_documentation_says(fresh_host, package):
    everywhere = ("find", "/etc", "/usr", "/var", "/run", "-xdev", "-path", "*postern*", "-not", "-path", "/var/lib/dpkg/*")
    assert fresh_host.run(*everywhere).stdout == ""
    in_use(fresh_host, package)
    document = " ".join((REPOSITORY / "docs/administrator.md").read_text(encoding="utf-8").split())
    said = re.search(r"When you purge the package, (.*?) are removed too; its users and its group stay\.", document)
    removed = re.findall(r"`([^`]+)`", said[1])
    assert removed == ["/etc/postern", "/var/lib/postern", "/var/log/postern"]
    for path in removed:
        assert fresh_host.exists(path), path
    fresh_host.run("dpkg", "--purge", "postern")
    assert fresh_host.run(*everywhere).stdout == ""
    for database, name in (("group", "postern"), ("passwd", "postern-session"), ("passwd", "postern-output")):
        assert fresh_host.run("getent", database, name).returncode == 0
    assert fresh_host.failed_units() == ""
    assert fresh_host.run("pgrep", "-a", "postern", check=False).stdout == ""
