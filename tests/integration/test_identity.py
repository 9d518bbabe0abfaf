"""Who a caller is: what the kernel said when it connected, and nothing that it does or says itself."""

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

import harness
from identity import ALICE, BOB, CAROL, ROOT, ConnectedAs, Identity, popen_as, run_as
from jobs import text_of
from processes import stopped

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

PAST_INT = Identity(2147483648, 2147483648)
LAST = Identity(4294967294, 4294967294)
NOBODY = Identity(65534, 65534)
POOR_ALICE = Identity(ALICE.uid, ALICE.gid)

TRUE = ["/bin/true"]
ACTIONS = {
    "for.all": {"summary": "All", "exec": TRUE, "allow": [{"everyone": True}]},
    "for.root": {"summary": "Root", "exec": TRUE, "allow": [{"user": 0}]},
    "for.rootgroup": {"summary": "Root's group", "exec": TRUE, "allow": [{"group": 0}]},
    "for.alice": {"summary": "Alice", "exec": TRUE, "allow": [{"user": ALICE.uid}]},
    "for.bob": {"summary": "Bob", "exec": TRUE, "allow": [{"user": BOB.uid}]},
    "for.nobody": {"summary": "Nobody", "exec": TRUE, "allow": [{"user": 65534}]},
    "for.past": {"summary": "Past int", "exec": TRUE, "allow": [{"user": PAST_INT.uid}]},
    "for.last": {"summary": "Last", "exec": TRUE, "allow": [{"user": LAST.uid}]},
    "for.group": {"summary": "Group", "exec": TRUE, "allow": [{"group": 64100}]},
}

# A client without anything of ours: connects (bound to a name of its own, if one is given) and prints
# the reply to WhoAmI and to the Run of for.root.
CLIENT = r"""
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
if len(sys.argv) > 2:
    s.bind(os.fsencode(sys.argv[2]).replace(b"@", b"\0"))
s.connect(sys.argv[1])
f = s.makefile("rb")
for call in ({"method": "org.postern.Actions.WhoAmI"},
             {"method": "org.postern.Actions.Check", "parameters": {"action": "for.root"}}):
    s.sendall(json.dumps(call).encode() + b"\n")
    print(f.readline().decode(), end="")
"""


def who(identity, pid):
    """What WhoAmI says of this identity."""
    return {"uid": identity.uid, "gid": identity.gid,
            "groups": sorted({identity.gid, *identity.groups}), "pid": pid}


def test_every_uid_is_itself_and_gets_what_names_it(start_guard):
    guard = start_guard(ACTIONS)
    rows = [(ROOT, ["for.all", "for.root", "for.rootgroup"]),
            (ALICE, ["for.alice", "for.all", "for.group"]),
            (BOB, ["for.all", "for.bob", "for.group"]),
            (CAROL, ["for.all"]),
            (PAST_INT, ["for.all", "for.past"]),
            (LAST, ["for.all", "for.last"]),
            # Whom a user namespace can't map: may be anybody, so `everyone` is not enough.
            (NOBODY, ["for.nobody"])]
    for identity, actions in rows:
        with guard.connect(as_=identity) as client:
            assert client.call("WhoAmI") == {"parameters": who(identity, client.peer.pid)}
            assert client.granted() == actions
            assert [name for name in sorted(ACTIONS) if client.may(name)] == actions
    reasons = [e["reason"] for e in guard.audit() if e.get("uid") == NOBODY.uid
               and e["action"] == "for.all"]
    assert reasons == ["uid 65534 can be anybody, and no rule names it"]


def test_a_peer_that_is_gone_before_its_call_is_still_who_it_was(start_guard):
    guard = start_guard(ACTIONS)
    with guard.connect(as_=ALICE) as client:
        pid = client.peer.pid
        client.peer.end_peer()
        assert client.call("WhoAmI") == {"parameters": who(ALICE, pid)}
        assert client.run("for.alice")[-1]["parameters"]["result"]["exitCode"] == 0
        assert not client.may("for.bob")


def test_a_peer_that_is_reaped_before_accept_is_still_who_it_was(start_guard):
    guard = start_guard(ACTIONS)
    with stopped(guard.pid):  # who connects waits in the backlog
        client = guard.connect(as_=ALICE)
        pid = client.peer.pid
        client.peer.end_peer()
    with client:
        assert client.call("WhoAmI") == {"parameters": who(ALICE, pid)}
        assert client.granted() == ["for.alice", "for.all", "for.group"]


