"""What the README shows is what happens: its action file and its commands, those of the administrator too."""

import grp
import json
import re
import shlex
import subprocess

import pytest

import harness
import identity
import scratch_machine

README = (harness.REPOSITORY / "README.md").read_text(encoding="utf-8")
ACTION = re.search(r"```json\n(.*?)```", README, re.S).group(1)
COMMANDS = [line.strip() for line in re.findall(r"^    (\S.*)$", README, re.M)]

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a member of adm")


@pytest.fixture
def guard(start_guard):
    return start_guard({"log.tail": ACTION})


def commands(prefix):
    found = [line for line in COMMANDS if line.startswith(prefix)]
    assert found, f"the README shows no command that begins with {prefix}"
    return found


@pytest.fixture
def member():
    return identity.Identity(64001, 64001, (grp.getgrnam("adm").gr_gid,))


def test_the_action_file_is_in_force(guard):
    checked = subprocess.run(
        [harness.program("posternd"), "--check", "--actions", str(guard.actions_folder)],
        capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "log.tail: Show the end of a log\n" in checked.stdout
    assert checked.stdout.endswith("1 action is loaded, 0 files are bad\n")


def test_the_commands_do_what_they_are_said_to_do(guard, member):
    with open("/var/log/dpkg.log", encoding="utf-8") as log:
        end = log.read().splitlines(keepends=True)[-3:]
    good, refused = commands("posternctl run log.tail")
    result = guard.ctl(*shlex.split(good)[1:], as_=member)
    assert (result.returncode, result.stdout, result.stderr) == (0, "".join(end), "")

    command, message = refused.split("#")
    result = guard.ctl(*shlex.split(command)[1:], as_=member)
    assert (result.returncode, result.stdout) == (122, "")
    assert message.strip() in result.stderr

    (describe,) = commands("posternctl describe")
    assert guard.ctl(*shlex.split(describe)[1:], as_=member).returncode == 0


def test_who_is_not_in_the_group_gets_126(guard):
    (good, _) = commands("posternctl run log.tail")
    result = guard.ctl(*shlex.split(good)[1:], as_=identity.CAROL)
    assert (result.returncode, result.stdout) == (126, "")
    assert "does not exist or is not granted to you" in result.stderr


def test_the_line_through_nc_is_answered(guard, member):
    (line,) = commands("printf")
    line = line.replace("/run/postern/postern.sock", str(guard.socket_path))
    result = identity.run_as(member, ["/bin/sh", "-c", line], env={"PATH": "/usr/bin:/bin"})
    assert json.loads(result.stdout) == {"parameters": {"actions": [
        {"name": "log.tail", "summary": "Show the end of a log"}]}}


def test_as_the_administrator_and_alice_do_it(programs):
    """The lines from the installation on, in their order, on a machine that has only the package."""
    first = COMMANDS.index("posternctl lint log.tail.json")
    lines = COMMANDS[first:first + 4]
    assert [line.split()[0] for line in lines] == ["posternctl", "install", "posternctl", "usermod"]
    with scratch_machine.machine(users=("alice",)) as machine:
        machine.write("/root/log.tail.json", ACTION)
        for line in lines:
            done = machine.run("root", line)
            assert done.returncode == 0, (line, done.stdout)
        done = machine.run("alice", "posternctl run log.tail log=dpkg.log lines=3")
        assert (done.returncode, done.stdout.count("\n")) == (0, 3)
