"""A user is more than a uid: who has lines in /etc/subuid and /etc/subgid takes on other uids of the range,
and drops groups; rules that deny, quotas and the audit see whose uids they are."""

import json

import pytest

import harness
from identity import Identity, run_as
from jobs import end_of, text_of
from processes import stopped
from user_namespace import (Accounts, InNamespace, call_as_setuid, setuid_interpreter, subordinate)
from wire import message

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

# A user with an account and subordinate ids, who is in a group that some action denies; one more of that
# group; one without anything; a system account whose range containers get theirs from.
MALLORY = Identity(4242, 4242, (5555,))
VICTIM = Identity(5000, 5000, (5555,))
OTHER = Identity(5001, 5001)
USERS = [("mallory", 4242, 4242), ("victim", 5000, 5000), ("other", 5001, 5001),
         ("containers", 901, 901), ("guest", 902, 902)]
GROUPS = [("mallory", 4242, ()), ("victim", 5000, ()), ("other", 5001, ()), ("barred", 5555, ("mallory",)),
          ("guest", 902, ())]
SUBUID = "mallory:100000:65536\n5001:300000:65536\ncontainers:400000:65536\n"

SUB = subordinate(MALLORY, 100000)                   # keeps the group
POORER = subordinate(MALLORY, 4242, groups=())       # drops it
DROPPED = subordinate(MALLORY, 100007, groups=())

ID = {"summary": "Who", "exec": ["/usr/bin/id", "-u"], "user": "daemon"}
EVERYONE = [{"everyone": True}]
ACTIONS = {
    "open": {**ID, "allow": EVERYONE},
    "deny.group": {**ID, "allow": EVERYONE, "deny": [{"group": "barred"}]},
    "deny.user": {**ID, "allow": [{"group": 5555}], "deny": [{"user": "mallory"}]},
    "deny.user.all": {**ID, "allow": EVERYONE, "deny": [{"user": "mallory"}]},
    "deny.other": {**ID, "allow": EVERYONE, "deny": [{"user": "other"}]},
    "by.user": {**ID, "allow": [{"user": 4242}], "deny": [{"group": 5555}]},
    "named": {**ID, "allow": [{"user": 700003}], "deny": [{"user": "mallory"}]},
}


@pytest.fixture
def accounts(folder):
    """The accounts of these tests; they are the guard's where it is started under them."""
    return Accounts(folder, USERS, GROUPS, SUBUID, SUBUID)


@pytest.fixture
def start(start_guard, accounts):
    """Starts a guard that sees those accounts."""
    def begin(actions=None, **kwargs):
        return start_guard(ACTIONS if actions is None else actions, under=accounts.under, **kwargs)
    return begin


def granted(guard, identity):
    with guard.connect(as_=identity) as client:
        names = client.granted()
        assert names == [name for name in sorted(ACTIONS) if client.may(name)]
        return names


def runs(client, action):
    """Whether the action runs for this client."""
    reply = client.run(action)[-1]
    if "error" in reply:
        assert reply["error"] == "org.postern.Actions.NotGranted", reply
        return False
    assert end_of(reply) == {"outcome": "exited", "exitCode": 0}
    return True


def test_as_themselves(start):
    guard = start()
    assert granted(guard, MALLORY) == ["deny.other", "open"]
    assert granted(guard, VICTIM) == ["deny.other", "deny.user", "deny.user.all", "open"]
    assert granted(guard, OTHER) == ["deny.group", "deny.user.all", "open"]


def test_a_group_that_was_dropped_in_a_user_namespace_is_still_denied(start):
    guard = start()
    with guard.connect(as_=POORER) as client:
        assert client.call("WhoAmI")["parameters"]["groups"] == [4242]  # it did drop it
        assert [name for name in ACTIONS if runs(client, name)] == ["open", "deny.other"]
    denied = guard.wait_audit(event="call-denied", action="deny.group")[0]
    assert (denied["uid"], denied["reason"], "owner" in denied) == (4242, "denied by a rule", False)


@pytest.mark.parametrize("who", [SUB, DROPPED], ids=["with its groups", "without"])
def test_a_subordinate_uid_is_denied_as_its_owner(start, who):
    guard = start()
    with guard.connect(as_=who) as client:
        assert client.call("WhoAmI")["parameters"]["uid"] == who.uid
        assert [name for name in ACTIONS if runs(client, name)] == ["open", "deny.other"]
    denied = guard.wait_audit(event="call-denied", action="deny.user.all")[0]
    assert (denied["uid"], denied["owner"], denied["rule"]) == (who.uid, 4242, 'deny user "mallory"')
    started = guard.wait_audit(event="job-started", action="open")[0]
    assert (started["uid"], started["owner"]) == (who.uid, 4242)