# Connects, hands the connection to its parent over descriptor 3, and becomes another program.
CONNECT_AND_EXEC = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.set_inheritable(True)
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"x"], [s.fileno()])
os.execv(sys.argv[3], ["sleep", "1000"])
"""


def test_who_becomes_root_after_connecting_stays_who_connected(start_guard, folder):
    guard = start_guard(ACTIONS)
    program = folder / "sleep"
    shutil.copy("/usr/bin/sleep", program)
    program.chmod(0o4755)
    ours, theirs = socket.socketpair()
    with stopped(guard.pid):  # who connects waits in the backlog
        process = popen_as(ALICE, [sys.executable, "-c", CONNECT_AND_EXEC, str(guard.socket_path),
                                   str(theirs.fileno()), str(program)], pass_fds=[theirs.fileno()])
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)

        def uids():
            with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
                return [line.split()[1:] for line in status if line.startswith("Uid:")][0]

        try:
            harness.wait_until(lambda: uids() == [str(ALICE.uid), "0", "0", "0"])
        except BaseException:
            process.kill()
            raise
    try:
        connection = socket.socket(fileno=descriptors[0])
        connection.sendall(b'{"method":"org.postern.Actions.WhoAmI"}\n'
                           b'{"method":"org.postern.Actions.List"}\n')
        with connection, connection.makefile("rb") as replies:
            assert json.loads(replies.readline()) == {"parameters": who(ALICE, process.pid)}
            names = [a["name"] for a in json.loads(replies.readline())["parameters"]["actions"]]
            assert names == ["for.alice", "for.all", "for.group"]
    finally:
        process.kill()
        process.wait()
        ours.close()
        theirs.close()


# Connects with one list of groups (effective ids alone change), then takes another, then calls.
CHANGE_GROUPS = """
import os, socket, sys
path, uid, before, after = sys.argv[1], int(sys.argv[2]), eval(sys.argv[3]), eval(sys.argv[4])
s = socket.socket(socket.AF_UNIX)
os.setgroups(before); os.setegid(uid); os.seteuid(uid)
s.connect(path)
os.seteuid(0); os.setgroups(after)
s.sendall(b'{"method":"org.postern.Actions.Check","parameters":{"action":"for.group"}}\\n')
print(s.recv(65536).decode(), end="")
"""


@pytest.mark.parametrize("before, after, allowed", [("[64100]", "[]", True),
                                                    ("[]", "[64100]", False)])
def test_groups_are_those_of_the_moment_of_connecting(start_guard, before, after, allowed):
    guard = start_guard(ACTIONS)
    done = run_as(None, [sys.executable, "-c", CHANGE_GROUPS, str(guard.socket_path),
                         str(ALICE.uid), before, after])
    reply = json.loads(done.stdout)
    assert reply.get("error") == (None if allowed else "org.postern.Actions.NotGranted")


@pytest.mark.parametrize("first", [200_000, 4_000_000_000])
def test_as_many_groups_as_the_kernel_allows(start_guard, first):
    count = 65536
    action = {"summary": "One of many", "exec": TRUE, "allow": [{"group": first + 40_000}]}
    guard = start_guard({"for.one": action, **ACTIONS})
    many = Identity(ALICE.uid, ALICE.gid, tuple(range(first, first + count)))
    with guard.connect(as_=many) as client:
        assert client.granted() == ["for.alice", "for.all", "for.one"]
        assert client.run("for.one")[-1]["parameters"]["result"]["exitCode"] == 0
        reply = client.call("WhoAmI")
        assert reply == {"parameters": who(many, client.peer.pid)}
        assert not client.may("for.group")
    entry = guard.wait_audit(event="job-started", action="for.one")[0]
    assert len(entry["groups"]) == 64
    assert entry["groupCount"] == count + 1


@pytest.mark.parametrize("name", ["{folder}/;uid=0;", "{folder}/a\nuid=0\n", "{folder}/uid=0",
                                  "@;uid=0;{folder}", "@@uid=0@gid=0@{folder}"])
def test_the_name_that_a_client_is_bound_to_means_nothing(start_guard, folder, name):
    guard = start_guard(ACTIONS)
    os.chown(folder, ALICE.uid, ALICE.gid)
    with popen_as(ALICE, [sys.executable, "-c", CLIENT, str(guard.socket_path),
                          name.format(folder=folder)], stdout=subprocess.PIPE) as client:
        replies = [json.loads(line) for line in client.stdout]
    assert replies[0] == {"parameters": who(ALICE, client.pid)}
    assert replies[1]["error"] == "org.postern.Actions.NotGranted"
    denied = guard.wait_audit(event="call-denied")
    assert [(e["uid"], e["pid"], e["action"]) for e in denied] == [
        (ALICE.uid, client.pid, "for.root")]


# Calls on a connection that somebody else made.
CALL_ON_PASSED = """
import socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
f = s.makefile("rb")
for action in ("for.alice", "for.bob"):
    s.sendall(b'{"method":"org.postern.Actions.Run","parameters":{"action":"%s"}}\\n' %
              action.encode())
    print(f.readline().decode(), end="")
