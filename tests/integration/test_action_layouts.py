"""Directories of action files as tools lay them out, and what in them is no action file."""

import json
import os
import shutil
import subprocess

import pytest

import harness
from actions import EVERYONE, TRUE
from harness import program
from identity import ALICE

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

GOOD = {**TRUE, "allow": EVERYONE}
ONE = {"summary": "One", "exec": ["/bin/echo", "one"], "allow": EVERYONE}
TWO = {"summary": "Two", "exec": ["/bin/echo", "two"], "allow": EVERYONE}
# What each of these programs leaves or has beside the files, whatever it holds.
LEFTOVERS = [
    ".web.json", ".web.json.swp", "web.json~", "#web.json#", "web.json.dpkg-new", "web.json.dpkg-dist",
    "web.json.rpmsave", "web.json.ucf-old", "web.json.pacnew", "web.json.orig", "README", "4913",
]


@pytest.fixture
def admin(start_guard, folder):
    """Starts a guard, and returns posternctl on its administrator's socket: admin(WORDS...)."""

    def start(*args, **kwargs):
        path = folder / "admin.sock"
        guard = start_guard(*args, options=["--admin-socket", str(path), *kwargs.pop("options", [])], **kwargs)

        def call(*words):
            done = subprocess.run([program("posternctl"), "--socket", path, *words], check=False,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout, done.stderr

        call.guard = guard
        return call

    return start


def write(path, action):
    path.write_text(json.dumps(action))
    path.chmod(0o644)


def point(path, target):
    """A link, in place of what is there, as ln -sfn and the kubelet do it."""
    fresh = path.with_name("..fresh")
    fresh.symlink_to(target)
    fresh.rename(path)


def says(guard, action="web"):
    """What a job of ALICE's of this action writes; None: it is not granted to her."""
    done = guard.ctl("run", action, as_=ALICE)
    return None if done.returncode == 126 else done.stdout.strip()


def check(*words, actions):
    """posternd --check."""
    return subprocess.run([program("posternd"), "--check", "--jobs", "direct",
                           *(word for path in actions for word in ("--actions", path)), *words],
                          capture_output=True, text=True, check=False)


# ---- Links ----

def test_a_config_map(admin):
    ctl = admin()
    guard, actions = ctl.guard, ctl.guard.actions_folder
    for name, files in {"..2026_01": {"web": ONE, "old": ONE}, "..2026_02": {"web": TWO}}.items():
        (actions / name).mkdir()
        for file, action in files.items():
            write(actions / name / f"{file}.json", action)
    point(actions / "..data", "..2026_01")
    point(actions / "web.json", "..data/web.json")
    point(actions / "old.json", "..data/old.json")
    assert ctl("reload") == (0, "2 actions are loaded, 0 files are bad\n", "")
    assert (says(guard), says(guard, "old")) == ("one", "one")
    # What the kubelet does where the content changes; the links of what is not in it any more go last.
    point(actions / "..data", "..2026_02")
    shutil.rmtree(actions / "..2026_01")
    code, out, err = ctl("reload")
    assert (code, out) == (1, "1 action is loaded, 1 file is bad\n")
    assert err == (f"posternctl: not loaded: {actions}/old.json: is a symbolic link, and "
                   f"{actions}/..2026_02/old.json does not exist; create it, or run: rm {actions}/old.json\n")
    assert (says(guard), says(guard, "old")) == ("two", None)
    (actions / "old.json").unlink()
    assert ctl("reload") == (0, "1 action is loaded, 0 files are bad\n", "")
    # A volume that is mounted read-only shows the directory itself through a link.
    point(guard.folder / "mounted", "actions")
    done = check(actions=[guard.folder / "mounted"])
    assert (done.returncode, done.stderr) == (0, "") and "web: Two\n" in done.stdout


def test_stow(admin, folder):
    ctl = admin({"own": GOOD})
    guard, actions = ctl.guard, ctl.guard.actions_folder
    package = folder / "stow/web/etc/postern/actions.d"
    package.mkdir(parents=True)
    write(package / "web.json", ONE)
    (actions / "web.json").symlink_to(os.path.relpath(package / "web.json", actions))
    assert ctl("reload") == (0, "2 actions are loaded, 0 files are bad\n", "")
    assert says(guard) == "one"
    # Replaced where it lies, and switched off there.
    write(package / "web.json", TWO)
    assert ctl("reload")[0] == 0 and says(guard) == "two"
    point(package / "web.json", "/dev/null")
    assert ctl("reload") == (0, "1 action is loaded, 0 files are bad\n", "")
    assert says(guard) is None
    # The whole directory is a link: stow "folds" trees that it has alone.
    write(package / "own.json", GOOD)
    shutil.rmtree(actions)
    actions.symlink_to(os.path.relpath(package, actions.parent))
    assert ctl("reload")[1] == "1 action is loaded, 0 files are bad\n"


def test_ostree(admin, folder):
    objects, deployed = folder / "objects", folder / "deploy/usr/lib/postern/actions.d"
    objects.mkdir()
    deployed.mkdir(parents=True)
    write(objects / "8f3c.file", ONE)
    os.link(objects / "8f3c.file", deployed / "web.json")
    os.link(objects / "8f3c.file", deployed / "same.json")
    ctl = admin(options=["--actions", str(deployed)])
    assert ctl("reload") == (0, "2 actions are loaded, 0 files are bad\n", "")
    assert says(ctl.guard) == "one"


def test_the_configuration_may_be_a_link_too(folder):
    (folder / "actions").mkdir()
    write(folder / "real.json", {"actions": [str(folder / "actions")]})
    link = folder / "posternd.json"
    link.symlink_to("real.json")

    def said():
        done = subprocess.run([program("posternd"), "--check", "--config", link], capture_output=True, text=True,
                              check=False)
        return done.returncode, done.stderr

    assert said() == (0, "")
    (folder / "real.json").unlink()
    code, error = said()
    assert code != 0
    assert (f"configuration: {link} is a symbolic link, and {folder}/real.json does not exist; create it, or "
            f"run: rm {link}\n") in error


# ---- What is passed over ----

def test_what_is_passed_over_is_told(admin):
    ctl = admin({"web": GOOD})
    guard, actions = ctl.guard, ctl.guard.actions_folder
    for name in ("a.JSON", "b.conf", "web.jsonc"):
        (actions / name).write_text("not JSON")
    (actions / "more").mkdir()
    begin = f"{actions}/%s: is ignored, because "
    end = "its name does not end in .json; "
    messages = [
        begin % "a.JSON" + end + "rename it to a.json",
        begin % "b.conf" + end + "rename it to b.json",
        begin % "more" + f"it is a directory; move the files in it to {actions}",
        begin % "web.jsonc" + end + ("web.json exists too; move this one elsewhere, "
                                     "or give it another name that ends in .json"),
    ]
    warnings = "".join(f"posternctl: warning: {message}\n" for message in messages)
    # Whoever reloads is told, each time; the journal has it once, as long as it lies there.
    for _ in range(2):
        assert ctl("reload") == (0, "1 action is loaded, 0 files are bad\n", warnings)
        code, out, err = ctl("--json", "reload")
        assert (code, err) == (0, "")
        assert json.loads(out) == {"actions": 1, "bad": [], "problems": [],
                                   "warnings": [{"message": message} for message in messages]}
    for message in messages:
        assert guard.stderr().count(message) == 1
    assert json.loads(ctl("--json", "status")[1])["warnings"] == []
    (actions / "a.JSON").unlink()
    assert ctl("reload")[2].count("warning") == 3
    (actions / "a.JSON").write_text("not JSON")
    assert ctl("reload")[2].count("warning") == 4
    assert guard.stderr().count(messages[0]) == 2

    done = check(actions=[actions])
    assert (done.returncode, done.stderr) == (0, "".join(f"warning: {message}\n" for message in messages))
    assert done.stdout.endswith("1 action is loaded, 0 files are bad\n")
    said = json.loads(check("--json", actions=[actions]).stdout)
    assert said["passedOver"] == [{"file": f"{actions}/{name}", "message": message}
                                  for name, message in zip(("a.JSON", "b.conf", "more", "web.jsonc"), messages)]
    assert said["bad"] == []


def test_what_editors_and_packagers_leave_is_never_mentioned(admin):
    ctl = admin({"web": GOOD})
    guard, actions = ctl.guard, ctl.guard.actions_folder
    before = guard.stderr()
    for name in LEFTOVERS:
        (actions / name).write_text("not JSON")
        (actions / name).chmod(0o666)
    (actions / ".#web.json").symlink_to("ada@host.4711:1790000000")
    (actions / "..data").mkdir()
    assert ctl("reload") == (0, "1 action is loaded, 0 files are bad\n", "")
    assert "warning" not in guard.stderr()[len(before):] and ".web.json" not in guard.stderr()
    done = check("--json", actions=[actions])
    said = json.loads(done.stdout)
    assert (done.returncode, said["bad"], "passedOver" in said) == (0, [], False)


def test_a_directory_that_does_not_exist_is_told(admin, folder):
    gone = folder / "gone"
    message = (f"{gone}: no action is loaded from here, because {gone} does not exist; create it or correct the "
               "path")
    ctl = admin({"web": GOOD}, options=["--actions", str(gone)])
    code, out, err = ctl("reload")
    assert out == "1 action is loaded, 0 files are bad\n"
    assert f"posternctl: warning: {message}\n" in err
    done = check(actions=["/usr/lib/postern/actions.d", ctl.guard.actions_folder, gone])
    assert done.returncode == 0
    assert done.stderr == f"warning: {message}\n"  # the packages' may be absent without a word
    assert json.loads(check("--json", actions=[ctl.guard.actions_folder, gone]).stdout)["missing"] == [str(gone)]
