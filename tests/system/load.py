"""Clients that call all the while: nothing that happens beside may be seen by them."""

import contextlib
import json
import shlex

import booted_host
from jobs import WAITS, shell

USERS = [f"load{number}" for number in range(10)]
# What each of their jobs is; it is to be declared as "replaced".
ACTION = shell("echo $POSTERN_JOB >>/run/quick; echo done")
# A ping that waits says so too, and does on standard error.
SCRIPT = (f"waits={shlex.quote(WAITS.strip())}; err=$(mktemp); i=0; until [ -e /run/enough ]; do i=$((i+1)); "
          "posternctl ping >/dev/null || echo ping $i; "
          "said=$(posternctl run replaced 2>$err) && [ \"$said\" = done ] && ! grep -qvxF \"$waits\" $err "
          "|| echo \"run $i: $said; $(cat $err)\"; done; rm $err; echo $i >&2")


@contextlib.contextmanager
def users(host):
    """Ten, so that no limit of a user holds them up."""
    for user in USERS:
        host.run("useradd", "--groups", "postern", user)
    yield USERS
    for user in USERS:
        host.run("userdel", user)


def begin(host):
    """Two clients of each user, that call until end()."""
    host.run("rm", "-f", "/run/quick", "/run/enough")
    return [host.spawn("bash", "-c", SCRIPT, user=user) for user in USERS for _ in range(2)]


def wait_for_starts(host, count):
    booted_host.wait_until(lambda: len(journal(host, "job-started")) > count, 60, "calls")


def end(host, callers):
    """Ends them. How many calls there were, and what was wrong with any."""
    host.write("/run/enough", "")
    count, wrong = 0, []
    for caller in callers:
        out, err = caller.communicate(timeout=600)
        assert caller.returncode == 0, err
        count += int(err.splitlines()[-1])
        wrong += out.splitlines()
    return count, wrong


def assert_each_ran_once(host, count):
    """And has a true end."""
    ran = host.run("cat", "/run/quick").stdout.split()
    assert len(ran) == len(set(ran)) == count
    booted_host.wait_until(
        lambda: {entry["POSTERN_JOB"] for entry in journal(host, "job-ended")} >= set(ran), 30,
        "the end of each job")
    assert {(entry["POSTERN_OUTCOME"], entry["POSTERN_STATUS"])
            for entry in journal(host, "job-ended")} == {("exited", "0")}


def journal(host, event):
    """The entries of their jobs."""
    lines = host.run("journalctl", "--no-pager", "-o", "json", f"POSTERN_EVENT={event}",
                     "POSTERN_ACTION=replaced").stdout.splitlines()
    return [json.loads(line) for line in lines]
