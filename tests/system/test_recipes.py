"""docs/administrator.md, where it needs systemd: each section is done as it stands, on a host of its own kind.

The other sections are tried in tests/integration/test_docs_administrator.py.
"""

import re
import sys

import pytest

import conftest

sys.path.insert(1, str(conftest.REPOSITORY / "tests/integration"))

import guide  # noqa: E402

pytestmark = pytest.mark.needs_root

SECTIONS = guide.sections(guide.text_of("docs/administrator.md"))
# In this order: the last one turns Postern off and on again.
HERE = ("First action in five minutes", "Recipe: a group restarts a service", "Recipe: a service with DynamicUser=",
        "Recipe: a service with NoNewPrivileges=", "Recipe: a CI runner", "Recipe: a backup by cron",
        "Recipe: a monitoring agent", "Recipe: a udev rule", "When something does not work", "Backup",
        "The audit as a file", "Upgrade", "Who may open the socket", "Turning it off")


@pytest.fixture(scope="module")
def machine(root, package):
    """A host with the package and the users that the guide takes for granted; one for all sections."""
    with conftest.booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as host:
        host.run("cp", f"/packages/{package.name}", "/root/")
        follow(host, SECTIONS["Installation"])
        assert host.property("posternd.socket", "ActiveState") == "active"
        host.run("useradd", "--create-home", "alice")
        host.write("/etc/systemd/system/nginx.service", "[Service]\nExecStart=/bin/sleep infinity\n")
        host.run("systemctl", "daemon-reload")
        yield host


def follow(host, section):
    """Does what a section shows."""
    for step in guide.steps(section):
        if isinstance(step, guide.File):
            host.run("mkdir", "-p", step.path.rpartition("/")[0])
            host.write(step.path, step.text, 0o755 if step.text.startswith("#!") else 0o644)
            continue
        home = {"root": "/root", "alice": "/home/alice", "archiver": "/home/archiver"}.get(step.user, "/")
        done = host.run("/bin/sh", "-c", f"exec 2>&1; cd {home}; {step.line}", check=False,
                        user=None if step.user == "root" else step.user)
        assert guide.is_shown(step.output, done.stdout) and done.returncode == step.exit_code, (
            f"{step.user}: {step.line}\nprinted: {done.stdout}\nand not: {step.output}\n"
            f"exit codes {done.returncode} and {step.exit_code}\n{host.journal()}")


@pytest.mark.parametrize("heading", HERE)
def test_what_a_section_shows(machine, heading):
    follow(machine, SECTIONS[heading])
    assert machine.failed_units() == ""


@pytest.mark.parametrize("unit, line", [("web-agent.service", r"\d+\n"), ("metrics.service", r"\d+\t/root\n")])
def test_what_a_service_got_is_in_the_journal(machine, unit, line):
    machine.run("journalctl", "--sync")
    said = machine.run("journalctl", "--no-pager", "--output=cat", f"_SYSTEMD_UNIT={unit}").stdout
    assert re.fullmatch(line, said), said
