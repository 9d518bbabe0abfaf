"""Every key of JSON that Postern writes or reads is in camelCase: the published schema, what the commands
print, the audit, and the records on the disk. (The unit tests hold the rest of their fields to it.)

What stands below some keys is named by others: arguments by the action file, properties by systemd.
"""

import json
import re
import subprocess

import pytest

import harness
from actions import EVERYONE
from harness import program
from jobs import wait_copied

CAMEL_CASE = re.compile(r"[a-z][A-Za-z0-9]*")
SCHEMA = json.loads((harness.REPOSITORY / "daemon/policy/file/action.schema.json").read_text())
DASHED = {"summary": "S", "exec": ["/bin/echo", "{dry-run}"], "allow": EVERYONE, "timeout": "5s",
          "arguments": {"dry-run": {"type": "string", "maxLength": 3}}}
FAILS = {"summary": "F", "exec": ["/bin/sh", "-c", "kill -9 $$"], "allow": EVERYONE}


def keys(value, given=("arguments",)):
    """All keys in a value, but for those below a key in `given`."""
    if isinstance(value, list):
        return set().union(*(keys(element, given) for element in value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(below, given) for key, below in value.items() if key not in given))


def misspelled(value, least):
    """Keys in another spelling; `value` has at least `least`."""
    found = keys(value)
    assert found >= least
    return sorted(key for key in found if not CAMEL_CASE.fullmatch(key))


def test_the_schema_of_action_files():
    def names(schema):
        if isinstance(schema, list):
            return [name for element in schema for name in names(element)]
        if not isinstance(schema, dict):
            return []
        own = list(schema.get("properties", {}))
        return own + [name for key, below in schema.items() for name in names(
            {k: v for k, v in below.items() if k != "sandbox"} if key == "properties" else below)]

    found = set(names(SCHEMA))
    assert found >= {"onDisconnect", "sandbox", "minLength", "unit"}
    # "$schema" is JSON Schema's own word for editors.
    assert [name for name in sorted(found - {"$schema"}) if not CAMEL_CASE.fullmatch(name)] == []


def printed(*words):
    done = subprocess.run([program(words[0]), *map(str, words[1:])], check=False, capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, timeout=60)
    return json.loads(done.stdout)


def test_what_check_and_lint_print(folder):
    (folder / "dashed.json").write_text(json.dumps({**DASHED, "deny": [{"user": 1}]}))
    (folder / "bad.json").write_text("{}")
    checked = printed("posternd", "--check", "--json", "--actions", folder, "--state", folder,
                      "--limit", "jobs-per-uid=3", "--limit", "kill-grace=1s")
    assert misspelled(checked, {"limits", "timeoutMicroseconds", "bad", "rules"}) == []
    limits = checked["limits"]
    assert (limits["jobsPerUser"], limits["killGrace"]) == ("3", "1s")
    assert {name for name in limits if "-" in name or "Uid" in name} == set()
    linted = printed("posternd", "--json", "--lint", folder / "dashed.json", folder / "bad.json")
    assert misspelled(linted, {"good", "bad", "action", "error"}) == []


@pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: the administrator's socket")
def test_what_a_guard_says_and_writes(start_guard, folder):
    admin = folder / "admin.sock"
    guard = start_guard({"dashed": DASHED, "fails": FAILS}, datagrams=True,
                        options=["--admin-socket", admin, "--limit", "jobs-per-uid=3"])
    said = {}
    for words in (["ping"], ["whoami"], ["list"], ["describe", "dashed"], ["check", "dashed", "dry-run=no"],
                  ["check", "dashed", "dry-run=long"], ["check", "unknown"]):
        said[" ".join(words)] = json.loads(guard.ctl("--json", *words).stdout)
    replies = [json.loads(line) for words in (["dashed", "dry-run=no"], ["fails"])
               for line in guard.ctl("--json", "run", *words).stdout.splitlines()]
    for words in (["status"], ["jobs", "--all", "--limit", "1"], ["reload"]):
        said[" ".join(words)] = printed("posternctl", "--socket", admin, "--json", *words)
    assert misspelled(replies, {"result", "maxResidentKiB", "exitCode", "signal"}) == []
    for words, reply in said.items():
        assert misspelled(reply, set()) == [], words
    guard.wait_audit(event="job-ended", count=2)
    assert misspelled(guard.audit(), {"event", "arguments", "result", "cpuMicroseconds"}) == []
    wait_copied(guard)
    records = [json.loads(path.read_text()) for path in guard.state_folder.glob("jobs/*/record.json")]
    assert len(records) == 2
    assert misspelled(records, {"createdUsec", "requester", "groupsKnown", "fileVersion"}) == []
