"""Names that could be taken for something else: of accounts, units and sockets."""

import json
import os
import pathlib
import subprocess

import pytest

import cgroup
import harness
from actions import script
from harness import program
from identity import ALICE, BOB

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: accounts and callers of other uids")

# 20231234 is ALICE's account; BOB's uid has two, of which "second" stands behind. What is uid 20231234
# is a third one.
PASSWD = f"""root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/usr/sbin/nologin
20231234:x:{ALICE.uid}:{ALICE.gid}::/home/student:/bin/sh
first:x:{BOB.uid}:{BOB.gid}::/home/first:/bin/false
second:x:{BOB.uid}:64202::/home/second:/bin/sh
other:x:20231234:64300::/home/other:/bin/sh
"""
GROUP = """root:x:0:
daemon:x:1:
tape:x:64500:first
disk:x:64501:second
64100:x:64502:
extra:x:64503:20231234
"""
WHO = 'echo "$(id -u) $(id -g) $(id -G) $HOME $USER $LOGNAME $SHELL"'
TAKEN = ('user: "20231234" is taken as the user of that name, uid 64001, not as uid 20231234; if '
         'you mean that id, write the number without quotes')


@pytest.fixture
def accounts(folder):
    """Words before a command line that make it see our accounts and no others."""
    (folder / "passwd").write_text(PASSWD)
    (folder / "group").write_text(GROUP)
    (folder / "nsswitch").write_text("passwd: files\ngroup: files\n")
    mounts = " && ".join(f"mount --bind {folder}/{ours} /etc/{theirs}" for ours, theirs in (
        ("passwd", "passwd"), ("group", "group"), ("nsswitch", "nsswitch.conf")))
    return ("unshare", "-m", "sh", "-c", f'mount --make-rprivate / && {mounts} && exec "$@"', "sh")


def test_an_account_of_digits_is_denied_by_its_name(start_guard, accounts):
    guard = start_guard({
        "denied": script("id -u", deny=[{"user": "20231234"}]),
        "group": script("id -u", deny=[{"group": "64100"}]),
        "own": script("id -u", allow=[{"user": "20231234"}]),
        "number": script("id -u", allow=[{"user": 20231234}]),
    }, under=accounts)
    # 64100 is a group of ALICE's by number, and 64502 is the one of that name.
    with guard.connect(as_=ALICE) as client:
        assert client.granted() == ["group", "own"]
        assert client.call("Run", {"action": "denied"})["error"] == "org.postern.Actions.NotGranted"
    assert f"denied.json:15:15: deny[0].{TAKEN}\n" in guard.stderr()
    assert "number.json" not in guard.stderr()


@pytest.mark.parametrize("user, who", [
    ("20231234", f"{ALICE.uid} {ALICE.gid} {ALICE.gid} 64503 /home/student 20231234 20231234 /bin/sh"),
    (20231234, "20231234 64300 64300 /home/other other other /bin/sh"),
    (str(ALICE.uid), f"{ALICE.uid} {ALICE.gid} {ALICE.gid} 64503 /home/student 20231234 20231234 /bin/sh"),
    ("first", f"{BOB.uid} {BOB.gid} {BOB.gid} 64500 /home/first first first /bin/false"),
    (BOB.uid, f"{BOB.uid} {BOB.gid} {BOB.gid} 64500 /home/first first first /bin/false"),
    # Nothing of the account that is found first.
    ("second", f"{BOB.uid} 64202 64202 64501 /home/second second second /bin/sh"),
])
def test_a_job_has_all_of_the_account_that_the_file_names(start_guard, accounts, user, who):
    guard = start_guard({"who": script(WHO, allow=[{"user": "daemon"}, {"user": 0}], user=user)},
                        under=accounts)
    with guard.connect() as client:
        reply = client.call("Run", {"action": "who"})
        assert reply["parameters"]["stdout"] == who + "\n"


