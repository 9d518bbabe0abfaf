"""posternctl --datagram and posternctl notify at the real guard, as several users."""

import json
import re

import pytest

import harness
from harness import program
from identity import ALICE, BOB, CAROL, ROOT, Identity, run_as

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")
MARK = {"summary": "Mark", "exec": ["/usr/bin/printf", "%s\\n", "{text}", "{count}", "{ports}"],
        "datagram": True, "allow": [{"everyone": True}],
        "arguments": {"text": {"type": "string"}, "count": {"type": "integer", "default": 7},
                      "ports": {"type": "list", "items": "integer", "required": False}}}
ACTIONS = {"mark": MARK,
           "stream": {"summary": "No packets", "exec": ["/bin/true"], "allow": [{"everyone": True}]},
           "mine": {"summary": "Of root", "exec": ["/bin/true"], "datagram": True,
                    "allow": [{"user": "root"}]},
           "crew": {"summary": "Of a group", "exec": ["/bin/true"], "datagram": True,
                    "allow": [{"group": 64100}, {"user": BOB.uid}]}}
CALLERS = pytest.mark.parametrize("who", [ROOT, ALICE, BOB, CAROL], ids=lambda who: str(who.uid))


@pytest.fixture
def ask(start_guard, box):
    """A guard, and posternctl at its datagram socket: (exit code, standard output, standard error)."""
    guard = start_guard(ACTIONS, datagrams=True)

    def run(*words, as_=None):
        done = run_as(as_, [program("posternctl"), *words], env={
            "PATH": "/usr/bin:/bin", "TMPDIR": str(box), "POSTERN_DATAGRAM": str(guard.datagram_path),
            "POSTERN_SOCKET": "/nonexistent"})
        return done.returncode, done.stdout, done.stderr

    run.guard = guard
    return run


@CALLERS
def test_every_verb(ask, who):
    code, out, err = ask("ping", "--datagram", as_=who)
    assert (code, err) == (0, "")
    assert re.fullmatch(re.escape(str(ask.guard.datagram_path)) + r": answered in \d+\.\d\d ms\n", out)
    code, out, _ = ask("whoami", "--datagram", "--json", as_=who)
    seen = json.loads(out)
    assert (code, seen["uid"], seen["gid"], seen["groups"]) == (0, who.uid, who.gid, [who.gid])
    code, out, _ = ask("describe", "--datagram", "mark", as_=who)
    assert (code, out.splitlines()[0]) == (0, "mark - Mark")
    assert ask("check", "--datagram", "mark", "text=x", "count=3", as_=who) == (
        0, "mark: would run\n", "")
    code, out, err = ask("run", "--datagram", "mark", "text=x", "count=3", "ports=80", "ports=443",
                         as_=who)
    assert (code, err) == (0, "")
    job = re.fullmatch(r"([0-9a-f]{32})\n", out).group(1)
    (started,) = ask.guard.wait_audit(event="job-started", job=job, uid=who.uid)
    assert started["arguments"] == {"text": "x", "count": "3", "ports": '["80", "443"]'}
    (ended,) = ask.guard.wait_audit(event="job-ended", job=job)
    assert ended["result"]["exitCode"] == 0
    assert (ask.guard.state_folder / "jobs" / job / "stdout").read_text() == "x\n3\n80\n443\n"


@CALLERS
def test_refusals(ask, who):
    code, out, err = ask("run", "--datagram", "stream", as_=who)
    assert (code, out, err) == (122, "", 'posternctl: "stream" can\'t be run through the datagram '
                                'socket: its file does not say "datagram": true; connect to the stream '
                                "socket\n")
    code, out, err = ask("run", "--datagram", "mark", "text=x", "count=many", as_=who)
    assert (code, out) == (122, "") and err.startswith("posternctl: count: ")
    code, out, err = ask("check", "--datagram", "mark", as_=who)
    assert (code, out) == (122, "") and err.startswith("posternctl: text: ")
    for action in ("missing", *(() if who == ROOT else ("mine",))):
        for verb in ("run", "check", "describe"):
            code, out, err = ask(verb, "--datagram", action, as_=who)
            assert (code, out) == (126, "")
            assert re.match(f'posternctl: "{action}" does not exist or is not granted to you '
                            rf"\(uid {who.uid}( \([a-z]+\))?, gid {who.gid}( \([a-z]+\))?, ", err)
    assert not [entry for entry in ask.guard.audit() if entry["event"] == "job-started"]


