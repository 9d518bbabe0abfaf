"""docs/from-sudoers.md: each recipe is done as it stands, and runs the very command of its sudoers line."""

import re

import pytest

import guide
import harness
import scratch_machine

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a mount namespace and other users")

TEXT = guide.text_of("docs/from-sudoers.md")
SECTIONS = guide.sections(TEXT)
# What the recipes call that this machine may not have, or that must not be called: each writes down how.
STAND_INS = ("/usr/bin/systemctl", "/usr/sbin/smartctl", "/usr/lib/nagios/plugins/check_raid", "/usr/bin/pg_dump",
             "/usr/bin/journalctl", "/usr/bin/apt-get", "/usr/local/sbin/add-site")
STAND_IN = """#!/bin/sh
printf '%s:' "$(id -un)" "$0" "$@" >>/var/ran
echo >>/var/ran
"""
RAN = {
    "1. One command without arguments": ["root:/usr/bin/systemctl:reload:nginx.service:"],
    "2. Several commands that differ in a word": ["root:/usr/bin/systemctl:restart:php-fpm.service:"],
    "3. Options from a fixed list": ["root:/usr/sbin/smartctl:--info:--health:/dev/sda:",
                                     "root:/usr/sbin/smartctl:--scan:"],
    "4. A check whose exit code counts": ["root:/usr/lib/nagios/plugins/check_raid:"],
    "5. As another user than root": ["postgres:/usr/bin/pg_dump:shop:"],
    "6. Standard input": [],
    "7. A log": ["root:/usr/bin/journalctl:--no-pager:--unit=nginx.service:--lines=100:--grep=not found:",
                 "root:/usr/bin/journalctl:--no-pager:--unit=nginx.service:--lines=50:"],
    "8. Packages": ["root:/usr/bin/apt-get:--quiet:--yes:update:"],
    "9. A script with a name as its argument": ["root:/usr/local/sbin/add-site:shop:"],
    "10. A group without one of its members": ["root:/usr/bin/systemctl:poweroff:"],
    "Programs that call sudo themselves":
        ["root:/usr/sbin/smartctl:--info:--attributes:-n:standby:/dev/nvme0:"],
}
USERS = {"alice": "deploy,support,admins,operators", "trainee": "operators", "telegraf": "", "nagios": "", "app": "",
         "acme": "", "web": "", "postgres": ""}


@pytest.fixture(scope="module")
def machine(programs):
    groups = ("deploy", "support", "admins", "operators")
    with scratch_machine.machine(users=USERS, groups=groups) as made:
        for user, of in USERS.items():
            made.root("usermod", "-aG", ",".join(filter(None, ("postern", of))), user)
        yield made


@pytest.fixture
def ran(machine):
    """The commands that were run since the last time: user, program and arguments, each with a colon."""
    machine.write("/var/ran", "", 0o666)
    for program in STAND_INS:
        machine.write(program, STAND_IN, 0o755)
    return lambda: machine.read("/var/ran").splitlines()


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_recipe_runs_what_it_says(machine, ran, heading):
    if heading.startswith("Programs"):
        # "With the action of number 3"
        action, *_ = guide.steps(SECTIONS["3. Options from a fixed list"])
        machine.write(action.path, action.text)
    machine.follow(SECTIONS[heading])
    assert ran() == RAN[heading]


def test_there_are_ten_recipes_and_each_begins_with_lines_of_sudoers():
    numbered = [heading for heading in SECTIONS if heading[0].isdigit()]
    assert [int(heading.split(".")[0]) for heading in numbered] == list(range(1, 11))
    for heading in numbered:
        assert SECTIONS[heading].startswith("\n```sudoers\n"), heading
        assert re.search(r"^```console$", SECTIONS[heading], re.M), heading


@pytest.mark.parametrize("code", [0, 3, 64])
def test_the_exit_code_and_the_output_come_through_the_stand_in(machine, ran, code):
    machine.follow(SECTIONS["3. Options from a fixed list"])
    machine.write("/usr/sbin/smartctl", f"#!/bin/sh\necho out; echo err >&2; exit {code}\n", 0o755)
    wrapper = guide.steps(SECTIONS["Programs that call sudo themselves"])[0]
    machine.write(wrapper.path, wrapper.text, 0o755)
    done = machine.run("telegraf", f"{wrapper.path} -n smartctl --scan")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (code, ["err", "out"])
    # Who may not run it gets 126, and what the wrapper was told never becomes an option of posternctl.
    assert machine.run("nagios", f"{wrapper.path} -n smartctl --scan").returncode == 126
    done = machine.run("telegraf", f"{wrapper.path} -n smartctl --socket=/x")
    assert (done.returncode, done.stdout.split(" is ")[0]) == (122, 'posternctl: options: element 1: "--socket=/x"')
