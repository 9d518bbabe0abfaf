"""What stands in the action directories is what is loaded: nobody asks for a reload here."""

import os
import pathlib
import subprocess
import threading
import time

import pytest

import harness
from actions import TRUE
from identity import ALICE
from live_files import GOOD, TwoFolders, output, says
from packets import Sender
from processes import stopped

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")


@pytest.fixture
def start_two():
    guards = []

    def start(*args, **more):
        guards.append(TwoFolders(*args, **more).start())
        return guards[-1]

    yield start
    for guard in guards:
        guard.close()


# ---- The next call ----

def test_a_removed_file_grants_nothing_at_the_next_call(start_guard):
    guard = start_guard({"own": GOOD, "other": GOOD}, datagrams=True)
    with guard.connect(as_=ALICE) as client:
        assert client.may("own")
        guard.remove_action("own")
        assert client.call("Run", {"action": "own"})["error"] == "org.postern.Actions.NotGranted"
        assert not client.may("own")
        assert client.may("other")
    changed, = guard.wait_audit(event="actions-changed")
    assert {k: v for k, v in changed.items() if k != "time"} == {
        "event": "actions-changed", "removed": ["own"]}


def test_a_packet_is_decided_by_what_stands_there(start_guard):
    guard = start_guard({"own": {**GOOD, "datagram": True}}, datagrams=True)
    with Sender(guard.datagram_path, ALICE) as sender:
        def check():
            return sender.call("Check", {"action": "own"})

        assert check() == {"parameters": {}}
        guard.remove_action("own")
        assert check()["error"] == "org.postern.Actions.NotGranted"
        guard.write_action("own", {**GOOD, "datagram": True})
        assert check() == {"parameters": {}}


def test_a_new_file_can_be_run_at_once(start_guard):
    guard = start_guard()
    with guard.connect(as_=ALICE) as client:
        assert output(client, "new") is None
        guard.write_action("new", says("one"))
        assert output(client, "new") == "one"
        guard.write_action("new", says("two"))
        assert output(client, "new") == "two"
        # In place, by a program that writes it in one go.
        path = guard.actions_folder / "new.json"
        path.write_text(path.read_text().replace("two", "six"))
        assert output(client, "new") == "six"
        path.chmod(0o666)
        assert output(client, "new") is None
        path.chmod(0o644)
        assert output(client, "new") == "six"
    assert [[e.get("added"), e.get("changed"), e.get("off")] for e in guard.audit()
            if e["event"] == "actions-changed"] == [
        [["new"], None, None], [None, ["new"], None], [None, ["new"], None], [None, None, ["new"]],
        [["new"], None, None]]


def test_a_directory_that_is_replaced(start_guard):
    guard = start_guard({"old": GOOD})
    with guard.connect(as_=ALICE) as client:
        assert client.may("old")
        guard.actions_folder.rename(guard.folder / "before")
        assert not client.may("old")
        guard.actions_folder.mkdir(mode=0o755)
        guard.write_action("new", GOOD)
        assert client.may("new")
        assert not client.may("old")
        # And what is done in the one that was made anew is seen as well.
        guard.remove_action("new")
        assert not client.may("new")


def test_a_mount_over_the_directory(start_guard, folder):
    other = folder / "other"
    other.mkdir(mode=0o755)
    guard = start_guard({"own": says("below")},
                        under=("unshare", "-m", "--propagation", "private"))
    guard.write_action("above", says("above"))
    (guard.actions_folder / "above.json").rename(other / "above.json")
    enter = ["nsenter", "-t", str(guard.pid), "-m"]
    with guard.connect(as_=ALICE) as client:
        assert output(client, "own") == "below"
        subprocess.run([*enter, "mount", "--bind", other, guard.actions_folder], check=True)
        assert output(client, "own") is None
        assert output(client, "above") == "above"
        subprocess.run([*enter, "umount", guard.actions_folder], check=True)
        assert output(client, "own") == "below"
        # One file alone.
        subprocess.run([*enter, "mount", "--bind", other / "above.json",
                        guard.actions_folder / "own.json"], check=True)
        assert output(client, "own") == "above"
        subprocess.run([*enter, "umount", guard.actions_folder / "own.json"], check=True)
        assert output(client, "own") == "below"