@CALLERS
def test_notify_starts_the_action(ask, who):
    assert ask("notify", "mark", "text=a b", "count:=12", "ports:=[1,2]", as_=who) == (0, "", "")
    (started,) = ask.guard.wait_audit(event="job-started", action="mark", uid=who.uid)
    assert started["arguments"] == {"text": "a b", "count": "12", "ports": '["1", "2"]'}
    ask.guard.wait_audit(event="job-ended", job=started["job"])


def test_notify_of_what_is_refused_is_in_the_audit(ask):
    for words in (["missing"], ["stream"], ["mark"], ["mark", "text=x", "count=3"]):
        assert ask("notify", *words, as_=CAROL) == (0, "", "")
    entries = harness.wait_until(lambda: (found := ask.guard.audit()) and len(found) >= 4 and found)
    assert [(entry["uid"], entry["action"]) for entry in entries] == [
        (CAROL.uid, action) for action in ("missing", "stream", "mark", "mark")]
    assert not [entry for entry in entries if entry["event"] == "job-started"]


def test_notify_warns_those_whom_only_a_rule_for_a_group_allows(ask):
    def warning(action):
        return (f'posternctl: warning: "{action}" was sent, but the daemon denies it: it does not exist, or no rule '
                "allows you by datagram, where only your user and your primary group count; use posternctl run "
                "--detach, or ask the administrator for a rule that names your user\n")

    assert ask("notify", "crew", as_=ALICE) == (0, "", warning("crew"))
    assert ask("notify", "--json", "missing", as_=ALICE) == (0, '{"sent":true}\n', warning("missing"))
    assert not [entry for entry in ask.guard.audit() if entry["event"] == "job-started"]
    # A rule that names the user, or everybody; and a user who has no other groups.
    for action, who in (("crew", BOB), ("stream", ALICE), ("missing", CAROL), ("missing", ROOT)):
        assert ask("notify", action, as_=who) == (0, "", "")
    ask.guard.wait_audit(event="job-started", action="crew", uid=BOB.uid)
    ask.guard.wait_audit(event="job-ended", action="crew")


def test_notify_says_in_its_help_that_groups_do_not_count(ask):
    assert "a datagram carries no other groups" in " ".join(ask("notify", "--help")[1].split())


def test_the_guard_is_gone_and_comes_back(ask):
    assert ask("ping", "--datagram", as_=ALICE)[0] == 0
    ask.guard.kill()
    gone = f"posternctl: {ask.guard.datagram_path}: no program is listening there: the daemon that " \
           "created this socket has exited\n"
    assert ask("ping", "--datagram", as_=ALICE) == (125, "", gone)
    assert ask("notify", "mark", "text=x", as_=ALICE) == (125, "", gone)
    ask.guard.restart()
    assert ask("ping", "--datagram", as_=ALICE)[0] == 0
    ask.guard.stop()
    assert ask("ping", "--datagram", as_=ALICE) == (
        125, "", f"posternctl: {ask.guard.datagram_path}: no such socket; is the daemon running, and is "
        "this the path that it listens on?\n")


def test_the_group_of_the_socket(start_guard, box):
    guard = start_guard(ACTIONS, datagrams=True, socket_mode="0660", options=["--socket-group", "games"])

    def ask(*words, as_):
        return run_as(as_, [program("posternctl"), "--socket", str(guard.datagram_path), *words],
                      env={"PATH": "/usr/bin:/bin", "TMPDIR": str(box)})

    member = Identity(ALICE.uid, ALICE.gid, (60,))
    for words in (["ping", "--datagram"], ["notify", "mark", "text=x"]):
        assert ask(*words, as_=member).returncode == 0
        done = ask(*words, as_=CAROL)
        assert (done.returncode, done.stdout, done.stderr) == (
            125, "", f"posternctl: {guard.datagram_path}: no permission: only root and members of the "
            'group "games" may connect (mode 0660); ask the administrator: usermod -aG games YOUR-USER, '
            "then log in again (for a service: SupplementaryGroups=games in its unit)\n")
    guard.wait_audit(event="job-ended", action="mark")
