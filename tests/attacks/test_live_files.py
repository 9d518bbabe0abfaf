"""However the action files are changed, and whatever is not seen of it: what was removed grants nothing, what is
new is in force, and nothing is ever in force that nobody wrote."""

import contextlib
import json
import mmap
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import threading
import time

import pytest

import harness
import hung_fuse
from identity import ALICE, BOB
from jobs import get
from live_files import TwoFolders, output, says
from processes import stopped

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")


# ---- Nothing is seen ----

@pytest.fixture(params=["watched", "unwatched"])
def start_anyhow(request, start_guard):
    """Starts a guard in a mount namespace of its own; also one that the kernel gives no inotify instance but its
    second: that is for the output of jobs, without which it does not start."""
    under = ["unshare", "-m", "--propagation", "private"]
    if request.param == "unwatched":
        if shutil.which("strace") is None:
            pytest.skip("needs strace")
        under += ["strace", "-D", "-qq", "-e", "trace=inotify_init1", "-e",
                  "inject=inotify_init1:error=EMFILE:when=1+2", "-o", "/dev/null"]

    def start(actions):
        guard = start_guard(actions, under=under)
        assert ("fs.inotify.max_user_instances" in guard.stderr()) == (request.param == "unwatched")
        return guard

    return start


def test_what_is_removed_added_or_replaced(start_anyhow):
    guard = start_anyhow({"own": says("one"), "gone": says("gone")})
    with guard.connect(as_=ALICE) as client:
        assert (output(client, "own"), output(client, "gone")) == ("one", "gone")
        guard.remove_action("gone")
        assert output(client, "gone") is None
        guard.write_action("own", says("two"))
        assert output(client, "own") == "two"
        guard.write_action("new", says("new"))
        assert output(client, "new") == "new"
        path = guard.actions_folder / "new.json"
        times = path.stat()
        path.write_text(path.read_text().replace("new", "old"))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as big and as old as before
        assert output(client, "new") == "old"
        path.chmod(0o666)
        assert output(client, "new") is None


def test_what_is_removed_after_a_while(start_anyhow):
    """When it is time for the thread's own look as well."""
    guard = start_anyhow({"own": says("one"), "gone": says("gone")})
    time.sleep(5.5)
    with guard.connect(as_=ALICE) as client:
        guard.remove_action("gone")
        assert output(client, "gone") is None
        assert output(client, "own") == "one"


def test_a_directory_that_is_made_anew_with_the_same_names(start_anyhow):
    guard = start_anyhow({"own": says("one"), "gone": says("gone")})
    before = guard.folder / "before"
    with guard.connect(as_=ALICE) as client:
        assert (output(client, "own"), output(client, "gone")) == ("one", "gone")
        guard.actions_folder.rename(before)
        guard.actions_folder.mkdir(mode=0o755)
        guard.write_action("own", says("two"))
        assert output(client, "own") == "two"
        assert output(client, "gone") is None
        # Nothing that is done where it was counts.
        (before / "own.json").write_text("{")
        assert output(client, "own") == "two"
        guard.write_action("own", says("three"))
        assert output(client, "own") == "three"
        # The same files, times and all, but for one.
        copy = guard.folder / "copy"
        subprocess.run(["cp", "-a", guard.actions_folder, copy], check=True)
        (copy / "own.json").unlink()
        shutil.rmtree(guard.actions_folder)
        copy.rename(guard.actions_folder)
        assert output(client, "own") is None


def test_a_directory_that_becomes_a_link(start_anyhow):
    guard = start_anyhow({"own": says("one"), "gone": says("gone")})
    trees = [guard.folder / name for name in ("first", "second")]
    for tree in trees:
        tree.mkdir(mode=0o755)
    with guard.connect(as_=ALICE) as client:
        assert (output(client, "own"), output(client, "gone")) == ("one", "gone")
        for number, tree in enumerate(trees):
            guard.write_action("own", says(f"link{number}"))
            (guard.actions_folder / "own.json").rename(tree / "own.json")
        shutil.rmtree(guard.actions_folder)
        for number, tree in enumerate(trees):
            fresh = guard.folder / "fresh"
            fresh.symlink_to(tree)
            fresh.rename(guard.actions_folder)
            assert output(client, "own") == f"link{number}"
            assert output(client, "gone") is None


