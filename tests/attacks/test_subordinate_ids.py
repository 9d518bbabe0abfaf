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
