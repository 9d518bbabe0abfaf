"""docs/administrator.md: what can be tried without systemd. The rest is tried in tests/system/test_recipes.py."""

import re
import shlex

import pytest

import guide
import harness
import scratch_machine

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a mount namespace and other users")

TEXT = guide.text_of("docs/administrator.md")
SECTIONS = guide.sections(TEXT)
HERE = ("First action in five minutes", "Recipe: a group restarts a service",
        "Recipe: a container with one directory", "Recipe: a backup by cron", "Recipe: a monitoring agent",
        "Recipe: a udev rule", "When something does not work", "Backup", "Upgrade")


@pytest.fixture
def machine(programs):
    with scratch_machine.machine(users=("alice",)) as made:
        yield made


def no_sandbox(section):
    """A daemon without systemd takes no action with a sandbox; on the booted hosts it is there."""
    without, count = re.subn(r',\n    "sandbox": \{.*\}', "", section)
    assert count <= 1
    return without


@pytest.mark.parametrize("heading", HERE)
def test_what_a_section_shows(machine, heading):
    machine.follow(no_sandbox(SECTIONS[heading]))


def test_the_deploy_group_had_systemctl_called(machine):
    machine.follow(SECTIONS["Recipe: a group restarts a service"])
    assert machine.told() == ["restart nginx.service"]


def test_the_line_of_cron(machine):
    section = SECTIONS["Recipe: a backup by cron"]
    machine.follow(section)
    (line,) = [step.text for step in guide.steps(section) if getattr(step, "language", "") == "crontab"]
    fields = line.split(None, 6)
    assert fields[5] == "archiver" and len(fields) == 7
    done = machine.run("archiver", fields[6].strip(), env={"PATH": "/usr/bin:/bin", "HOME": "/home/archiver"})
    assert (done.returncode, done.stdout) == (0, "")
    assert machine.run("archiver", "tar -tzf site.tar.gz").stdout == "./\n./index.html\n"
    # A dump that failed leaves the last one as it is.
    machine.run("root", "rm -r /srv/site")
    done = machine.run("archiver", fields[6].strip(), env={"PATH": "/usr/bin:/bin", "HOME": "/home/archiver"})
    assert done.returncode == 2
    assert machine.run("archiver", "tar -tzf site.tar.gz").stdout == "./\n./index.html\n"


def test_the_rule_of_udev(machine):
    section = SECTIONS["Recipe: a udev rule"]
    machine.follow(section)
    (rule,) = [step.text for step in guide.steps(section) if getattr(step, "language", "") == "udev"]
    program = re.search(r'RUN\+="([^"]*)"\n\Z', rule).group(1).replace("$env{DEVNAME}", "/dev/vdc")
    # udev itself starts no shell.
    done = machine.run("root", shlex.join(shlex.split(program)), env={})
    assert (done.returncode, done.stdout) == (0, "")
    harness.wait_until(lambda: machine.read("/var/log/disks-added.log").endswith("/dev/vdc was added\n"))


def test_every_section_is_tried_here_or_on_a_booted_host():
    booted = (harness.REPOSITORY / "tests/system/test_recipes.py").read_text(encoding="utf-8")
    assert [heading for heading in SECTIONS if heading not in HERE and f'"{heading}"' not in booted] == []


def test_it_names_every_entry_of_the_audit():
    source = "".join(path.read_text(encoding="utf-8")
                     for path in (harness.REPOSITORY / "daemon/guard/audit").glob("*.cc"))
    kinds = re.findall(r'"([a-z-]+)",\s*"([0-9a-f]{32})"', source)
    assert len(kinds) > 15
    rows = re.findall(r"^\| `([a-z-]+)` \| ([0-9a-f]{32}) \| \S", TEXT, re.M)
    assert sorted(rows) == sorted(kinds)


def test_it_names_every_exit_code_of_posternctl():
    header = (harness.REPOSITORY / "ctl/text/exit_codes.h").read_text(encoding="utf-8")
    codes = {int(code) for code in re.findall(r"int \w+ = (\d+);", header)} - {0, 128} | {1}
    table = re.search(r"^\| exit code .*?\n\n", TEXT, re.M | re.S).group()
    assert {int(code) for code in re.findall(r"\b\d+\b", re.sub(r"^(\|[^|]*\|).*", r"\1", table, flags=re.M))} \
        == codes | {128}
