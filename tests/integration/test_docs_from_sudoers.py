"""docs/from-sudoers.md: each recipe is done as it stands, and runs the very command of its sudoers line."""

import json
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
    "11. Backups by rsync over ssh":
        ["archiver:/usr/bin/ssh:-l:archiver:web1:rsync:--server:--sender:-logDtpre.iLsfxCIvu:.:/srv/site/:"],
    "Programs that call sudo themselves":
        ["root:/usr/sbin/smartctl:--info:--attributes:-n:standby:/dev/nvme0:", "root:/usr/sbin/smartctl:--scan:"],
}
# As sshd does it for a key with command="...": the command that was asked for is not run.
SSH = STAND_IN + "exec sh -c \"$(sed -n 's/.*command=.\\([^\"]*\\).*/\\1/p' /home/archiver/.ssh/authorized_keys)\"\n"
USERS = {"alice": "deploy,support,admins,operators", "trainee": "operators", "telegraf": "", "nagios": "", "app": "",
         "acme": "", "web": "", "postgres": "", "archiver": ""}


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
    if heading.startswith("11."):
        # rsync itself is real.
        machine.write("/usr/bin/ssh", SSH, 0o755)
        machine.write("/srv/site/index.html", "hello\n")
        machine.write("/home/archiver/site/old.html", "old\n", 0o666)
        machine.root("chown", "-R", "archiver", "/home/archiver/site")
    machine.follow(SECTIONS[heading])
    assert ran() == RAN[heading]


def test_rsync_copies_the_site_and_no_more_whatever_the_client_asks_for(machine, ran):
    machine.write("/usr/bin/ssh", SSH, 0o755)
    machine.write("/srv/site/index.html", "hello\n")
    action, _, _ = guide.steps(SECTIONS["11. Backups by rsync over ssh"])
    # The fixed line is what this rsync asks for.
    assert ":".join(json.loads(action.text)["exec"][1:]) + ":" in RAN["11. Backups by rsync over ssh"][0]
    machine.follow(SECTIONS["11. Backups by rsync over ssh"])
    done = machine.run("archiver", "find site -type f && cat site/index.html && rsync -a archiver@web1:/etc/ etc/ && ls etc")
    assert (done.returncode, done.stdout) == (0, "site/index.html\nhello\nindex.html\n")


def test_there_are_eleven_recipes_and_each_begins_with_lines_of_sudoers():
    numbered = [heading for heading in SECTIONS if heading[0].isdigit()]
    assert [int(heading.split(".")[0]) for heading in numbered] == list(range(1, 12))
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


@pytest.mark.parametrize("options", ["", "-n", "-nE", "-E -H", "-u root", "-uroot --", "--user=root -n --", "-n --preserve-env --set-home"])
def test_the_stand_in_takes_options_of_sudo(machine, ran, options):
    machine.follow(SECTIONS["3. Options from a fixed list"])
    wrapper = guide.steps(SECTIONS["Programs that call sudo themselves"])[0]
    machine.write(wrapper.path, wrapper.text, 0o755)
    machine.write("/var/ran", "", 0o666)
    done = machine.run("telegraf", f"{wrapper.path} {options} smartctl --scan")
    assert (done.returncode, ran()) == (0, ["root:/usr/sbin/smartctl:--scan:"])


@pytest.mark.parametrize("call", ["-u postgres smartctl --scan", "-u", "-upostgres smartctl", "-i", "-s smartctl", "", "-n",
                                  "-- rm /x", "-l"])
def test_the_stand_in_names_a_call_for_which_there_is_no_action(machine, ran, call):
    wrapper = guide.steps(SECTIONS["Programs that call sudo themselves"])[0]
    machine.write(wrapper.path, wrapper.text, 0o755)
    done = machine.run("telegraf", f"{wrapper.path} {call}")
    assert (done.returncode, done.stdout) == (1, f"sudo: there is no action for this call: sudo {call}\n")
    assert ran() == []