def test_what_is_mounted_over_it(start_anyhow):
    guard = start_anyhow({"own": says("below"), "gone": says("gone")})
    above = guard.folder / "above"
    above.mkdir(mode=0o755)
    enter = ["nsenter", "-t", str(guard.pid), "-m"]
    with guard.connect(as_=ALICE) as client:
        assert (output(client, "own"), output(client, "gone")) == ("below", "gone")
        guard.write_action("fresh", says("above"))
        (guard.actions_folder / "fresh.json").rename(above / "own.json")
        subprocess.run([*enter, "mount", "--bind", above, guard.actions_folder], check=True)
        assert output(client, "own") == "above"
        assert output(client, "gone") is None
        # What is done in the one that is hidden is not in force, what is done above it is.
        guard.write_action("own", says("hidden"))
        assert output(client, "own") == "above"
        (above / "own.json").unlink()
        assert output(client, "own") is None
        subprocess.run([*enter, "umount", guard.actions_folder], check=True)
        assert output(client, "own") == "hidden"
        assert output(client, "gone") == "gone"


def test_an_overflow_hides_nothing(start_guard):
    guard = start_guard({"own": says("own"), "gone": says("gone"), "late": says("late")})
    most = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))

    def overflow():
        path = guard.actions_folder / ".leftover"
        for _ in range(most // 2 + 1):  # two that are unlike each other, so that none is left out
            path.touch()
            path.unlink()

    with guard.connect(as_=ALICE) as client:
        assert (output(client, "own"), output(client, "gone")) == ("own", "gone")
        with stopped(guard.pid):
            overflow()
            guard.remove_action("gone")
            guard.write_action("new", says("new"))
        assert output(client, "gone") is None
        assert output(client, "new") == "new"
    # By itself, too.
    with stopped(guard.pid):
        overflow()
        guard.remove_action("late")
    guard.wait_audit(event="actions-changed", removed=["late"])


# ---- Who writes ----

HALF = '{"summary": "x", "allow": [{"everyone": true}], "exec": ["/bin/echo", "ran"]'
# The same, and nobody can run it who matters here.
WHOLE = HALF + f', "deny": [{{"user": {ALICE.uid}}}]}}'


class Caller(threading.Thread):
    """Runs an action again and again meanwhile; `seen` has what came of it, each thing once."""

    def __init__(self, guard, action="own"):
        super().__init__(daemon=True)
        self._client = guard.connect(as_=ALICE)
        self._action = action
        self._enough = threading.Event()
        self.seen = set()

    def run(self):
        while not self._enough.is_set():
            reply = self._client.call("Run", {"action": self._action})
            self.seen.add(reply["error"].rpartition(".")[2] if "error" in reply
                          else reply["parameters"]["stdout"].strip())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._enough.set()
        self.join()
        self._client.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_writer_is_never_read_in_the_middle(start_guard, seed):
    """It holds the file open; twice what stands in it meanwhile is a whole rule, and a wider one."""
    draw = random.Random(seed)
    guard = start_guard({"own": WHOLE})
    path = guard.actions_folder / "own.json"

    def pause():
        time.sleep(draw.uniform(0, 0.5))

    with Caller(guard) as caller:
        with open(path, "w", encoding="ascii") as file:
            def write(text):
                file.write(text)
                file.flush()
                pause()

            pause()
            cut = draw.randrange(1, len(HALF))
            write(HALF[:cut])
            write(HALF[cut:] + "}")
            file.seek(len(HALF))
            write(WHOLE[len(HALF):-1])
            write("}")
        with guard.connect(as_=ALICE) as client:
            assert output(client, "own") is None
    assert caller.seen <= {"NotGranted", "Unavailable"}


def test_one_that_opens_it_for_each_piece_is_not_either(start_guard):
    """As `echo >>` in a script does."""
    draw = random.Random(1)
    guard = start_guard({"own": WHOLE})
    path = guard.actions_folder / "own.json"
    with Caller(guard) as caller:
        for _ in range(5):
            path.write_text(HALF + "}")
            for piece in (HALF + ',"deny":', HALF + "}", WHOLE):
                time.sleep(draw.uniform(0, 0.03))
                path.write_text(piece)
            with guard.connect(as_=ALICE) as client:
                assert output(client, "own") is None
    assert caller.seen <= {"NotGranted", "Unavailable"}


def in_place(path, text, _):
    with open(path, "w", encoding="utf-8") as file:
        for start in range(0, len(text), 20):
            file.write(text[start:start + 20])
            file.flush()
            time.sleep(0.005)


def cp(path, text, folder):
    (folder / "new").write_text(text)
    subprocess.run(["cp", folder / "new", path], check=True)


def install(path, text, folder):
    (folder / "new").write_text(text)
    subprocess.run(["install", "-m", "644", folder / "new", path], check=True)


def sed(path, text, _):
    """What changes is one word."""
    fresh = text[text.index("local"):].split('"')[0]
    subprocess.run(["sed", "-i", f"s/local[0-9]*/{fresh}/", path], check=True)


def renamed(part):
    """Written beside it, under a name that ends so, and put in its place."""
    def write(path, text, _):
        fresh = path.with_name(part.format(path.name))
        fresh.write_text(text[:20])
        time.sleep(0.02)
        fresh.write_text(text)
        fresh.chmod(0o644)
        fresh.rename(path)
    return write


def dpkg(path, text, _):
    fresh, before = (path.with_name(path.name + end) for end in (".dpkg-new", ".dpkg-tmp"))
    fresh.write_text(text)
    fresh.chmod(0o644)
    os.link(path, before)
    time.sleep(0.02)
    fresh.rename(path)
    before.unlink()


def vim_copy(path, text, _):
    """`backupcopy=yes`: the file is kept as another one, cut to nothing, and written anew."""
    backup = path.with_name(path.name + "~")
    shutil.copy2(path, backup)
    os.truncate(path, 0)
    time.sleep(0.02)
    in_place(path, text, None)
    backup.unlink()


def vim_rename(path, text, _):
    """`backupcopy=no`: the file is renamed, and another one made in its place."""
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    time.sleep(0.05)
    in_place(path, text, None)
    path.chmod(0o644)
    time.sleep(0.02)
    backup.unlink()


def removed(path, text, _):
    path.unlink()
    time.sleep(0.1)
    in_place(path, text, None)
    path.chmod(0o644)


def config_map(path, text, _):
    """As the kubelet: all links go through one."""
    folder = path.parent
    data = folder / f"..{time.monotonic_ns()}"
    data.mkdir()
    (data / path.name).write_text(text)
    (data / path.name).chmod(0o644)
    old = os.readlink(folder / "..data") if (folder / "..data").is_symlink() else None
    for link, target in (("..data", data.name), (path.name, f"..data/{path.name}")):
        if link == path.name and path.is_symlink():
            continue
        (folder / "..fresh").symlink_to(target)
        (folder / "..fresh").rename(folder / link)
    if old:
        shutil.rmtree(folder / old)


WAYS = {
    "in place": in_place, "cp": cp, "install": install, "sed -i": sed, "rsync": renamed(".{}.Xu3k1a"),
    "rpm": renamed("{};65b1c2d3"), "dpkg": dpkg, "vim with a copy": vim_copy, "vim with another file": vim_rename,
    "removed and made anew": removed, "ConfigMap": config_map,
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_write_ends_in_force_and_shows_nothing_else(way, folder):
    with TwoFolders({"own": says("local0")}, {"own": says("vendor")}) as guard:
        path = guard.actions_folder / "own.json"
        with guard.connect(as_=ALICE) as client, Caller(guard) as caller:
            for number in range(1, 5):
                WAYS[way](path, json.dumps(says(f"local{number}"), indent=2), folder)
                assert output(client, "own") == f"local{number}"
        assert caller.seen - {"Unavailable"} <= {f"local{number}" for number in range(5)}
        assert not guard.wait_audit(event="actions-changed", changed=["own"])[0].get("off")
        assert [entry for entry in guard.audit() if entry["event"] == "action-off"] == []


# ---- Storms ----

@pytest.mark.parametrize("absent", [0, 0.02], ids=["replaced", "removed and made anew"])
def test_a_storm_never_shows_the_file_of_the_package(absent):
    with TwoFolders({"own": says("local")}, {"own": says("vendor")}) as guard:
        path = guard.actions_folder / "own.json"
        enough = threading.Event()
        longest = 0

        def storm():
            nonlocal longest
            while not enough.is_set():
                began = time.monotonic()
                if absent:
                    path.unlink()
                    time.sleep(absent)
                guard.write_action("own", says("local"))
                longest = max(longest, time.monotonic() - began)
                time.sleep(0.005)

        thread = threading.Thread(target=storm)
        with Caller(guard) as caller, guard.connect(as_=ALICE) as client:
            thread.start()
            try:
                end = time.monotonic() + 9
                while time.monotonic() < end:
                    caller.join(0.1)
            finally:
                enough.set()
                thread.join()
            assert output(client, "own") == "local"
        # A busy machine may have kept the storm itself from writing for so long that the file was gone for good.
        shown = {"local", "vendor"} if absent and longest >= 0.2 else {"local"}
        assert {"local"} <= caller.seen - {"Unavailable"} <= shown


# ---- File systems of others ----

@pytest.fixture
def far(folder):
    """Starts a guard with a directory of the administrator on FUSE: (guard, its server, what lies behind)."""
    behind = folder / "behind"
    behind.mkdir(mode=0o755)
    asked = mmap.mmap(-1, mmap.PAGESIZE)
    with contextlib.ExitStack() as stack:
        def start(actions, remote, counted=True):
            mount = stack.enter_context(hung_fuse.mounted(folder / "far", server_of=lambda device, *_: (
                hung_fuse.Files(behind, asked, counted, device))))
            for name, action in remote.items():
                put(behind, name, action)
            guard = harness.Guard(actions, options=["--actions", str(mount.path)])
            stack.enter_context(guard)
            # Its end first, whoever stands still.
            stack.callback(lambda: os.kill(mount.pid, signal.SIGCONT))
            return guard, mount, behind

        start.asked = lambda: struct.unpack_from("<I", asked)[0]
        yield start


def put(folder, name, action):
    fresh = folder / f".{name}"
    fresh.write_text(json.dumps(action))
    fresh.chmod(0o644)
    fresh.rename(folder / f"{name}.json")


needs_fuse = pytest.mark.skipif(not hung_fuse.available(), reason="needs FUSE")


@needs_fuse
@pytest.mark.parametrize("counted", [True, False], ids=["", "that knows nothing of its room"])
def test_a_file_system_that_stands_still_holds_up_nothing_else(far, counted):
    guard, mount, _ = far({"near": says("near")}, {"far": says("far")}, counted)
    with guard.connect(as_=ALICE) as client, stopped(mount.pid):
        late = {"error": "org.postern.Actions.Unavailable", "parameters": {
            "message": "the action files have changed, and reading them takes too long; try again"}}
        # What was seen less than five seconds ago is believed; then it is asked again, and waited for.
        harness.wait_until(lambda: client.call("Check", {"action": "near"}) == late)
        client.send_call("org.postern.Actions.Run", {"action": "near"})
        for _ in range(20):
            with guard.connect(as_=BOB) as other:
                assert get(other, "0" * 32)["error"] == "org.postern.Jobs.NoSuchJob"
        assert client.read_reply() == late
    with guard.connect(as_=ALICE) as client:
        assert (output(client, "near"), output(client, "far")) == ("near", "far")


@needs_fuse
def test_what_changes_on_another_file_system_is_found_by_itself(far):
    guard, _, behind = far({}, {"far": says("far"), "other": says("one")})
    with guard.connect(as_=ALICE) as client:
        assert (output(client, "far"), output(client, "other")) == ("far", "one")
        before = far.asked()
        (behind / "far.json").unlink()
        began = time.monotonic()
        looks = gone = calls = 0
        # Until it is gone, and so often that it would show if each call asked there.
        while not gone or calls < 100 * looks:
            assert time.monotonic() < began + harness.PATIENCE
            gone = client.call("Check", {"action": "far"}).get("error") == "org.postern.Actions.NotGranted"
            calls += 1
            looks = (time.monotonic() - began) // 5 + 2
        # By the clock, and not by the call.
        assert far.asked() - before < 60 * looks
        put(behind, "other", says("two"))
        put(behind, "new", says("new"))
        harness.wait_until(lambda: output(client, "other") == "two")
        harness.wait_until(lambda: output(client, "new") == "new")
