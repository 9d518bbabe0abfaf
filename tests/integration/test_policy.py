"""What the action files say is what happens: over the wire, at start and after a reload."""

import itertools
import json

import pytest

import harness
from actions import EVERYONE, TRUE
from harness import program
from identity import ALICE, BOB, CAROL, ROOT, Identity, run_as

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")


def posternd_check(guard):
    """What posternd --check says of the guard's files: exit code and JSON."""
    done = run_as(None, [program("posternd"), "--actions", str(guard.actions_folder), "--check",
                         "--json"])
    return done.returncode, json.loads(done.stdout)


# ---- Who may ----

STRANGER = Identity(64009, 64009)
LAST = Identity(4294967294, 4294967294)
RULES = {
    "nobody": ({"allow": []}, []),
    "everyone": ({"allow": EVERYONE}, [ROOT, ALICE, BOB, CAROL, STRANGER, LAST]),
    "user": ({"allow": [{"user": ALICE.uid}]}, [ALICE]),
    "name": ({"allow": [{"user": "root"}]}, [ROOT]),
    "group": ({"allow": [{"group": 64100}]}, [ALICE, BOB]),
    "primary": ({"allow": [{"group": CAROL.gid}]}, [CAROL]),
    "both": ({"allow": [{"user": BOB.uid, "group": 64100}]}, [BOB]),
    "both-not": ({"allow": [{"user": CAROL.uid, "group": 64100}]}, []),
    "any": ({"allow": [{"user": CAROL.uid}, {"user": ALICE.uid}]}, [ALICE, CAROL]),
    "denied": ({"allow": EVERYONE, "deny": [{"user": ALICE.uid}]}, [ROOT, BOB, CAROL, STRANGER, LAST]),
    "denied-group": ({"allow": [{"group": 64100}, {"user": 0}], "deny": [{"group": 64100}]}, [ROOT]),
    "denied-both": ({"allow": EVERYONE, "deny": [{"user": BOB.uid, "group": CAROL.gid}]},
                    [ROOT, ALICE, BOB, CAROL, STRANGER, LAST]),
    "denied-all": ({"allow": [{"user": 0}], "deny": EVERYONE}, []),
    "last": ({"allow": [{"user": LAST.uid}]}, [LAST]),
}


@pytest.mark.parametrize("order", ["as it is", "reversed"])
def test_every_identity_and_every_rule(start_guard, order):
    actions = {}
    for name, (rules, _) in RULES.items():
        step = 1 if order == "as it is" else -1
        actions[name] = {**TRUE, **{key: value[::step] for key, value in rules.items()}}
    guard = start_guard(actions)
    for identity in (ROOT, ALICE, BOB, CAROL, STRANGER, LAST):
        expected = sorted(name for name, (_, who) in RULES.items() if identity in who)
        with guard.connect(as_=identity) as client:
            assert client.granted() == expected
            assert [name for name in sorted(RULES) if client.may(name)] == expected
            for name in RULES:
                reply = client.call("Run", {"action": name})
                result = reply["parameters"].get("result", {})
                assert (result.get("exitCode") == 0) == (name in expected), (identity, name, reply)
    started = [(e["uid"], e["action"]) for e in guard.audit() if e["event"] == "job-started"]
    assert started == [(identity.uid, name)
                       for identity in (ROOT, ALICE, BOB, CAROL, STRANGER, LAST)
                       for name in RULES if identity in RULES[name][1]]


def test_a_name_matches_itself_alone(start_guard):
    guard = start_guard({"backup": {**TRUE, "allow": EVERYONE}, "backup-all": {**TRUE, "allow": []}})
    with guard.connect(as_=ALICE) as client:
        assert client.may("backup")
        for name in ("backup-all", "Backup", "BACKUP", "backup ", " backup", "backup.json", "backu",
                     "backup\n", "./backup", "backup\u0000", "", "b\u0430ckup", "back*", "x" * 4096):
            assert not client.may(name), name


