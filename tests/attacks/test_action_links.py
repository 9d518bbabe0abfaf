"""Links that lead action files to what a user chose."""

import json
import os
import pathlib
import subprocess
import threading

import pytest

import harness
from actions import EVERYONE, TRUE
from identity import ALICE, popen_as, run_as

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

GOOD = {**TRUE, "summary": "Good", "allow": EVERYONE}
# What a user would like to have in force.
EVIL = json.dumps({"summary": "Evil", "exec": ["/usr/bin/id"], "allow": EVERYONE})


@pytest.fixture
def home(folder):
    """A directory of ALICE's, with the file that she would like to be believed."""
    path = folder / "alice"
    path.mkdir()
    (path / "evil.json").write_text(EVIL)
    for each in (path, path / "evil.json"):
        os.chown(each, ALICE.uid, ALICE.gid)
    return path


@pytest.fixture
def safe(folder):
    path = folder / "safe"
    path.mkdir()
    (path / "good.json").write_text(json.dumps(GOOD))
    return path


@pytest.fixture
def guard(start_guard):
    return start_guard({"good": GOOD})


def said_of(guard, target):
    """What is said of an action whose file is a link to `target`, and is not in force."""
    link = guard.actions_folder / "led.json"
    link.unlink(missing_ok=True)
    guard.reload()  # so that it is not what was said before
    before = len(guard.stderr())
    link.symlink_to(target)
    guard.reload()
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["good"]
    [line] = [line for line in guard.stderr()[before:].splitlines() if "not loaded" in line]
    begin = f"not loaded: {link}: is a symbolic link, and "
    assert begin in line
    return line.partition(begin)[2]


def foreign(path, mode):
    return f"{path} is not owned by root (owned by uid {ALICE.uid}, mode {mode}); run: chown -h root {path}"


def test_a_link_that_a_user_could_turn_is_not_followed(guard, folder, home, safe):
    assert said_of(guard, home / "evil.json") == foreign(home, "0755")
    # Where she has made the way only, and what it leads to is good.
    (home / "way").symlink_to(safe)
    assert said_of(guard, home / "way/good.json") == foreign(home, "0755")
    assert said_of(guard, home / "../safe/good.json") == foreign(home, "0755")
    # In a directory like /tmp what belongs to root stays as it is, and what is hers does not count.
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "roots").symlink_to(safe)
    done = run_as(ALICE, ["/bin/sh", "-c", f"mv -T {shared}/roots {shared}/x; ln -sfnT {home} {shared}/roots"])
    assert done.returncode != 0 and os.readlink(shared / "roots") == str(safe)
    assert run_as(ALICE, ["ln", "-s", safe, shared / "hers"]).returncode == 0
    assert said_of(guard, shared / "hers/good.json") == foreign(shared / "hers", "0777")
    (shared / "good.json").write_text(json.dumps(GOOD))
    assert said_of(guard, shared / "good.json") == (
        f"{shared} can be written by users other than its owner (owned by uid 0, mode 01777); use a directory "
        "that nobody else can write to")
    # A file that is hers or her group's, in a place that is not.
    (safe / "hers.json").write_text(EVIL)
    os.chown(safe / "hers.json", ALICE.uid, 0)
    assert said_of(guard, safe / "hers.json") == foreign(safe / "hers.json", "0644")
    os.chown(safe / "hers.json", 0, ALICE.gid)
    (safe / "hers.json").chmod(0o664)
    assert said_of(guard, safe / "hers.json") == (
        f"{safe}/hers.json can be written by users other than its owner (owned by uid 0, mode 0664); run: chmod "
        f"go-w {safe}/hers.json")


