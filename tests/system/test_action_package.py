"""docs/packaging-actions.md: an action that another package brings along is there as soon as the package is."""

import json
import re
import subprocess

import pytest

import build_deb
import guard
from conftest import REPOSITORY
from jobs import run

pytestmark = pytest.mark.needs_root

TEXT = (REPOSITORY / "docs/packaging-actions.md").read_text(encoding="utf-8")


def block(kind, beginning=""):
    [found] = [text for text in re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.M | re.S)
               if text.startswith(beginning)]
    return found


ACTION = block("json")
INSTALLED = "/usr/lib/postern/actions.d/webtool.status.json"


def built(folder, version, action):
    """The path of a .deb, by the commands of the document. action: the text of its file; None: it has none."""
    folder.mkdir()
    (folder / "status").write_text(block("sh", "#!"), encoding="utf-8")
    (folder / "webtool.status.json").write_text(action or "", encoding="utf-8")
    (folder / "webtool/DEBIAN").mkdir(parents=True)
    (folder / "webtool/DEBIAN/control").write_text(
        block("text").replace("Version: 1.0", f"Version: {version}"), encoding="utf-8")
    commands = block("sh", "install").splitlines()
    subprocess.run(["sh", "-ec", "\n".join(commands if action else [commands[0], commands[-1]])],
                   cwd=folder, check=True, capture_output=True, umask=0o022)
    return folder / "webtool.deb"


def install(host, package):
    """The host sees nothing of this machine: the package goes in as text."""
    host.write("/run/webtool.b64", subprocess.run(["base64", package], check=True, capture_output=True,
                                                  text=True).stdout)
    host.run("sh", "-c", "base64 -d /run/webtool.b64 >/run/webtool.deb && dpkg -i /run/webtool.deb")


@pytest.fixture
def auditor(host):
    host.run("useradd", "--groups", "adm,postern", "auditor")
    yield "auditor"
    host.run("userdel", "auditor")


def test_the_package_has_no_scripts_and_no_triggers(tmp_path, package):
    for name, path in (("webtool", built(tmp_path / "1", "1.0", ACTION)), ("postern", package)):
        subprocess.run(["dpkg-deb", "-e", path, tmp_path / name], check=True)
        assert not (tmp_path / name / "triggers").exists()
    assert [path.name for path in (tmp_path / "webtool").iterdir()] == ["control"]


@pytest.mark.parametrize("running", [True, False])
def test_it_is_there_changed_and_gone_with_its_package(host, auditor, tmp_path, running):
    """Whether the daemon runs meanwhile or is started by the first call."""
    def begin():
        if running:
            host.run("systemctl", "start", "posternd.service")
        else:
            guard.stop(host)

    begin()
    assert run(host, "webtool.status", user=auditor)[0] == 126
    begin()
    install(host, built(tmp_path / "1", "1.0", ACTION))
    assert run(host, "webtool.status", user=auditor) == (0, "webtool works\n", "")
    # Its own rule decides.
    assert run(host, "webtool.status", user="member")[0] == 126
    begin()
    install(host, built(tmp_path / "2", "2.0", ACTION.replace('status"]', 'status", ", all of it"]')))
    assert run(host, "webtool.status", user=auditor) == (0, "webtool works, all of it\n", "")
    begin()
    install(host, built(tmp_path / "3", "3.0", None))
    assert run(host, "webtool.status", user=auditor)[0] == 126
    begin()
    install(host, built(tmp_path / "4", "4.0", ACTION))
    assert run(host, "webtool.status", user=auditor) == (0, "webtool works\n", "")
    begin()
    host.run("dpkg", "--remove", "webtool")
    assert run(host, "webtool.status", user=auditor)[0] == 126
    assert not host.exists(INSTALLED)
    assert host.exists("/usr/lib/postern/actions.d")


def test_lint_looks_at_what_is_installed(host, tmp_path):
    assert "`posternctl lint FILE`" in TEXT
    host.write("/run/webtool.status.json", ACTION)
    done = host.run("posternctl", "lint", "/run/webtool.status.json", check=False)
    assert (done.returncode, done.stdout) == (1, "1 file is bad\n")
    assert "/usr/libexec/webtool does not exist" in done.stderr
    install(host, built(tmp_path / "1", "1.0", ACTION))
    for path in ("/run/webtool.status.json", INSTALLED):
        assert host.run("posternctl", "lint", path).stdout == "1 file is good\n"
    host.run("dpkg", "--remove", "webtool")
    host.run("rm", "/run/webtool.status.json")


@pytest.mark.long
def test_the_line_for_debhelper(suite):
    """The build root has debhelper."""
    [line] = re.findall(r"^    (webtool\.status\.json .*)$", TEXT, re.M)
    with build_deb.root_for_builds(suite) as root:
        folder = root / "build/webtool"
        (folder / "debian").mkdir(parents=True)
        (folder / "webtool.status.json").write_text(ACTION, encoding="utf-8")
        (folder / "debian/webtool.install").write_text(f"{line}\n", encoding="utf-8")
        (folder / "debian/control").write_text(
            "Source: webtool\nMaintainer: us <us@example.org>\nBuild-Depends: debhelper-compat (= 13)\n\n"
            "Package: webtool\nArchitecture: all\nDescription: x\n", encoding="utf-8")
        subprocess.run(["chroot", root, "sh", "-ec", "cd /build/webtool && dh_install && dh_fixperms"], check=True,
                       umask=0o022, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
        made = folder / "debian/webtool"
        assert [str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()] == [INSTALLED[1:]]
        file = made / INSTALLED[1:]
        assert (file.read_text(encoding="utf-8"), file.stat().st_mode & 0o7777) == (ACTION, 0o644)


def test_the_administrator_has_the_last_word(host, auditor, tmp_path):
    install(host, built(tmp_path / "1", "1.0", ACTION))
    own = "/etc/postern/actions.d/webtool.status.json"
    host.write(own, "")
    assert run(host, "webtool.status", user=auditor)[0] == 126
    host.write(own, json.dumps({**json.loads(ACTION), "exec": ["/usr/bin/echo", "mine"]}))
    assert run(host, "webtool.status", user=auditor) == (0, "mine\n", "")
    host.run("rm", own)
    assert run(host, "webtool.status", user=auditor) == (0, "webtool works\n", "")
    host.run("dpkg", "--remove", "webtool")