def test_missing_and_not_granted_can_not_be_told_apart(start_guard):
    secret = {"summary": "Secret", "exec": ["/bin/echo", "{mode}"], "allow": [{"user": 0}],
              "arguments": {"mode": {"type": "string", "enum": ["on", "off"]}}}
    bad = {"summary": "Bad", "exec": ["/bin/true"], "allow": EVERYONE, "sandbox": {}}
    denied = {**secret, "allow": EVERYONE, "deny": [{"user": ALICE.uid}]}
    guard = start_guard({"action-a": secret, "action-b": bad, "action-d": denied})
    arguments = [None, {}, {"mode": "on"}, {"mode": "bad"}, {"mode": ["on"]}, {"mode": {"on": 1}},
                 {"other": 1.5}, {"mode": "\u2028"}, {"mode": ""}, {"mode": "-x"}]
    with guard.connect(as_=ALICE) as client:
        for method, values, more in itertools.product(("Run", "Check", "Describe"), arguments,
                                                      (False, True)):
            if more and method != "Run" or method == "Describe" and values is not None:
                continue
            replies = []
            for name in ("action-a", "action-b", "action-d", "action-x"):
                parameters = {"action": name}
                if values is not None:
                    parameters["arguments"] = values
                client.send_call(method, parameters, more=more)
                replies.append(client.read_frame().replace(name.encode(), b"NAME"))
            expected = ('{"error":"org.postern.Actions.NotGranted","parameters":{"action":"NAME",'
                        f'"message":"\\"NAME\\" does not exist or is not granted to you {ALICE.shown()}"}}}}')
            assert replies == [expected.encode()] * 4
    # The administrator is told.
    files = guard.actions_folder
    reasons = {e["action"]: (e["reason"], e.get("rule"), e.get("place")) for e in guard.audit()}
    line = (files / "action-d.json").read_text().splitlines().index('  "deny": [') + 2
    assert reasons == {
        "action-a": ("no rule matches", None, f"{files}/action-a.json"),
        "action-b": ("the action's file is not valid", None, f"{files}/action-b.json"),
        "action-d": ("denied by a rule", f"deny user {ALICE.uid}", f"{files}/action-d.json:{line}"),
        "action-x": ("no such action", None, None)}


def test_nothing_of_the_callers_surroundings_counts(start_guard, folder):
    guard = start_guard({"for.root": {**TRUE, "allow": [{"user": "root"}, {"group": "root"}]},
                         "env": {"summary": "Env", "exec": ["/usr/bin/env"], "allow": EVERYONE}})
    environment = {"PATH": "/usr/bin", "USER": "root", "LOGNAME": "root", "UID": "0", "HOME": "/root",
                   "SUDO_UID": "0", "HOSTNAME": "localhost", "POSTERN_UID": "0"}
    for cwd in ("/", "/etc", str(guard.actions_folder)):
        done = guard.ctl("run", "for.root", as_=ALICE, env=dict(environment), cwd=cwd)
        assert (done.returncode, done.stdout) == (126, "")
        done = guard.ctl("run", "env", as_=ALICE, env=dict(environment), cwd=cwd)
        assert "SUDO_UID" not in done.stdout and f"POSTERN_UID={ALICE.uid}\n" in done.stdout


# ---- Reload ----

def test_a_revoked_permission_is_gone_on_the_open_connection(start_guard):
    guard = start_guard({"own": {**TRUE, "allow": [{"user": ALICE.uid}]}})
    with guard.connect(as_=ALICE) as client:
        assert client.call("Run", {"action": "own"})["parameters"]["result"]["exitCode"] == 0
        guard.write_action("own", {**TRUE, "allow": [{"user": BOB.uid}]})
        # Without a reload: what stands there is what is loaded.
        assert client.call("Run", {"action": "own"})["error"] == "org.postern.Actions.NotGranted"
        assert client.granted() == []
        guard.write_action("own", {**TRUE, "allow": [{"user": ALICE.uid}]})
        guard.reload()
        assert client.may("own")
        assert client.granted() == ["own"]
        guard.remove_action("own")
        guard.reload()
        assert not client.may("own")


