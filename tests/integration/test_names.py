"""Users and groups are shown with their names, in the audit and to the job itself."""

import re
import shutil

import pytest

import harness
from actions import HELLO, script
from identity import ALICE, GAMES
from jobs import record, text_of

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

ENV = script("env | grep -E '^(POSTERN_(UID|GID|USER)|SUDO_)' | sort")
SUDO = {**ENV, "sudoCompatible": True}
# What a caller might like to be taken for.
HOSTILE = {"POSTERN_USER": "root", "SUDO_USER": "root", "SUDO_UID": "0", "SUDO_GID": "0"}


def test_the_audit_names_who_has_an_account(start_guard):
    guard = start_guard({"hello": HELLO, "mine": {**HELLO, "allow": [{"user": "root"}]}})
    for who in (GAMES, ALICE):
        with guard.connect(as_=who) as client:
            client.run("hello")
            client.call("Run", {"action": "mine"})
    named = [(entry["event"], entry["uid"], entry.get("user"), entry.get("group"))
             for entry in guard.audit()]
    assert named == [
        *((event, GAMES.uid, "games", "games") for event in
          ("job-started", "job-ended", "call-denied")),
        *((event, ALICE.uid, None, None) for event in
          ("job-started", "job-ended", "call-denied"))]


def test_a_refusal_names_the_caller_as_the_daemon_does(start_guard):
    guard = start_guard({})
    done = guard.ctl("run", "none", as_=GAMES)
    assert (done.returncode, done.stderr) == (
        126, 'posternctl: "none" does not exist or is not granted to you '
             "(uid 5 (games), gid 60 (games), groups 60 (games))\n")


def test_a_job_is_told_its_callers_name(start_guard):
    guard = start_guard({"env": ENV})
    environment = {"PATH": "/usr/bin", **HOSTILE}
    done = guard.ctl("run", "env", as_=GAMES, env=dict(environment))
    assert done.stdout == "POSTERN_GID=60\nPOSTERN_UID=5\nPOSTERN_USER=games\n"
    # Without an account there is none.
    done = guard.ctl("run", "env", as_=ALICE, env=dict(environment))
    assert done.stdout == f"POSTERN_GID={ALICE.gid}\nPOSTERN_UID={ALICE.uid}\n"


def test_the_example_for_sudo_tells_who_asked(start_guard):
    guard = start_guard({})
    shutil.copy(harness.REPOSITORY / "examples/demo/who-asked.json", guard.actions_folder)
    (guard.actions_folder / "who-asked.json").chmod(0o644)
    assert guard.ctl("run", "who-asked", as_=GAMES).stdout == "SUDO_GID=60\nSUDO_UID=5\nSUDO_USER=games\n"
    assert guard.ctl("run", "who-asked", as_=ALICE).stdout == (
        f"SUDO_GID={ALICE.gid}\nSUDO_UID={ALICE.uid}\n")


def test_a_job_may_find_what_sudo_would_have_set(start_guard):
    guard = start_guard({"env": SUDO})
    environment = {"PATH": "/usr/bin", **HOSTILE}
    done = guard.ctl("run", "env", as_=GAMES, env=dict(environment))
    assert done.stdout == ("POSTERN_GID=60\nPOSTERN_UID=5\nPOSTERN_USER=games\n"
                           "SUDO_GID=60\nSUDO_UID=5\nSUDO_USER=games\n")
    done = guard.ctl("run", "env", as_=ALICE, env=dict(environment))
    assert done.stdout == (f"POSTERN_GID={ALICE.gid}\nPOSTERN_UID={ALICE.uid}\n"
                           f"SUDO_GID={ALICE.gid}\nSUDO_UID={ALICE.uid}\n")


def test_a_job_has_the_name_in_its_record(start_guard):
    guard = start_guard({"env": SUDO})
    with guard.connect(as_=GAMES) as client:
        replies = client.run("env")
        assert "POSTERN_USER=games\n" in text_of(replies)
        job = replies[0]["parameters"]["job"]
    assert record(guard, job)["requester"]["user"] == "games"


def test_a_refused_call_is_one_record_by_whatever_verb(start_guard):
    guard = start_guard({"mine": {**HELLO, "allow": [{"user": "root"}]}})
    for verb in ("run", "check", "describe"):
        before = len(guard.audit())
        done = guard.ctl(verb, "mine", "size=3", as_=GAMES) if verb != "describe" else (
            guard.ctl(verb, "mine", as_=GAMES))
        assert done.returncode == 126
        assert re.fullmatch(r'posternctl: "mine" does not exist or is not granted to you \(.*\)\n',
                            done.stderr)
        assert [entry["event"] for entry in guard.audit()[before:]] == ["call-denied"]
    # Two real calls are two.
    with guard.connect(as_=GAMES) as client:
        before = len(guard.audit())
        for _ in range(2):
            client.call("Run", {"action": "mine"})
    assert [entry["event"] for entry in guard.audit()[before:]] == ["call-denied"] * 2


def test_a_refused_packet_is_one_record(start_guard):
    guard = start_guard({"mine": {**HELLO, "allow": [{"user": "root"}], "datagram": True}},
                        datagrams=True)
    done = guard.ctl("run", "--datagram", "mine", as_=GAMES,
                     env={"PATH": "/usr/bin", "POSTERN_DATAGRAM": str(guard.datagram_path)})
    assert done.returncode == 126, done.stderr
    assert [entry["event"] for entry in guard.audit()] == ["call-denied"]


def test_the_log_does_not_tell_again_what_the_audit_has(start_guard):
    guard = start_guard({"hello": HELLO})
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
    guard.wait_audit(event="job-ended")
    assert "hello" not in guard.stderr()