# ---- What is not at rest ----

def test_half_a_file_is_never_in_force(start_guard):
    """A writer that pauses in the middle, where half its text is a rule of its own."""
    guard = start_guard({"own": says("old")})
    path = guard.actions_folder / "own.json"
    half = '{"summary": "x", "allow": [{"everyone": true}], "exec": ["/bin/echo", "half"]}'
    with guard.connect(as_=ALICE) as client, open(path, "w", encoding="ascii") as file:
        file.write(half)
        file.flush()
        time.sleep(0.3)
        reply = client.call("Run", {"action": "own"})
        assert reply == {"error": "org.postern.Actions.Unavailable", "parameters": {
            "message": "the action files have changed, and reading them takes too long; try again"}}
        file.seek(0)
        file.truncate()
        file.write(half.replace("half", "whole"))
        file.close()
        assert output(client, "own") == "whole"
    refused, = guard.wait_audit(event="call-refused", action="own")
    assert refused["reason"] == "the action files were not read within 3 s"


def test_a_file_of_the_administrator_that_is_rewritten_never_shows_the_one_of_the_package(start_two):
    guard = start_two({"own": says("local0")}, {"own": says("vendor")})
    path = guard.actions_folder / "own.json"
    enough = threading.Event()

    def rewrite():
        number = 0
        while not enough.is_set():
            number += 1
            path.unlink()
            time.sleep(0.05)
            with open(path, "x", encoding="ascii"):
                pass
            time.sleep(0.02)
            guard.write_action("own", says(f"local{number}"))
            time.sleep(0.4)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        seen = []
        with guard.connect(as_=ALICE) as client:
            while len(seen) < 30 or len(set(seen) - {None}) < 4:
                seen.append(output(client, "own"))
    finally:
        enough.set()
        thread.join()
    # None: while there is no file that is at rest, the action is off.
    assert {text[:5] for text in seen if text} == {"local"}
    path.unlink()
    with guard.connect(as_=ALICE) as client:
        assert output(client, "own") == "vendor"


def test_a_storm_puts_off_nothing(start_guard):
    guard = start_guard({"own": says("own")})
    enough = threading.Event()

    def storm():
        number = 0
        while not enough.is_set():
            number += 1
            fresh = guard.folder / "fresh"
            fresh.write_text("{}")
            fresh.rename(guard.actions_folder / "storm.json")
            (guard.actions_folder / f"{number % 7}.swp").touch()
            time.sleep(0.001)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        with guard.connect(as_=ALICE) as client:
            for number in range(5):
                assert output(client, "own") == "own"
                guard.write_action("new", says(number))
                assert output(client, "new") == str(number)
        # By itself too: the bad file of the storm.
        guard.wait_audit(event="action-off", action="storm")
    finally:
        enough.set()
        thread.join()


# ---- By itself ----

def test_an_idle_guard_reads_what_has_changed(start_guard):
    guard = start_guard({"own": GOOD})
    guard.write_action("new", GOOD)
    assert guard.wait_audit(event="actions-changed", added=["new"])
    guard.remove_action("own")
    assert guard.wait_audit(event="actions-changed", removed=["own"])
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["new"]


def test_a_load_that_changes_nothing_says_nothing(start_guard):
    guard = start_guard({"own": GOOD, "bad": "{"})
    (guard.actions_folder / ".own.swp").touch()
    os.utime(guard.actions_folder / "own.json")
    with guard.connect(as_=ALICE) as client:
        assert client.may("own")
        guard.reload()
        assert client.may("own")
    assert [e["event"] for e in guard.audit()] == ["action-off"]
    assert guard.stderr().count("not loaded") == 1
    assert guard.stderr().count("nothing has changed: 1 action is loaded, 1 file is bad") == 1