"""


def test_a_passed_connection_counts_as_who_connected(start_guard):
    guard = start_guard(ACTIONS)
    peer = ConnectedAs(ALICE, str(guard.socket_path))
    peer.socket.setblocking(True)
    fd = peer.socket.fileno()
    done = run_as(BOB, [sys.executable, "-c", CALL_ON_PASSED, str(fd)], pass_fds=[fd])
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["parameters"]["result"]["exitCode"] == 0
    assert second["error"] == "org.postern.Actions.NotGranted"
    groups = f"{ALICE.gid} {ALICE.groups[0]}"
    assert second["parameters"]["message"] == (
        '"for.bob" does not exist or is not granted to you '
        f"(uid {ALICE.uid}, gid {ALICE.gid}, groups {groups})")
    started = guard.wait_audit(event="job-started")
    denied = guard.wait_audit(event="call-denied")
    assert [(e["uid"], e["pid"], e["action"]) for e in started + denied] == [
        (ALICE.uid, peer.pid, "for.alice"), (ALICE.uid, peer.pid, "for.bob")]
    peer.close()


def test_root_of_a_user_namespace_is_judged_by_the_outer_uid(start_guard):
    guard = start_guard(ACTIONS)
    client = CLIENT + 'print(os.getuid(), os.getpid())\n'
    done = run_as(ALICE, ["unshare", "-Urp", "--fork", sys.executable, "-c", client,
                          str(guard.socket_path)])
    lines = done.stdout.splitlines()
    assert lines[2] == "0 1", done.stderr  # as it sees itself
    seen = json.loads(lines[0])["parameters"]
    assert seen.pop("pid") > 1
    assert seen == {"uid": ALICE.uid, "gid": ALICE.gid, "groups": [ALICE.gid, *ALICE.groups]}
    assert json.loads(lines[1])["error"] == "org.postern.Actions.NotGranted"


def test_a_users_own_guard_serves_that_user_alone(start_guard):
    own = {"summary": "Who", "exec": ["/usr/bin/id", "-u"], "allow": [{"everyone": True}]}
    other = {**own, "user": "bin"}
    guard = start_guard({"own": own, "other": other}, as_=ALICE)
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["own"]
        assert not client.may("other")
        replies = client.run("own")
        assert text_of(replies) == f"{ALICE.uid}\n"
        pid = client.peer.pid
    for identity in (BOB, ROOT):
        with guard.connect(as_=identity) as client:
            assert client.read_to_end() == b""
    refused = guard.wait_audit(event="connection-refused", count=2)
    for entry, identity in zip(refused, (BOB, ROOT), strict=True):
        entry.pop("time")
        assert entry.pop("pid") > 0
        for name in ("user", "group", "groupNames"):  # where they have one
            entry.pop(name, None)
        assert entry == {
            "event": "connection-refused", "uid": identity.uid, "gid": identity.gid,
            "groups": sorted({identity.gid, *identity.groups}),
            "listener": str(guard.socket_path),
            "reason": f"this daemon serves only uid {ALICE.uid}"}
    path = guard.actions_folder / "other.json"
    line = path.read_text().splitlines().index('  "user": "bin"') + 1
    assert (f"not loaded: {path}:{line}:11: user: uid 2 is not uid {ALICE.uid}, "
            "as which this daemon runs every job; remove it\n") in guard.stderr()
    assert guard.wait_audit(event="call-denied")[0]["pid"] == pid