def test_a_setuid_file_of_a_subordinate_uid_in_the_first_namespace(start, folder):
    guard = start()
    python = setuid_interpreter(folder, 100007)
    for identity in (MALLORY, POORER, Identity(6000, 6000)):
        calls = [message("WhoAmI"), *[message("Run", {"action": name}) for name in ACTIONS]]
        who, *replies = [json.loads(line) for line in call_as_setuid(guard, python, identity, *calls)]
        assert who["parameters"]["uid"] == 100007
        may = [name for name, reply in zip(ACTIONS, replies, strict=True) if "error" not in reply]
        assert may == ["open", "deny.other"]


# ---- Owners that are not known ----

# In a namespace that somebody's root has made, of uids that are in nobody's range.
STRANGER = InNamespace(700003, 700003, (700003,), Identity(700000, 700000),
                       "0 700000 65536\n", "0 700000 65536\n")
MAPLESS = InNamespace(100001, 4242, (5555,), Identity(100001, 4242, (5555,)))


def test_of_an_unknown_owner_every_deny_holds(start):
    guard = start()
    with guard.connect(as_=STRANGER) as client:
        assert client.granted() == ["named", "open"]  # "named" says exactly this uid
        assert runs(client, "named")
    with guard.connect(as_=STRANGER) as client:
        assert not runs(client, "deny.other")
    denied = guard.wait_audit(event="call-denied", action="deny.other")[0]
    assert (denied["reason"], denied["rule"], denied["owner"]) == (
        "denied by a rule, because it is not known which user this uid belongs to", 'deny user "other"', 655360)


def test_a_namespace_without_a_map_leads_to_nobody(start):
    guard = start()
    assert granted(guard, MAPLESS) == ["open"]


def test_who_is_gone_before_accept_has_an_unknown_owner_but_for_accounts(start):
    guard = start()
    clients = []
    with stopped(guard.pid):  # who connects waits in the backlog
        for who in (DROPPED, POORER, VICTIM):
            client = guard.connect(as_=who)
            client.peer.end_peer()
            clients.append(client)
    expected = [["open"], ["deny.other", "open"],
                ["deny.other", "deny.user", "deny.user.all", "open"]]
    for client, names in zip(clients, expected, strict=True):
        with client:
            assert client.granted() == names


def test_containers_of_people_whom_nothing_denies_go_on_working(start):
    guard = start()
    others = [subordinate(OTHER, 300005, first=300000), subordinate(OTHER, 5001, first=300000),
              InNamespace(400010, 400000, (), Identity(400000, 400000), "0 400000 65536\n",
                          "0 400000 65536\n")]
    for who, actions in zip(others, [["deny.group", "deny.user.all", "open"],
                                     ["deny.group", "deny.user.all", "open"],
                                     ["deny.group", "deny.other", "deny.user.all", "open"]], strict=True):
        assert granted(guard, who) == actions
        with guard.connect(as_=who) as client:
            assert runs(client, "deny.group")
    assert [(e["uid"], e.get("owner")) for e in guard.wait_audit(event="job-started", count=3)] == [
        (300005, 5001), (5001, None), (400010, 400000)]  # a system account's: by namespace
    with guard.connect(as_=STRANGER) as client:
        assert runs(client, "open")


def test_a_namespace_that_root_made_of_its_own_is_the_guards(start):
    guard = start()
    # All of the host, as `unshare -U --map-users=all` of root has it.
    everything = InNamespace(5000, 5000, (5555,), Identity(0, 0, (5555,)), "0 0 4294967295\n",
                             "0 0 4294967295\n")
    assert granted(guard, everything) == ["deny.other", "deny.user", "deny.user.all", "open"]


# ---- Ranges that change ----

def test_a_range_that_is_added_counts_against_open_connections(start, accounts):
    guard = start()
    newcomer = subordinate(VICTIM, 200000, first=200000)
    with guard.connect(as_=newcomer) as client:
        # Its map leads to the victim, whom nothing denies but as a member of "barred", which the group
        # database does not say.
        assert client.granted() == ["deny.other", "deny.user", "deny.user.all", "open"]
    setuid = Identity(200001, 5000)
    with guard.connect(as_=setuid) as client:
        assert client.may("deny.other")
        accounts.write("subuid", SUBUID + "5001:200000:65536\n")
        harness.wait_until(lambda: not client.may("deny.other"), what="the new range")
        assert client.may("deny.user.all")
    guard.reload()
    assert not granted(guard, setuid).count("deny.other")


