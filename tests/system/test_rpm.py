"""The .rpm: what is in it, and its life on a booted Debian, by the commands of docs/rpm.md.

rpm's database is empty on a Debian, where dpkg has installed what the package requires: hence --nodeps.
"""

import json
import re
import subprocess
import textwrap

import pytest

import booted_host
import build_rpm
import conftest
import removal
from build_in_root import REPOSITORY, version
from jobs import job_units, records, run, shell, spawn
from test_action_package import ACTION, block
from test_upgrade import EXPECTED, NUMBERS, process, seen, watched

pytestmark = [pytest.mark.needs_root, pytest.mark.suite("trixie")]

TEXT = (REPOSITORY / "docs/rpm.md").read_text(encoding="utf-8")
SOCKETS = ("posternd.socket", "posternd-admin.socket", "posternd-datagram.socket")
# What each packaging has of its own.
DEBIAN_ALONE = (r"/usr/share/doc/postern/(changelog|changelog\.Debian|copyright)|/usr/share/lintian/.*"
                r"|/usr/share/zsh/vendor-completions/_posternctl")
RPM_ALONE = r"/usr/share/licenses/postern/LICENSE|/usr/share/zsh/site-functions/_posternctl"
# Fedora's own: without them, preset enables what has [Install].
PRESETS = ("usr/lib/systemd/system-preset/99-default-disable.preset",
           "usr/lib/systemd/user-preset/99-default-disable.preset")


def fenced(language, section):
    """The fenced texts of that language in a section of the document."""
    part = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", part, re.S | re.M)


def root_commands(section):
    """What root is told to type there."""
    return re.findall(r"^# (.*)$", "".join(fenced("console", section)), re.M)


