"""The administrator's socket: status, reload, log level, jobs; and nobody else's."""

import json
import os
import re
import subprocess
import tempfile

import pytest

import harness
import wire
from harness import program, wait_until
from identity import ALICE, run_as
from posternctl import command, outcome

pytestmark = pytest.mark.needs_root

TRUE = {"summary": "True", "exec": ["/bin/true"], "allow": [{"everyone": True}]}
SLEEP = {"summary": "Sleep", "exec": ["/bin/sleep", "60"], "allow": [{"everyone": True}],
         "onDisconnect": "kill"}


@pytest.fixture
def admin(start_guard):
    """A guard with an administrator's socket, and posternctl on it: admin(WORDS...)."""
    folder = tempfile.mkdtemp(prefix="postern-admin-", dir="/run")
    os.chmod(folder, 0o755)
    path = f"{folder}/admin.sock"
    guard = start_guard({"true": TRUE, "sleep": SLEEP}, datagrams=True,
                        options=["--admin-socket", path])

    def call(*words):
        done = subprocess.run([program("posternctl"), "--socket", path, *words], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    call.guard, call.path = guard, path
    yield call
    guard.close()
    assert not os.path.exists(path)
    subprocess.run(["rm", "-r", folder], check=True)


def as_json(admin, *words):
    code, out, err = admin("--json", *words)
    assert err == ""
    return code, json.loads(out)


def test_the_socket_is_the_administrators_alone(admin):
    assert os.stat(admin.path).st_mode & 0o7777 == 0o600
    # Even where its mode lets somebody in, the uid counts.
    os.chmod(admin.path, 0o666)
    done = run_as(ALICE, [program("posternctl"), "--socket", admin.path, "status"])
    assert done.returncode == 125 and done.stdout == ""
    wait_until(lambda: any(entry["event"] == "connection-refused"
                           and "the administration socket serves only uid 0" in entry["reason"]
                           for entry in admin.guard.audit()), what="the audit of it")


def test_root_is_no_administrator_on_the_callers_socket(admin):
    for method in ("Status", "Reload", "SetLogLevel", "Jobs", "CancelAllOf"):
        with admin.guard.connect() as client:
            reply = client.call(f"org.postern.Admin.{method}")
            assert reply == {"error": "org.varlink.service.PermissionDenied", "parameters": {}}


def test_posternctl_says_where_the_administrators_socket_is(admin):
    for words in (["status"], ["jobs", "--all"], ["reload"], ["log-level", "debug"],
                  ["log-level"], ["cancel", "--all-of", "alice"]):
        done = run_as(None, command(admin.guard.socket_path, *words))
        assert outcome(done) == (
            126, "", f"posternctl: {admin.guard.socket_path} is the socket for callers; only "
            "the administration socket answers this: name it with --socket PATH (posternd's --admin-socket)\n")


def test_the_administrators_socket_serves_every_interface(admin):
    files = {file.stem: file.read_text()
             for file in (harness.REPOSITORY / "protocol").glob("*.varlink")}
    with wire.WireClient(admin.path) as client:
        info = client.call("org.varlink.service.GetInfo")["parameters"]
        assert set(info["interfaces"]) == set(files)
        for name, text in files.items():
            assert client.call("org.varlink.service.GetInterfaceDescription",
                               {"interface": name}) == {"parameters": {"description": text}}


def test_status(admin):
    with admin.guard.connect(as_=ALICE) as client:
        assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}
        code, status = as_json(admin, "status")
    assert code == 0
    assert status["pid"] == admin.guard.process.pid
    assert status["actions"] == 2 and status["bad"] == [] and status["jobs"] == 0
    assert status["supervision"] in ("cgroups", "process groups")
    assert {"path": admin.path, "kind": "stream", "administrator": True} in status["sockets"]
    assert {"path": str(admin.guard.socket_path), "kind": "stream",
            "administrator": False} in status["sockets"]
    assert {"path": str(admin.guard.datagram_path), "kind": "datagram",
            "administrator": False} in status["sockets"]
    callers = {caller["uid"]: caller["connections"] for caller in status["callers"]}
    assert callers == {0: 1, ALICE.uid: 1}
    code, out, err = admin("status")
    assert (code, err) == (0, "")
    assert "actions    2 loaded, 0 files are bad\n" in out
    assert f"{admin.path} (administrator)" in out
    assert f"{admin.guard.datagram_path} (datagram)" in out


def test_reload_returns_when_the_new_set_is_in_force(admin):
    for i in range(10):
        admin.guard.write_action(f"more{i}", TRUE)
        assert admin("reload") == (0, f"{3 + i} actions are loaded, 0 files are bad\n", "")
        with admin.guard.connect() as client:
            assert "result" in client.call("Run", {"action": f"more{i}"})["parameters"]


def test_reload_names_a_bad_file_and_fails(admin):
    admin.guard.write_action("bad", {**TRUE, "sumary": "x"})
    code, out, err = admin("reload")
    assert (code, out) == (1, "2 actions are loaded, 1 file is bad\n")
    assert "/bad.json:11:3: " in err and "sumary: unknown key" in err
    code, reply = as_json(admin, "reload")
    assert code == 1 and reply["actions"] == 2
    assert [bad["action"] for bad in reply["bad"]] == ["bad"]
    code, status = as_json(admin, "status")
    assert code == 0 and status["bad"] == reply["bad"]


def test_reload_fails_where_the_folder_can_not_be_read(admin):
    admin.guard.actions_folder.rename(admin.guard.folder / "away")
    (admin.guard.folder / "actions").write_text("no folder")
    code, out, err = admin("reload")
    assert code == 125 and out == "" and "can't be" in err
    assert as_json(admin, "status")[1]["actions"] == 2  # what was in force stays


def test_log_level(admin):
    assert admin("log-level", "debug") == (0, "", "")
    assert as_json(admin, "status")[1]["logLevel"] == "debug"
    code, out, err = admin("log-level", "loud")
    assert code == 2 and out == ""
    assert '"loud" is not a log level; give debug, info, warning, error or critical' in err
    assert as_json(admin, "status")[1]["logLevel"] == "debug"


def test_jobs(admin):
    assert admin("jobs", "--all") == (0, "", "posternctl: there are no such jobs on record\n")
    with admin.guard.connect(as_=ALICE) as client:
        client.send_call("Run", {"action": "sleep"}, more=True)
        job = client.read_reply()["parameters"]["job"]
        code, seen = as_json(admin, "jobs", "--all")
        assert code == 0
        assert (seen["job"], seen["action"], seen["uid"]) == (job, "sleep", ALICE.uid)
        assert re.fullmatch(rf"{job}  sleep  {ALICE.uid}( \(.*\))?  running  "
                            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \d+s\n", admin("jobs", "--all")[1])
        # What clients of version 0.1.0 ask for.
        code, reply = as_json(admin, "call", "org.postern.Admin.Jobs")
        [before] = reply["parameters"]["jobs"]
        assert (before["job"], before["action"], before["uid"]) == (job, "sleep", ALICE.uid)
    wait_until(lambda: admin("jobs", "--all", "--state", "running")[1] == "", what="the end of the job")
    assert as_json(admin, "jobs", "--all")[1]["state"] == "ended"


def test_who_goes_while_it_reloads_harms_nobody(admin):
    for _ in range(20):
        with wire.WireClient(admin.path) as client:
            client.send_call("org.postern.Admin.Reload")
    assert admin("reload")[0] == 0