@pytest.mark.parametrize("rules, error", [
    ({"allow": [{"user": "postern-none"}]},
     '8:15: allow[0].user: there is no user "postern-none"; correct the name or create the user'),
    ({"allow": [{"group": "postern-none"}]},
     '8:16: allow[0].group: there is no group "postern-none"; correct the name or create the group'),
    ({"allow": EVERYONE, "deny": [{"user": "postern-none"}]},
     '13:15: deny[0].user: there is no user "postern-none"; correct the name or create the user'),
    ({"allow": EVERYONE, "deny": [{"group": "postern-none"}]},
     '13:16: deny[0].group: there is no group "postern-none"; correct the name or create the group'),
])
def test_an_unknown_name_takes_its_file_out_of_force(start_guard, rules, error):
    good = {**TRUE, "allow": EVERYONE}
    guard = start_guard({"one": good, "two": good})
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["one", "two"]
        path = guard.write_action("one", {**TRUE, **rules})
        guard.reload()
        assert client.granted() == ["two"]
        assert not client.may("one")
    assert f"posternd: error: not loaded: {path}:{error}\n" in guard.stderr()


BAD_FILES = {
    "unknown key": ({**TRUE, "allow": [], "allows": []}, 'allows: unknown key; did you mean "allow"?'),
    "wrong type": ({**TRUE, "allow": [], "timeout": []}, "must be a duration, not"),
    "duplicate": ('{"summary": "x",\n "exec": ["/bin/true"],\n "allow": [],\n "allow": []}', "twice"),
    "relative": ({**TRUE, "allow": [], "exec": ["true"]}, '"true" is not absolute'),
    "sandbox": ({**TRUE, "allow": [], "sandbox": {}}, "needs systemd, and this daemon starts its jobs itself"),
    "unit": ({**TRUE, "allow": [{"unit": "x"}]}, "is not a unit that callers can run in"),
    "lonely": ('{"summary": "\\ud800"}', ""),
    "syntax": ('{"summary": "x",,}', ""),
}


def test_after_a_reload_that_is_in_force_which_a_restart_would_put_in_force(start_guard):
    good = {**TRUE, "allow": EVERYONE}
    guard = start_guard({"stays": good, "goes": good, "spoils": good})
    guard.write_action("comes", good)
    guard.remove_action("goes")
    guard.write_action("spoils", '{"summary": "half')
    (guard.actions_folder / "stays.json").write_text("", encoding="ascii")  # masks
    for number, (content, _) in enumerate(BAD_FILES.values()):
        guard.write_action(f"bad-{number}", content)
    guard.reload()
    code, shown = posternd_check(guard)
    assert code == 1
    checked = [action["action"] for action in shown["actions"]]
    assert checked == ["comes"]
    assert sorted(bad["action"] for bad in shown["bad"]) == sorted(
        ["spoils", *(f"bad-{number}" for number in range(len(BAD_FILES)))])
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == checked
    guard.stop()
    guard.restart()
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == checked
    guard.remove_action("spoils")
    for number in range(len(BAD_FILES)):
        guard.remove_action(f"bad-{number}")
    assert posternd_check(guard)[0] == 0


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_off_and_says_where_and_why(start_guard, name):
    content, why = BAD_FILES[name]
    guard = start_guard({"bad": content, "good": {**TRUE, "allow": EVERYONE}})
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["good"]
    lines = [line for line in guard.stderr().splitlines() if "not loaded" in line]
    path = guard.actions_folder / "bad.json"
    assert len(lines) == 1
    assert lines[0].startswith(f"posternd: error: not loaded: {path}:")
    line, column, message = lines[0].removeprefix(
        f"posternd: error: not loaded: {path}:").split(":", 2)
    assert int(line) > 0 and int(column) > 0 and why in message


def test_a_set_that_can_not_be_read_leaves_the_old_one(start_guard):
    guard = start_guard({"own": {**TRUE, "allow": EVERYONE}})
    for number in range(1025):
        (guard.actions_folder / f"n{number}.json").symlink_to("/dev/null")
    guard.reload()
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["own"]
    assert "the loaded actions stay loaded" in guard.stderr()