def query(package, *words):
    return subprocess.run(["rpm", "-qp", *words, package], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def rpm(suite):
    try:
        return build_rpm.build(suite)
    except RuntimeError as error:
        pytest.exit(str(error), 1)


@pytest.fixture(scope="module")
def machine(suite, dependencies, rpm):
    """A host that was booted after the .rpm had been installed into its root; for all cases here, in their order."""
    with conftest.unpacked_root(suite, dependencies) as root:
        for preset in PRESETS:
            (root / preset).write_text("disable *\n", encoding="ascii")
        done = subprocess.run(["rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--nodeps", "-i", rpm],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with booted_host.BootedHost(root, binds=[(rpm.parent, "/packages")]) as host:
            host.run("useradd", "--create-home", "--groups", "postern", "member")
            yield host


def enabled(host):
    return {name: host.property(name, "UnitFileState") for name in SOCKETS}


# ---- The file ----

def test_what_is_in_the_deb_is_in_the_rpm(package, rpm):
    listed = subprocess.run(["dpkg-deb", "-c", package], check=True, capture_output=True, text=True).stdout
    # Large documents are compressed in the one.
    deb = {re.sub(r"(/doc/.*)\.gz$", r"\1", words[5].removeprefix(".")): words[0]
           for words in map(str.split, listed.splitlines())}
    found = query(rpm, "--qf", r"[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]")
    fields = [line.split(" ", 2) for line in found.splitlines()]
    assert {owner for _, owner, _ in fields} == {"root/root"}
    ours = {path: mode for mode, _, path in fields}

    def files(paths, alone):
        return {path: mode for path, mode in paths.items() if mode[0] != "d" and not re.fullmatch(alone, path)}

    documents = {path for path in files(ours, RPM_ALONE) if path.startswith("/usr/share/doc/postern/")}
    assert {path for path in files(deb, DEBIAN_ALONE) if path.startswith("/usr/share/doc/")} <= documents
    assert {f"/usr/share/doc/postern/{name}.md" for name in (
        "README", "SECURITY", "CONTRIBUTING", "CHANGELOG", "rpm")} <= documents
    assert files({path: mode for path, mode in ours.items() if path not in documents}, RPM_ALONE) == files(
        {path: mode for path, mode in deb.items() if not path.startswith("/usr/share/doc/")}, DEBIAN_ALONE)
    for folder in ("/etc/postern/actions.d", "/usr/lib/postern/actions.d"):
        assert ours[folder] == deb[f"{folder}/"] == "drwxr-xr-x"


def test_it_requires_what_fedora_has(rpm):
    required = set(query(rpm, "--requires").splitlines())
    libraries = {line for line in required if ".so." in line}
    assert {re.match(r"(.*?)\.so\.", line).group(1) for line in libraries} == {
        "ld-linux-x86-64", "libc", "libfmt", "libgcc_s", "libnettle", "libre2", "libseccomp", "libspdlog",
        "libstdc++", "libsystemd"}
    assert all(re.fullmatch(r"\S+\.so\.[0-9.]+\([A-Z0-9_.]*\)\(64bit\)", line) for line in libraries)
    number = version(REPOSITORY)
    assert {line for line in required - libraries if not line.startswith("rpmlib(")} == {
        "/bin/sh", f"config(postern) = {number}-1", "rtld(GNU_HASH)", "systemd", "systemd >= 252"}
    assert query(rpm, "--suggests") == "logrotate\n"


def test_what_becomes_of_the_units_of_jobs_is_the_text_of_the_deb(rpm):
    postrm = (REPOSITORY / "packaging/debian/postern.postrm").read_text(encoding="utf-8")
    lines = re.search(r"^ +systemctl list-units .*?postern\.slice.*?\n", postrm, re.M | re.S).group()
    assert "reset-failed" in lines and textwrap.dedent(lines) in re.sub(r"^    ", "", query(rpm, "--scripts"), flags=re.M)


def test_rpmlint_has_nothing_to_say_but_what_is_explained(rpm):
    folder = REPOSITORY / "packaging/rpm"
    done = subprocess.run(["rpmlint", "-r", folder / "postern.rpmlintrc", rpm, folder / "postern.spec"],
                          capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0 and "checked; 0 errors, 0 warnings" in done.stdout, done.stdout + done.stderr


# ---- Its life ----

def test_installed_it_waits_for_the_administrator(machine):
    assert machine.run("rpm", "-q", "postern").stdout == f"postern-{version(REPOSITORY)}-1.x86_64\n"
    assert enabled(machine) == dict.fromkeys(SOCKETS, "disabled")
    assert not machine.exists("/run/postern")
    assert machine.run("systemctl", "--global", "is-enabled", "posternd.socket", check=False).stdout == "disabled\n"
    for user in ("postern-session", "postern-output"):
        assert machine.run("id", "-nG", user).stdout == f"{user}\n"
    # By the installation: with the boot systemd-sysusers.service does not run where nothing has to be updated.
    assert "Subject: A call was denied" in machine.run("journalctl", "--dump-catalog").stdout


def test_enabled_it_serves(machine):
    [_, command] = root_commands("Install")
    machine.run(*command.split())
    assert enabled(machine)["posternd.socket"] == "enabled"
    machine.write("/etc/postern/actions.d/hello.json", conftest.HELLO)
    done = machine.run("posternctl", "run", "hello", "name=g1", user="member")
    assert (done.stdout, done.stderr) == ("Hi, g1\n", "")
    assert machine.failed_units() == ""


def test_an_upgrade_keeps_the_sockets_and_loses_no_byte(machine, rpm):
    machine.write("/etc/postern/posternd.json", '{"limits": {"jobsPerUser": 3}}\n')
    machine.write("/etc/logrotate.d/postern", "# ours\n")
    machine.write("/etc/postern/actions.d/numbers.json", json.dumps(
        {"summary": "numbers", "allow": [{"group": "postern"}], **shell(NUMBERS)}))
    machine.run("posternctl", "reload")
    client = spawn(machine, "numbers")
    assert client.stdout.readline() == "1000\n"
    before = process(machine, "posternd"), process(machine, "postern-output")
    before_enabled = enabled(machine)
    inode = machine.run("stat", "-c", "%i", "/run/postern/postern.sock").stdout
    [command] = root_commands("Upgrade")
    assert command == root_commands("Install")[0]
    with watched(machine) as lines:
        done = machine.run("sh", "-c", f"cd /packages/next && {command} --nodeps")
        assert (done.stdout, done.stderr) == ("", "")
        booted_host.wait_until(lambda: process(machine, "postern-output") not in (None, before[1]), 20,
                               "the keeper is back")
    assert machine.run("rpm", "-q", "--qf", "%{RELEASE}", "postern").stdout == "1.2"
    pairs = seen(lines)
    assert pairs[0] == before
    assert pairs[-1][0] != before[0] and pairs[-1][1] != before[1] and None not in pairs[-1]
    assert (None, None) not in pairs
    ready = int(machine.property("posternd.service", "ActiveEnterTimestampMonotonic"))
    assert ready < int(machine.property("postern-output.service", "ActiveExitTimestampMonotonic"))
    assert client.stdout.read() == EXPECTED.removeprefix("1000\n")
    assert (client.stderr.read(), client.wait(60)) == ("end\n", 3)
    assert "stdoutLostFrom" not in records(machine, "numbers")[-1]["result"]
    assert machine.run("stat", "-c", "%i", "/run/postern/postern.sock").stdout == inode
    assert enabled(machine) == before_enabled
    assert machine.run("cat", "/etc/postern/posternd.json").stdout == '{"limits": {"jobsPerUser": 3}}\n'
    assert machine.run("cat", "/etc/logrotate.d/postern").stdout == "# ours\n"
    assert machine.failed_units() == ""


def test_an_action_of_another_package_is_loaded_by_itself(machine):
    """The one of docs/packaging-actions.md, built by its spec."""
    folder = "/home/member/webtool"

    def package(number, action):
        machine.run("mkdir", "-p", folder, user="member")
        for name, text in {"webtool.spec": block("spec").replace("1.0", number), "status": block("sh", "#!"),
                           "webtool.status.json": action}.items():
            machine.write(f"{folder}/{name}", text)
        done = machine.run("rpmbuild", "-bb", "--define", f"_sourcedir {folder}", "--define",
                           f"_topdir {folder}/build", f"{folder}/webtool.spec", user="member")
        return re.search(r"^Wrote: (.*)$", done.stdout, re.M).group(1)

    def said():
        return run(machine, "webtool.status", user="auditor")[:2]

    machine.run("useradd", "--groups", "adm,postern", "auditor")
    assert said() == (126, "")
    pid = machine.property("posternd.service", "MainPID")
    first, second = package("1.0", ACTION), package("1.1", ACTION.replace('status"]', 'status", ", all of it"]'))
    machine.run("rpm", "-i", "--nodeps", first)
    assert machine.run("rpm", "-q", "--scripts", "webtool").stdout == ""
    for word in ("--triggers", "--filetriggers"):
        assert machine.run("rpm", "-q", word, "webtool", "postern").stdout == ""
    assert said() == (0, "webtool works\n")
    machine.run("rpm", "-U", "--nodeps", second)
    assert said() == (0, "webtool works, all of it\n")
    machine.run("rpm", "-e", "webtool")
    assert said() == (126, "")
    assert machine.property("posternd.service", "MainPID") == pid


def test_erased_it_leaves_what_the_document_names(machine):
    [command] = root_commands("Erase")
    named = re.findall(r"`(/[^`]+)`", TEXT.split("\n## Erase\n")[1].split("\n## ")[0])
    assert named == ["/etc/postern", "/var/lib/postern", "/var/log/postern", "/run/posternd"]
    jobs = removal.start_jobs(machine)
    done = machine.run(*command.split())
    removal.check(machine, jobs, done.stderr)
    booted_host.wait_until(lambda: job_units(machine) == [], 20, "no unit of a job is left")
    assert "warning: /etc/logrotate.d/postern saved as /etc/logrotate.d/postern.rpmsave\n" in done.stderr
    assert machine.run("rpm", "-q", "postern", check=False).stdout == "package postern is not installed\n"
    assert sorted(machine.run("find", "/etc/postern", "-type", "f").stdout.split()) == [
        "/etc/postern/actions.d/hello.json", "/etc/postern/actions.d/numbers.json",
        "/etc/postern/actions.d/quiet.json", "/etc/postern/actions.d/writes.json", "/etc/postern/posternd.json"]
    assert machine.run("ls", "/var/lib/postern/jobs").stdout != ""
    assert machine.run("pgrep", "-a", "postern", check=False).stdout == ""
    assert machine.failed_units() == ""
    machine.run("rm", "-r", "/etc/logrotate.d/postern.rpmsave", *(path for path in named if machine.exists(path)))
    left = machine.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-path", "*postern*").stdout
    assert left == ""