def test_a_range_that_is_taken_away_counts_until_the_guard_restarts(start, accounts):
    guard = start()
    setuid = Identity(300001, 300001)
    assert "deny.other" not in granted(guard, setuid)
    accounts.write("subuid", "mallory:100000:65536\n200:90000:1\n")
    harness.wait_until(lambda: "have changed: reloaded" in guard.stderr())
    guard.reload()
    assert "deny.other" not in granted(guard, setuid)
    guard.stop()
    guard.restart()
    assert "deny.other" in granted(guard, setuid)


def test_a_group_that_is_given_later_counts_too(start, accounts):
    guard = start()
    with guard.connect(as_=OTHER) as client:
        assert client.may("deny.group")
        text = (accounts.etc / "group").read_text()
        accounts.write("group", text.replace("barred:x:5555:mallory", "barred:x:5555:mallory,other"))
        harness.wait_until(lambda: not client.may("deny.group"), what="the new member")


def test_ranges_from_elsewhere_are_not_known(start_guard, folder):
    accounts = Accounts(folder, USERS, GROUPS, SUBUID, SUBUID, nsswitch="subid: sss")
    guard = start_guard(ACTIONS, under=accounts.under)
    assert ('/etc/nsswitch.conf: subordinate ids come from "sss", and only those from files can be read: '
            "it is not known which user a uid without an account belongs to, and deny rules that name a user or group apply to all such uids") in guard.stderr()
    assert granted(guard, VICTIM) == ["deny.other", "deny.user", "deny.user.all", "open"]
    assert granted(guard, DROPPED) == ["deny.other", "open"]  # by its map
    assert granted(guard, Identity(100007, 100007)) == ["open"]


# ---- Quotas and jobs ----

SLEEP = {"sleep": {"summary": "Stay", "exec": ["/bin/sleep", "1000"], "allow": EVERYONE, "user": "daemon",
                   "onDisconnect": "kill"}}


def test_jobs_of_subordinate_uids_count_for_their_owner_and_are_not_shared(start):
    guard = start(SLEEP, options=["--limit", "jobsPerUser=2"])
    clients = [guard.connect(as_=who) for who in (SUB, MALLORY)]
    jobs = []
    for client in clients:
        client.send_call("Run", {"action": "sleep"}, more=True)
        jobs.append(client.read_reply()["parameters"]["job"])
    for who in (MALLORY, DROPPED, POORER, subordinate(MALLORY, 100009)):
        with guard.connect(as_=who) as client:
            reply = client.run("sleep")[-1]
            assert reply["error"] == "org.postern.Actions.LimitReached"
    refused = guard.wait_audit(event="call-refused", count=4)
    assert [(e["uid"], e.get("owner")) for e in refused] == [
        (4242, None), (100007, 4242), (4242, None), (100009, 4242)]
    with guard.connect(as_=VICTIM) as client:
        client.send_call("Run", {"action": "sleep"}, more=True)
        assert "job" in client.read_reply()["parameters"]
    # Another subordinate uid of the same owner can neither look at it nor end it.
    with guard.connect(as_=subordinate(MALLORY, 100009)) as client:
        for job in jobs:
            for method in ("Get", "Follow"):
                reply = client.call(f"org.postern.Jobs.{method}", {"job": job})
                assert reply["error"] == "org.postern.Jobs.NoSuchJob"
    for client in clients:
        client.close()
    ended = guard.wait_audit(event="job-ended", count=3)
    assert sorted((e["uid"], e.get("owner", 0)) for e in ended) == [(4242, 0), (5000, 0), (100000, 4242)]


def test_connections_and_sessions_count_for_the_owner(start):
    guard = start(options=["--limit", "connectionsPerUser=2"])
    with guard.connect(as_=SUB) as one, guard.connect(as_=MALLORY) as two:
        assert one.may("open") and two.may("open")
        with guard.connect(as_=DROPPED) as third:
            assert json.loads(third.read_to_end()[:-1])["parameters"]["limit"] == "connectionsPerUser"
        refused = guard.wait_audit(event="connection-refused")[0]
        assert (refused["uid"], refused["owner"], refused["reason"]) == (
            100007, 4242, "limit connectionsPerUser")
        with guard.connect(as_=VICTIM) as other:
            assert other.may("open")