def test_both_readings_are_told_everywhere(start_guard, accounts, folder):
    text = json.dumps({"summary": "s", "exec": ["/bin/true"], "allow": [], "user": "20231234"})
    guard = start_guard({"own": text}, under=accounts, options=["--admin-socket", str(folder / "admin")])
    place = f"{guard.actions_folder}/own.json:1:62: "
    warning = {"action": "own", "message": place + TAKEN}

    def ctl(*words):
        done = subprocess.run([program("posternctl"), *words, "--socket", str(folder / "admin")], text=True,
                              capture_output=True, timeout=60)
        assert done.returncode == 0
        return done

    assert json.loads(ctl("reload", "--json").stdout) == {
        "actions": 1, "bad": [], "warnings": [warning], "problems": []}
    done = ctl("reload")
    assert done.stdout == "1 action is loaded, 0 files are bad\n"
    assert f"warning: {warning['message']}\n" in done.stderr
    assert json.loads(ctl("status", "--json").stdout)["warnings"] == [warning]
    assert TAKEN.split(";")[0].replace('"', "") in " ".join(ctl("status").stdout.replace('"', "").split())
    assert guard.stderr().count(f"{place}{TAKEN}\n") == 1  # the reloads changed nothing

    def run(*words):
        return subprocess.run([*accounts, *words], text=True, capture_output=True, timeout=60)

    file = guard.actions_folder / "own.json"
    done = run(program("posternd"), "--lint", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (
        0, "1 file is good\n", f"warning: {place}{TAKEN}\n")
    done = run(program("posternd"), "--json", "--lint", str(file))
    assert json.loads(done.stdout) == {
        "good": [{"file": str(file), "action": "own", "warnings": [place + TAKEN]}], "bad": []}
    check = [program("posternd"), "--check", "--actions", str(guard.actions_folder), "--jobs", "direct"]
    done = run(*check)
    assert done.returncode == 0 and done.stderr == f"warning: {place}{TAKEN}\n"
    done = run(*check, "--json")
    assert json.loads(done.stdout)["actions"][0]["warnings"] == [place + TAKEN]


def test_the_owner_of_a_directory_can_not_put_a_socket_in_the_place_of_ours(folder):
    own = folder / "alice"
    own.mkdir()
    os.chown(own, ALICE.uid, ALICE.gid)
    done = subprocess.run([program("posternd"), "--socket", own / "s", "--actions", folder, "--state",
                           folder / "state", "--audit", folder / "audit", "--jobs", "direct"],
                          text=True, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        f'posternd: critical: socket "{own}/s": {own} is not owned by root (owned by uid 64001, mode 0755); '
        f"run: chown -h root {own}; or give another path, because others could remove the socket there\n")
    assert os.listdir(own) == []


@pytest.fixture
def in_cgroup():
    """Runs posternctl as ALICE in a cgroup of this path below a slice of our own, and returns its exit code."""
    base = cgroup.root()
    if base is None:
        pytest.skip("needs a cgroup file system to write to")
    slice_ = pathlib.Path(base, f"posterntest{os.getpid()}.slice")
    slice_.mkdir()

    def run(below, guard, action):
        place = slice_ / below.format(slice=slice_.stem)
        place.mkdir(parents=True, exist_ok=True)

        def become():
            (place / "cgroup.procs").write_text("0")
            ALICE.take()

        return subprocess.run([program("posternctl"), "--socket", guard.socket_path, "run", action],
                              preexec_fn=become, cwd="/", capture_output=True, timeout=60).returncode

    yield run
    for path, _, _ in os.walk(slice_, topdown=False):
        os.rmdir(path)


@pytest.mark.skipif(tuple(map(int, os.uname().release.split(".")[:2])) < (6, 5),
                    reason="needs Linux 6.5: which unit a caller is in")
def test_a_unit_has_the_name_that_systemd_gives_it(start_guard, in_cgroup):
    guard = start_guard({
        "denied": script("true", deny=[{"unit": "io.service"}, {"unit": "_x.service"}]),
        "ci": script("true", allow=[{"unit": "ci-runner.service"}]),
    })
    assert in_cgroup("_io.service", guard, "denied") == 126
    assert in_cgroup("__x.service/payload", guard, "denied") == 126
    assert in_cgroup("io2.service", guard, "denied") == 0
    assert in_cgroup("ci-runner.service", guard, "ci") == 0
    assert in_cgroup("{slice}-a.slice/ci-runner.service", guard, "ci") == 0
    # What a container's own systemd might make.
    for below in ("system.slice", "x.slice", "{slice}.slice", "{slice}-a-b.slice", "-.slice", ".slice"):
        assert in_cgroup(f"{below}/ci-runner.service", guard, "ci") == 126, below
