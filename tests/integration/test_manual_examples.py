"""What the manual pages show works: each command runs, each file is valid, each output is as shown."""

import json
import os
import re
import signal
import subprocess

import pytest

import harness
from actions import EVERYONE, script
from manuals import FOLDER, PAGES, examples

PATIENCE = 60
ID = "5faba0c2d1e84f0aa2f6b7c8d9e0f1a2"
# The file that the example of a page is, by the page's own words.
FILES = {"postern.7": "hello.json", "postern-action.5": "web.restart.json",
         "posternd.json.5": "posternd.json"}
# What the pages call, beside those that they show: names that their examples use.
ACTIONS = {
    "backup.start": script("true", datagram=True),
    "site.dump": script("echo data", output="direct"),
    "site.restore": script("cat >/dev/null", input="direct"),
    "cert.install": {"summary": "Install", "exec": ["/bin/cat"], "stdin": "{cert}", "allow": EVERYONE,
                     "arguments": {"cert": {"type": "string", "multiline": True}}},
    "disk.added": {"summary": "Added", "exec": ["/bin/echo", "{device}", "{size}", "{removable}"],
                   "arguments": {"device": {"type": "string"}, "size": {"type": "integer"},
                                 "removable": {"type": "boolean"}},
                   "allow": EVERYONE, "datagram": True},
    "waits": script("echo begins; exec sleep 60"),
}
# For what only a booted host has: whether it is called with units that the package has, and no more.
STAND_INS = {
    "systemctl": """case $1 in --user) units=$units/user; shift;; esac
        for word; do case $word in
            restart|start|enable|disable|--now|edit|reload|status) ;;
            *) ls "$units/$word" >/dev/null 2>&1 || ls "$units/$word.service" >/dev/null || exit 1;;
        esac; done""",
    "journalctl": """[ "$1" = -u ] && ls "$units/$2.service" >/dev/null || exit 1
        case $3 in ''|POSTERN_ACTION=*) ;; *) exit 1;; esac""",
    "groupadd": '[ "$1" = -f ] && [ $# = 2 ]',
    "usermod": """[ "$1" = -aG ] && [ $# = 3 ] || exit 1
        case ,$2, in *,postern,*) ;; *) exit 1;; esac""",
}


def kind_of(text):
    """What an example is."""
    first = text.split(None, 1)[0]
    if text.startswith("$ "):
        return "outputs"
    if text.startswith("{"):
        return "file"
    if text.startswith('"'):
        return "keys"
    if text.startswith("["):
        return "unit"
    if first in ("job-started:", "posternctl:"):
        return "message"
    return "commands"


def of_kind(kind):
    return [pytest.param(page, text, id=f"{page}-{text[:30]}")
            for page in PAGES for text in examples(page) if kind_of(text) == kind]


def here(text):
    """An action file for this machine and everyone on it."""
    text = re.sub(r'\{"group": "\w+"\}', '{"everyone": true}', text)
    if not harness.IS_ROOT:
        text = re.sub(r'^ *"user": .*\n', "", text, flags=re.M)
    return text.replace("/usr/bin/systemctl", "/bin/true")


def action_of(page):
    return here(next(text for text in examples(page) if kind_of(text) == "file"))