def test_records_count_for_the_owner(start):
    guard = start(options=["--limit", "recordsPerUser=2"])

    def job_of(client):
        client.send_call("Run", {"action": "open"}, more=True)
        replies = client.read_replies()
        return replies[0]["parameters"]["job"]

    def kept(client, job):
        return "error" not in client.call("org.postern.Jobs.Get", {"job": job})

    with guard.connect(as_=VICTIM) as victim, guard.connect(as_=SUB) as first:
        of_victim, oldest = job_of(victim), job_of(first)
        for uid in (100001, 100002):
            with guard.connect(as_=subordinate(MALLORY, uid)) as client:
                assert kept(client, job_of(client))
        assert kept(victim, of_victim)
        assert not kept(first, oldest)
    guard.stop()
    guard.restart()
    with guard.connect(as_=SUB) as first:
        job_of(first)
    guard.stop()
    kept_now = [json.loads(path.read_text())["requester"] for path in
                (guard.state_folder / "jobs").glob("*/record.json")]
    assert sorted((who["uid"], who.get("payer")) for who in kept_now) == [
        (5000, None), (100000, 4242), (100002, 4242)]


# ---- Groups that a job lends ----

# As user "guest", with a group of root's: who traces the job has the group.
LENT = {"summary": "Lend", "exec": ["/usr/bin/id", "-G"], "user": "guest", "groups": ["guest", "shadow"]}
GUEST = Identity(902, 902, (5555,))


def test_what_lends_groups_is_for_those_whom_a_rule_names(start):
    # The way in which the loader of 0.1.0 said to guard such an action.
    guard = start({"by.group": {**LENT, "allow": [{"group": 5555}], "deny": [{"user": "guest"}]},
                   "by.user": {**LENT, "allow": [{"user": 100000}, {"user": 5000}]}})
    path = guard.actions_folder / "by.group.json"
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if '"groups"' in text)
    assert (f'not loaded: {path}:{line}:13: groups: gid 42 is not a group of the user "guest", so only '
            'callers that a rule names by user may run this, but "allow group 5555" names no user: a '
            "caller with subordinate ids could take the group from the job; name the users, or remove the group\n"
            ) in guard.stderr()
    for who in (GUEST, VICTIM, subordinate(GUEST, 100000)):
        with guard.connect(as_=who) as client:
            assert not client.may("by.group")
    # 100000 is named, and is guest's own by the map of its process, or anybody's.
    for who in (subordinate(GUEST, 100000), MAPLESS):
        with guard.connect(as_=who) as client:
            assert not client.may("by.user")
    with guard.connect(as_=VICTIM) as client:
        assert text_of(client.run("by.user")) == "902 42\n"
    with guard.connect(as_=SUB) as client:  # mallory's, and not guest's
        assert client.may("by.user")


# ---- What lint and --check say ----

def test_lint_and_check_say_what_is_not_safe(folder):
    accounts = Accounts(folder, USERS, GROUPS,
                        "mallory:4000:1000\nother:100000:65536\nmallory:150000:10\nother:61000:1000\n",
                        "mallory:5555:1\nother:600000:1\n")
    action = {"summary": "s", "exec": ["/bin/true"], "allow": EVERYONE,
              "deny": [{"group": 5999}, {"group": "barred"}]}
    actions = folder / "actions"
    actions.mkdir()
    file = actions / "a.json"
    file.write_text(json.dumps(action))
    said = [
        '/etc/subuid:1: 4000-4999 of "mallory" covers the account "mallory" (4242), which its owner '
        "can then become; assign other ids",
        '/etc/subuid:4: 61000-61999 of "other" covers ids from 61184 to 65519, which systemd gives to '
        "services with DynamicUser; assign other ids",
        '/etc/subuid:3: 150000-150009 of "mallory" overlaps 100000-165535 of "other" in line 2: a deny '
        "rule that names one of them applies to both; assign other ids",
        '/etc/subgid:1: 5555-5555 of "mallory" covers the group "barred" (5555), which its owner '
        "can then become; assign other ids",
        '/etc/subgid:2: 600000-600000 of "other" covers ids from 524288 to 1878982655, which systemd gives '
        "to containers; assign other ids",
        f"{file}:1: deny group 5999: the group database lists no members of this group, so the rule "
        "applies only to processes that have it, and users with subordinate ids can drop it; deny the users instead"]
    warnings = "".join(f"warning: {text}\n" for text in said)
    lint = [*accounts.under, harness.program("posternctl")]
    check = [*accounts.under, harness.program("posternd"), "--check", "--actions", str(actions),
             "--jobs", "direct"]
    done = run_as(None, [*lint, "lint", str(file)])
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 file is good\n", warnings)
    done = run_as(None, [*lint, "--json", "lint", str(file)])
    assert json.loads(done.stdout)["warnings"] == said
    done = run_as(None, check)
    assert (done.returncode, done.stderr) == (0, warnings)
    done = run_as(None, [*check, "--json"])
    assert json.loads(done.stdout)["warnings"] == said