def test_a_link_to_what_is_no_file_holds_nothing_up(guard, folder, safe):
    os.mkfifo(safe / "fifo")
    link = f"{guard.actions_folder}/led.json"
    otherwise = f"; correct the link, or run: rm {link}"
    for target, problem in [
        (safe / "fifo", f"{safe}/fifo is not a regular file; put a regular file there"),
        ("/dev/zero", "/dev/zero is not a regular file; put a regular file there"),
        (safe, f"{safe} is a directory; a regular file is needed"),
        (safe / "none.json", f"{safe}/none.json does not exist; create it, or run: rm {link}"),
        ("led.json", f"{link} can't be opened: Too many levels of symbolic links{otherwise}"),
    ]:
        assert said_of(guard, target) == problem
    (safe / "0").write_text(json.dumps(GOOD))
    for i in range(60):
        (safe / f"{i + 1}").symlink_to(f"{i}")
    assert said_of(guard, safe / "60") == (
        f"{safe}/21 can't be opened: Too many levels of symbolic links{otherwise}")


@pytest.mark.parametrize("as_", [ALICE, None], ids=["hers", "of a setuid program of hers"])
def test_links_of_proc_are_only_their_text(guard, home, as_):
    """What the kernel makes of such a link may lie nowhere."""
    with open(home / "evil.json", encoding="utf-8") as evil:
        with popen_as(as_, ["/bin/sh", "-c", "echo up; cat", EVIL], cwd=home, stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE, pass_fds=[evil.fileno()]) as process:
            assert process.stdout.readline() == b"up\n"
            proc = pathlib.Path(f"/proc/{process.pid}")
            for way in ("cwd/evil.json", f"fd/{evil.fileno()}", f"root{home}/evil.json"):
                assert said_of(guard, proc / way) == (foreign(proc, "0555") if as_ else foreign(home, "0755"))
            # The words of her command line, in a file that belongs to root.
            link = guard.actions_folder / "led.json"
            link.unlink()
            link.symlink_to(proc / "cmdline")
            guard.reload()
            with guard.connect(as_=ALICE) as client:
                assert client.granted() == ["good"]
            process.stdin.close()


def test_a_link_that_is_turned_while_it_is_read(guard, home, safe):
    """Whatever stands there in which moment: what is believed is what was judged."""
    link, fresh = guard.actions_folder / "led.json", guard.actions_folder / ".fresh"
    os.mkfifo(safe / "fifo")
    (safe / "to-hers").symlink_to(home / "evil.json")
    done = threading.Event()

    def turn():
        while not done.is_set():
            for target in (safe / "good.json", home / "evil.json", safe / "fifo", safe / "to-hers", "/dev/null",
                           safe / "none"):
                fresh.symlink_to(target)
                fresh.rename(link)
            fresh.write_text(json.dumps(GOOD))
            fresh.rename(link)

    def turn_home():
        """ALICE turns her own as well."""
        while not done.is_set():
            for target in (safe / "good.json", home / "evil"):
                (home / "fresh").symlink_to(target)
                (home / "fresh").rename(home / "evil.json")

    (home / "evil").write_text(EVIL)
    threads = [threading.Thread(target=turn), threading.Thread(target=turn_home)]
    for thread in threads:
        thread.start()
    try:
        with guard.connect(as_=ALICE) as client:
            for _ in range(100):
                guard.reload()
                granted = client.call("List")["parameters"]["actions"]
                assert {action["summary"] for action in granted} == {"Good"}
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_users_hard_link_switches_nothing_off_and_changes_nothing(guard, home):
    # As where fs.protected_hardlinks is 0: anybody may make this one.
    file, hers = guard.actions_folder / "good.json", home / "good.json"
    os.link(file, hers)
    guard.reload()
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["good"]
        for line in (f"echo > {hers}", f"chmod 666 {hers}", f"truncate -s 0 {hers}"):
            assert run_as(ALICE, ["/bin/sh", "-c", line]).returncode != 0
        guard.reload()
        assert client.granted() == ["good"]
        # What she makes a link to is hers no more than before: a file of her own stays one.
        os.link(home / "evil.json", guard.actions_folder / "led.json")
        guard.reload()
        assert client.granted() == ["good"]
    assert foreign("", "0644").strip().partition(";")[0] in guard.stderr()
