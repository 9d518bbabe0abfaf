"""The actions in examples/actions, each run as it is shipped: only without its sandbox, which needs systemd
(tests/system/test_examples.py has that).

The guard has its own /etc and /usr in a mount namespace, with stand-ins for what this machine lacks or must
not do: systemctl, journalctl, smartctl and nginx.
"""

import grp
import json
import re
import subprocess
import tarfile

import pytest

import harness
from harness import program
from identity import Identity, run_as
from user_namespace import Accounts

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: jobs of root, callers of other uids")

EXAMPLES = sorted((harness.REPOSITORY / "examples/actions").glob("*.json"))
# Says how it was called, and ends as the test wants.
STAND_IN = """#!/bin/sh
echo "${0##*/} $*"
! [ -e '@'/fail-${0##*/} ] || { echo "${0##*/}: no" >&2; exit 3; }
"""
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def text_of(file):
    """Without comments, which begin a line."""
    return re.sub(r"^ *//.*$", "", file.read_text(), flags=re.MULTILINE)


def member(*groups):
    return Identity(64001, 64001, tuple(grp.getgrnam(name).gr_gid for name in groups))


@pytest.fixture
def under(folder):
    """Words before a command line, so that it has an /etc of its own and the stand-ins."""
    accounts = Accounts(folder)
    text = ""
    for where, names in {"bin": ("systemctl", "journalctl"), "sbin": ("smartctl", "nginx")}.items():
        upper = folder / "overlay" / where
        (folder / "overlay" / f"{where}-work").mkdir(parents=True)
        upper.mkdir()
        upper.chmod(0o755)
        for name in names:
            (upper / name).write_text(STAND_IN.replace("@", str(folder)))
            (upper / name).chmod(0o755)
        text += (f"mount -t overlay overlay -o lowerdir=/usr/{where},upperdir={upper},workdir={upper}-work "
                 f"/usr/{where} && ")
    return [*accounts.under, "sh", "-c", f'{text}exec "$@"', "sh"]


@pytest.fixture
def run(start_guard, under):
    """run(ACTION, NAME=VALUE, ...): with the example's action, as a member of the group that it allows."""
    def begin(action, *words, as_=None, **kwargs):
        declared = json.loads(text_of(harness.REPOSITORY / f"examples/actions/{action}.json"))
        sandbox = declared.pop("sandbox")
        assert sandbox["NoNewPrivileges"] is True and "CapabilityBoundingSet" in sandbox
        (rule,) = declared["allow"]
        guard = guards.setdefault(action, None) or start_guard({action: declared}, under=under)
        guards[action] = guard
        begin.guard = guard
        return guard.ctl("run", action, *words, as_=as_ or member(rule["group"]), **kwargs)

    guards = {}
    return begin


def outcome(done):
    return done.returncode, done.stdout, done.stderr


# ---- All of them ----

def test_they_are_good_where_their_programs_are(under):
    done = run_as(None, [*under, program("posternctl"), "lint", *map(str, EXAMPLES)], env=CLEAN, cwd="/")
    assert outcome(done) == (0, f"{len(EXAMPLES)} files are good\n", "")


def test_each_has_typed_arguments_a_sandbox_a_comment_and_a_test():
    here = (harness.REPOSITORY / "tests/integration/test_examples.py").read_text()
    there = (harness.REPOSITORY / "tests/system/test_examples.py").read_text()
    assert len(EXAMPLES) == 7
    for file in EXAMPLES:
        action = json.loads(text_of(file))
        assert action["arguments"] and action["sandbox"] and action["timeout"], file
        for name, about in action["arguments"].items():
            assert {"enum", "pattern", "minimum"} & set(about) or about["type"] == "boolean", (file, name)
            assert about["summary"], (file, name)
        lines = file.read_text().splitlines()
        assert lines[0].startswith("// ") and f"//     posternctl run {file.stem}" in file.read_text(), file
        assert max(map(len, lines)) <= 110 or "; " in max(lines, key=len), file
        assert f'run("{file.stem}"' in here and f'"{file.stem}"' in there, file


def test_a_stranger_may_run_none(run):
    done = run("service.restart", "service=nginx", as_=Identity(64009, 64009))
    assert done.returncode == 126


# ---- One by one ----

def test_service_restart(run):
    assert outcome(run("service.restart", "service=nginx")) == (
        0, "systemctl --no-ask-password restart nginx.service\n", "")
    done = run("service.restart", "service=sshd")
    assert outcome(done) == (122, "", 'posternctl: service: "sshd" is not one of nginx, apache2, php8.4-fpm\n')