@pytest.fixture
def shell(start_guard, programs, folder, tmp_path):
    """Runs command lines of a page beside its files, against a daemon of the test's own."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, text in STAND_INS.items():
        (bin_folder / name).write_text(f"#!/bin/sh\nunits={harness.REPOSITORY}/systemd\n{text}\n")
        (bin_folder / name).chmod(0o755)
    box = tmp_path / "box"
    box.mkdir()
    admin = folder / "admin.sock"

    def start(actions):
        guard = start_guard(actions, datagrams=True, options=["--admin-socket", str(admin)])

        def run(line):
            for shown, real in (("posternctl logs --all", f"posternctl --socket {admin} logs --all"),
                                ("/run/postern/", f"{guard.folder}/"),
                                ("/etc/postern/actions.d/", f"{guard.actions_folder}/"),
                                ("posternctl status", f"posternctl --socket {admin} status"),
                                ("posternctl reload", f"posternctl --socket {admin} reload"),
                                ("posternd --check", f"posternd --check --actions {guard.actions_folder}")):
                line = line.replace(shown, real)
            return subprocess.run(
                ["/bin/sh", "-c", line], cwd=box, capture_output=True, text=True, timeout=PATIENCE,
                stdin=subprocess.DEVNULL, check=False,
                env={"PATH": f"{bin_folder}:{programs}:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(box),
                     "POSTERN_SOCKET": str(guard.socket_path), "POSTERN_DATAGRAM": str(guard.datagram_path)})

        run.box = box
        return run

    return start


def job_that_runs(run):
    return run("posternctl run --detach waits").stdout.strip()


@pytest.mark.parametrize("page", [page for page in PAGES if page != "postern-protocol.7"])
def test_every_command_works(shell, page):
    lines = [line for text in examples(page) if kind_of(text) == "commands" for line in text.splitlines()]
    assert lines
    actions = dict(ACTIONS)
    installed = {line.split()[3] for line in lines if line.startswith("install ")}
    for of, name in FILES.items():
        if name != "posternd.json" and name not in installed:
            actions[name.removesuffix(".json")] = action_of(of)
    run = shell(actions)
    for of, name in FILES.items():
        (run.box / name).write_text(action_of(of))
        (run.box / name).chmod(0o644)
    (run.box / "site.pem").write_text("a\nb\n")
    (run.box / "call.json").write_text('{"method": "org.postern.Actions.List"}\n')
    job = job_that_runs(run)
    for line in lines:
        done = run(line.replace(ID, job).replace("3f1c", job[:8]))
        assert done.returncode == 0, (line, done)


def shown(text):
    """(command, output) of each command, which may continue in lines that are indented by four."""
    for command, output in re.findall(r"^\$ (.*\n(?: {4}.*\n)*)((?:(?!\$ ).*\n)*)", text, re.M):
        yield command.strip("\n"), output


def test_every_output_is_as_shown(shell):
    run = shell({"hello": action_of("postern.7")})
    job = ""
    texts = [text for page in PAGES for text in examples(page) if kind_of(text) == "outputs"]
    assert len(texts) > 5
    for text in texts:
        for command, output in shown(text):
            done = run(command.replace(ID, job))
            pattern = re.escape(output).replace(r"\.\.\.", ".*")
            assert re.fullmatch(pattern, done.stdout), (command, done)
            job = (re.findall(r'"job":"(\w{32})"', done.stdout) or [job])[0]


@pytest.mark.parametrize("page, text", of_kind("file"))
def test_every_file_is_valid(tmp_path, page, text):
    is_action = '"exec"' in text
    path = tmp_path / (FILES[page] if is_action else "posternd.json")
    path.write_text(here(text))
    done = subprocess.run([harness.program("posternctl"), "lint", path], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 file is good\n", "")


@pytest.mark.parametrize("page, text", of_kind("keys"))
def test_every_key_that_is_shown_is_valid(tmp_path, page, text):
    whole = json.loads('{"summary": "Any", "exec": ["/bin/true"], "allow": [], ' + text + "}")
    path = tmp_path / "any.json"
    path.write_text(json.dumps(whole))
    done = subprocess.run([harness.program("posternctl"), "lint", path], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 file is good\n", ""), page


@pytest.mark.parametrize("page, text", of_kind("unit"))
def test_every_part_of_a_unit_is_one_of_ours(page, text):
    """SupplementaryGroups= is tried on a booted host, by tests/system/test_first_action.py."""
    assert re.fullmatch(r"\[Socket\]\nSocketMode=0666\n|\[Service\]\nSupplementaryGroups=postern\n", text), page


def masked(text):
    """Without what differs from run to run: ids."""
    return re.sub(r"\b[0-9a-f]{32}\b", "JOB", text)


# What stands in the message -> an action that has it said, and the signal that its client gets when it has begun.
MESSAGES = {
    "interrupted": (script("echo begins; exec sleep 60"), signal.SIGTERM),
    "background processes": (script("sleep 1000 & setsid sleep 1000 & echo begins"), None),
}


@pytest.mark.parametrize("what", MESSAGES)
def test_every_message_of_the_client_is_as_shown(start_guard, what):
    action, number = MESSAGES[what]
    guard = start_guard({"backup.start": action})
    with subprocess.Popen([harness.program("posternctl"), "run", "backup.start"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                          env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
                               "POSTERN_SOCKET": str(guard.socket_path)}) as client:
        assert client.stdout.readline() == "begins\n"
        if number:
            client.send_signal(number)
        _, said = client.communicate(timeout=PATIENCE)
    shown_text = next(text for text in examples("posternctl.1") if kind_of(text) == "message" and what in text)
    assert masked(said) == masked(shown_text)


def test_every_message_is_one_that_a_test_has_said():
    """Those of the journal are held against real ones on a booted host, by tests/system/test_first_action.py."""
    found = [(page, text) for page in PAGES for text in examples(page) if kind_of(text) == "message"]
    assert [page for page, _ in found] == ["posternctl.1"] * len(MESSAGES) + ["posternd.8"]
    assert all(sum(what in text for _, text in found) == 1 for what in MESSAGES)


def test_no_example_is_overlooked():
    """Whatever looks like a command in the source is between .EX and .EE."""
    for page in PAGES:
        text = (FOLDER / page).read_text(encoding="utf-8")
        assert text.count("\n.EX\n") == text.count("\n.EE\n") == len(examples(page))
        assert ".nf" not in text
    kinds = {kind_of(text) for page in PAGES for text in examples(page)}
    assert kinds == {"outputs", "file", "keys", "unit", "message", "commands"}
    assert os.access(harness.program("posternctl"), os.X_OK)