def test_a_load_that_changes_something_is_one_entry(start_guard):
    guard = start_guard({"one": GOOD, "two": GOOD, "three": GOOD, "same": GOOD})
    with stopped(guard.pid):
        guard.remove_action("one")
        guard.write_action("two", says("two"))
        guard.write_action("three", "{")
        guard.write_action("four", GOOD)
    guard.wait_audit(event="action-off")
    with guard.connect(as_=ALICE) as client:
        for name, granted in (("one", False), ("two", True), ("three", False), ("four", True), ("same", True)):
            assert client.may(name) == granted
    changed, off = [entry for entry in guard.audit() if entry["event"].startswith("action")]
    assert {k: v for k, v in changed.items() if k != "time"} == {
        "event": "actions-changed", "added": ["four"], "changed": ["two"], "removed": ["one"], "off": ["three"]}
    assert (off["event"], off["action"]) == ("action-off", "three")


# ---- Users and groups ----

@pytest.mark.parametrize("kind", ["user", "group"])
def test_a_name_that_comes_later_is_known_by_itself(start_guard, kind, folder):
    name = "postern-later"
    files = {}
    for file in ("passwd", "group"):
        files[file] = folder / file
        files[file].write_text(pathlib.Path("/etc", file).read_text())
    # The guard's own /etc, which can change.
    etc = folder / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    guard = start_guard(
        {"own": {**TRUE, "allow": [{kind: name}]}},
        under=("unshare", "-m", "--propagation", "private", "sh", "-c",
               f'mount --bind {etc} /etc && exec "$0" "$@"'))
    line = {"user": f"{name}:x:{ALICE.uid}:{ALICE.gid}::/:/bin/sh\n",
            "group": f"{name}:x:{ALICE.gid}:\n"}[kind]
    with guard.connect(as_=ALICE) as client:
        assert not client.may("own")
        target = etc / {"user": "passwd", "group": "group"}[kind]
        fresh = etc / "fresh"
        fresh.write_text(target.read_text() + line)
        fresh.rename(target)
        guard.wait_audit(event="actions-changed", added=["own"])
        assert client.may("own")


# ---- What is gone ----

@pytest.fixture
def administered(start_guard):
    def start(actions, **more):
        guard = harness.Guard(actions, **more)
        admin = guard.folder / "admin.sock"
        guard._options += ["--admin-socket", str(admin)]
        guards.append(guard)
        guard.start()
        return guard, lambda *words: subprocess.run(
            [harness.program("posternctl"), "--socket", str(admin), *words], capture_output=True,
            text=True, timeout=60, check=False)

    guards = []
    yield start
    for guard in guards:
        guard.close()


def test_a_directory_that_is_gone_revokes_and_is_named(administered):
    guard, ctl = administered({"own": GOOD})
    with guard.connect(as_=ALICE) as client:
        assert client.may("own")
        guard.actions_folder.rename(guard.folder / "away")
        assert not client.may("own")
        said = (f"{guard.actions_folder}: no longer exists, so no action from it is loaded; create it again, or "
                "restart the daemon if it was removed on purpose")
        done = ctl("reload")
        assert (done.returncode, done.stderr) == (1, f"posternctl: not loaded: {said}\n")
        assert said in ctl("status").stdout
        assert guard.stderr().count(said) == 1
        (guard.folder / "away").rename(guard.actions_folder)
        assert client.may("own")
        assert ctl("reload").returncode == 0


def test_what_leaves_no_action_is_said(administered):
    guard, ctl = administered({"own": GOOD})
    guard.remove_action("own")
    done = ctl("reload")
    assert (done.returncode, done.stderr) == (
        1, "posternctl: not loaded: no action is loaded any more: there is no action file in "
           f"{guard.actions_folder}; put one there\n")


def test_a_set_that_can_not_be_read_decides_nothing_that_has_changed(administered):
    guard, ctl = administered({"own": GOOD})
    path = guard.actions_folder / "own.json"
    with guard.connect(as_=ALICE) as client:
        for number in range(1025):
            (guard.actions_folder / f"n{number}.json").symlink_to("/dev/null")
        path.unlink()
        reply = client.call("Check", {"action": "own"})
        assert reply["parameters"]["message"] == (
            "the action files have changed and can't be read at the moment; try again later, the "
            "administrator finds more in the log")
        done = ctl("reload")
        assert done.returncode != 0 and "more than the limit of 1024" in done.stderr
        assert "more than the limit of 1024" in ctl("status").stdout
        for number in range(1025):
            (guard.actions_folder / f"n{number}.json").unlink()
        assert not client.may("own")