def test_service_journal(run):
    start = "journalctl --no-pager --quiet --output=short-iso"
    assert outcome(run("service.journal", "unit=nginx.service")) == (
        0, f"{start} --unit=nginx.service --lines=50\n", "")
    assert outcome(run("service.journal", "unit=ssh.service", "lines=3", "since=1h")) == (
        0, f"{start} --unit=ssh.service --lines=3 --since=-1h\n", "")
    for words, error in ((["unit=postgresql.service"], "unit: "), (["unit=nginx.service", "lines=0"], "lines: "),
                         (["unit=nginx.service", "since=yesterday"], "since: ")):
        done = run("service.journal", *words)
        assert done.returncode == 122 and done.stderr.startswith(f"posternctl: {error}")


def test_disk_health(run, folder):
    assert outcome(run("disk.health", "disk=/dev/sda")) == (0, "smartctl --health /dev/sda\n", "")
    assert outcome(run("disk.health", "disk=/dev/nvme0n1", "more=--attributes", "more=--log=error")) == (
        0, "smartctl --health --attributes --log=error /dev/nvme0n1\n", "")
    for words in (["disk=/dev/../etc/shadow"], ["disk=/dev/sda1"], ["disk=/dev/sda", "more=--smart=off"]):
        assert run("disk.health", *words).returncode == 122
    # What smartctl says of the disk is the exit code.
    (folder / "fail-smartctl").touch()
    assert run("disk.health", "disk=/dev/sda").returncode == 3


def test_nginx_reload(run, folder):
    assert outcome(run("nginx.reload")) == (
        0, "nginx -t -q\nsystemctl --no-ask-password reload nginx.service\n", "")
    assert outcome(run("nginx.reload", "testOnly=true")) == (0, "nginx -t -q\nthe configuration is good\n", "")
    (folder / "fail-nginx").touch()
    assert outcome(run("nginx.reload")) == (3, "nginx -t -q\n", "nginx: no\n")


def test_apt_update(run, folder):
    """The real apt-get, with a source that lies in the guard's own /etc."""
    for name in ("sources.list.d", "apt.conf.d"):
        for file in (folder / "etc/apt" / name).glob("*"):
            file.unlink()
    source = folder / "etc/apt/source"
    source.mkdir()
    source.chmod(0o755)
    (source / "Packages").write_text("")
    (folder / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/etc/apt/source ./\n")
    (folder / "etc/apt/apt.conf.d/99own").write_text(
        f'Dir::State "{folder}/state.apt";\nDir::Cache "{folder}/cache.apt";\nAPT::Sandbox::User "root";\n')
    for name in ("state.apt", "cache.apt"):
        (folder / name).mkdir()
    done = run("apt.update", "retries=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "file:/etc/apt/source ./ " in done.stdout and "Reading package lists..." in done.stdout
    assert run("apt.update", "retries=11").returncode == 122


def certificate(folder, days):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=www.example.org",
                    "-days", str(days), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True, timeout=120)
    return (folder / "cert.pem").read_text()


def test_certificate_install(run, folder):
    good = certificate(folder, 30)
    done = run("certificate.install", "site=www.example.org", input=good)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"subject=CN ?= ?www\.example\.org\nnotAfter=.+ GMT\n", done.stdout)
    sites = folder / "etc/ssl/sites"
    installed = sites / "www.example.org.pem"
    assert (installed.read_text(), installed.stat().st_mode & 0o7777, installed.stat().st_uid) == (good, 0o644, 0)
    for bad in ("", "not a certificate\n", certificate(folder, 1), (folder / "key.pem").read_text()):
        done = run("certificate.install", "site=www.example.org", input=bad)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("no certificate that is valid for another day was sent\n")
    assert run("certificate.install", "site=../x", input=good).returncode == 122
    assert [path.name for path in sites.iterdir()] == [installed.name]
    assert installed.read_text() == good


def test_backup_stream(run, folder):
    (folder / "etc/marker").write_text("of the test")
    archive = folder / "backup.tar"
    with archive.open("wb") as out:
        done = run("backup.stream", "what=etc", "what=var/lib/dpkg", stdout=out)
    assert (done.returncode, done.stderr) == (0, "")
    with tarfile.open(archive) as tar:
        assert tar.extractfile("etc/marker").read() == b"of the test"
        assert tar.extractfile("var/lib/dpkg/status").read(8) == b"Package:"
        assert {name.split("/")[0] for name in tar.getnames()} == {"etc", "var"}
    for words in (["what=root"], [], ["what=etc", "what=srv", "what=var/lib/dpkg", "what=etc"]):
        assert run("backup.stream", *words).returncode == 122
    # Nothing of it was stored.
    assert [path for path in run.guard.state_folder.glob("jobs/*/stdout") if path.stat().st_size] == []
