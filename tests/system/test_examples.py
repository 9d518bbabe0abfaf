"""The actions in examples/actions, each as it is shipped, with its sandbox, under systemd.

What a minimal host lacks has a stand-in at the same path: nginx, smartctl and openssl.
"""

import re

import pytest

import conftest

pytestmark = pytest.mark.needs_root

EXAMPLES = conftest.REPOSITORY / "examples/actions"
# Says how it was called and what it may do: its capabilities, and whether it can write to these.
SMARTCTL = """#!/bin/sh
echo "smartctl $*"
grep CapEff /proc/self/status
for place in /etc /usr /var /home; do touch $place/.probe 2>/dev/null && echo "can write $place"; done
exit 8
"""
NGINX = "#!/bin/sh\n[ -e /run/nginx.good ] || { echo 'nginx: bad configuration' >&2; exit 1; }\n"
OPENSSL = "#!/bin/sh\ngrep 'BEGIN CERTIFICATE' \"$3\"\n"
UNIT = """[Service]
ExecStart=/bin/sh -c "echo nginx says hello; exec sleep infinity"
ExecReload=/bin/touch /run/nginx.reloaded
"""


@pytest.fixture(scope="module")
def machine(root, package):
    """A host of its own with all of the examples, and a user who may run them."""
    with conftest.booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as host:
        conftest.install(host, package)
        host.run("systemctl", "enable", "--now", "posternd.socket")
        host.run("useradd", "--groups", "adm,postern", "auditor")
        for name, text in (("smartctl", SMARTCTL), ("nginx", NGINX)):
            host.write(f"/usr/sbin/{name}", text, mode=0o755)
        host.write("/usr/bin/openssl", OPENSSL, mode=0o755)
        host.write("/etc/systemd/system/nginx.service", UNIT)
        host.run("mkdir", "-p", "/etc/ssl")
        host.run("systemctl", "daemon-reload")
        host.run("systemctl", "start", "nginx.service")
        for file in EXAMPLES.glob("*.json"):
            host.write(f"/etc/postern/actions.d/{file.name}", file.read_text(encoding="utf-8"))
        # Where the machine is busy, a caller who starts it is told that it waits for the daemon.
        host.run("systemctl", "start", "posternd.service")
        yield host


@pytest.fixture
def run(machine):
    """run(ACTION, NAME=VALUE ...) as the auditor: exit code, standard output, standard error."""
    def call(*words, redirected=""):
        command = f'posternctl run "$@" {redirected}'
        done = machine.run("sh", "-c", command, "sh", *words, user="auditor", check=False)
        return done.returncode, done.stdout, done.stderr

    return call


def test_they_are_good(machine):
    done = machine.run("sh", "-c", "posternctl lint /etc/postern/actions.d && posternd --check")
    assert done.stderr == ""
    assert done.stdout.startswith("7 files are good\n")
    assert done.stdout.endswith("7 actions are loaded, 0 files are bad\n")


def test_service_restart(machine, run):
    before = machine.property("nginx.service", "MainPID")
    assert run("service.restart", "service=nginx") == (0, "", "")
    assert machine.property("nginx.service", "MainPID") not in (before, "0")


def test_service_journal(machine, run):
    machine.run("journalctl", "--sync")
    code, out, err = run("service.journal", "unit=nginx.service", "lines=100", "since=1h")
    assert (code, err) == (0, "")
    assert re.search(r"^\S+ \S+ sh\[\d+\]: nginx says hello$", out, re.M)


def test_disk_health(machine, run):
    code, out, err = run("disk.health", "disk=/dev/sda", "more=--attributes")
    assert (code, err) == (8, "")
    # CAP_SYS_RAWIO and CAP_SYS_ADMIN, as far as the host has them, and nothing that it could write to.
    of_host = int(machine.run("sh", "-c", "grep CapBnd /proc/1/status").stdout.split()[1], 16)
    assert out == f"smartctl --health --attributes /dev/sda\nCapEff:\t{of_host & 0x220000:016x}\n"


def test_apt_update(machine, run):
    machine.run("sh", "-c", "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* && mkdir -p /srv/source && "
                ": >/srv/source/Packages && echo 'deb [trusted=yes] file:/srv/source ./' >/etc/apt/sources.list")
    code, out, err = run("apt.update", "retries=0")
    assert (code, err) == (0, "")
    assert "file:/srv/source ./ " in out and "Reading package lists..." in out


def test_nginx_reload(machine, run):
    machine.run("rm", "-f", "/run/nginx.good", "/run/nginx.reloaded")
    assert run("nginx.reload") == (1, "", "nginx: bad configuration\n")
    machine.run("touch", "/run/nginx.good")
    assert run("nginx.reload", "testOnly=true") == (0, "the configuration is good\n", "")
    assert not machine.exists("/run/nginx.reloaded")
    assert run("nginx.reload") == (0, "", "")
    assert machine.exists("/run/nginx.reloaded")


def test_certificate_install(machine, run):
    machine.write("/tmp/new.pem", "-----BEGIN CERTIFICATE-----\n")
    machine.write("/tmp/bad.pem", "nothing\n")
    assert run("certificate.install", "site=www.example.org", redirected="</tmp/new.pem") == (
        0, "-----BEGIN CERTIFICATE-----\n", "")
    installed = "/etc/ssl/sites/www.example.org.pem"
    assert machine.run("stat", "-c", "%a %U", installed).stdout == "644 root\n"
    code, out, err = run("certificate.install", "site=www.example.org", redirected="</tmp/bad.pem")
    assert (code, out, err) == (1, "", "no certificate that is valid for another day was sent\n")
    assert machine.run("cat", installed).stdout == "-----BEGIN CERTIFICATE-----\n"
    assert machine.run("ls", "-A", "/etc/ssl/sites").stdout == "www.example.org.pem\n"


def test_backup_stream(machine, run):
    assert run("backup.stream", "what=etc", "what=var/lib/dpkg", redirected=">/tmp/backup.tar") == (0, "", "")
    names = machine.run("tar", "-tf", "/tmp/backup.tar").stdout.splitlines()
    # What only root can read, too.
    assert {"etc/shadow", "var/lib/dpkg/status"} <= set(names)
