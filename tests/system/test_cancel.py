"""Jobs under systemd that are cancelled: by their owner and by root, and with all that they left."""

import json

import pytest

import booted_host
from jobs import expect_no_units, finished, records, shell, spawn, wait_for_unit
from traced import guard_pid

pytestmark = pytest.mark.needs_root

FOR_EVER = "while :; do sleep 1000 & wait $!; done"
WAIT = shell(f"echo began; {FOR_EVER}")
# Neither it nor what it has started cares, and that is in a POSIX session of its own.
STUBBORN = shell("trap '' TERM; setsid sh -c 'while :; do sleep 1; done' & "
                 "until [ \"$(cut -d ' ' -f 6 /proc/$!/stat)\" = $! ]; do sleep 0.02; done; "
                 f"echo began; {FOR_EVER}")


def begin(host, action):
    """posternctl run, and its job, once it has said that it is there."""
    client = spawn(host, action)
    unit = wait_for_unit(host)
    assert client.stdout.readline() == "began\n"
    return client, unit.removeprefix("postern-job-").removesuffix(".service")


def cancel(host, *words, user="member"):
    done = host.run("posternctl", "cancel", *words, user=user, check=False)
    return done.returncode, done.stdout, done.stderr


def end(host, client, job, who, signal):
    """It was cancelled by `who`, everywhere, and nothing of it is left."""
    name, uid = who
    text = {15: "15 (TERM)", 9: "9 (KILL)"}[signal]
    out, err = client.communicate(timeout=60)
    assert (client.returncode, out) == (128 + signal, "")
    assert err.splitlines()[-1] == (
        f"posternctl: wait: ended by signal {text}: cancelled by {name} (uid {uid})")
    expect_no_units(host)
    assert host.run("sh", "-c", f"grep -lsz '^POSTERN_JOB={job}$' /proc/[0-9]*/environ",
                    check=False).stdout == ""
    record = records(host, "wait")[-1]
    assert (record["job"], record["state"]) == (job, "ended")
    result = record["result"]
    assert (result["outcome"], result["bySignal"], result["status"]) == ("signaled", True, signal)
    assert result["cancelledBy"] == {"uid": uid, "user": name}
    entry = json.loads(booted_host.wait_until(
        lambda: host.run("journalctl", "--no-pager", "-o", "json", "POSTERN_EVENT=job-ended",
                         f"POSTERN_JOB={job}").stdout, 10, "the entry of its end"))
    assert (entry["POSTERN_CANCELLED_BY"], entry["POSTERN_CANCELLED_BY_USER"]) == (str(uid), name)
    assert entry["MESSAGE"].endswith(f"signal {text}; cancelled by {name} (uid {uid})")
    entry = json.loads(host.run("journalctl", "--no-pager", "-o", "json", "POSTERN_EVENT=job-cancelled",
                                f"POSTERN_JOB={job}").stdout)
    assert (entry["POSTERN_UID"], entry["POSTERN_ACTION"]) == (str(uid), "wait")


@pytest.fixture
def member(host):
    return "member", int(host.run("id", "-u", "member").stdout)


def test_by_its_owner(host, declare, member):
    declare(wait=WAIT)
    client, job = begin(host, "wait")
    assert cancel(host, job) == (
        0, f"wait: job {job} was cancelled: ended by signal 15 (TERM)\n", "")
    end(host, client, job, member, 15)
    assert cancel(host, job)[0] == 122


def test_by_root_who_needs_to_name_no_socket(host, declare):
    declare(wait=WAIT)
    client, job = begin(host, "wait")
    assert cancel(host, job, user="root") == (
        0, f"wait: job {job} was cancelled: ended by signal 15 (TERM)\n", "")
    end(host, client, job, ("root", 0), 15)


def test_one_that_ignores_term_is_killed_with_all_that_it_has_left(host, configure, declare, member):
    configure({"limits": {"killGrace": "500ms"}})
    declare(wait=STUBBORN)
    client, job = begin(host, "wait")
    assert cancel(host, job) == (
        0, f"wait: job {job} was cancelled: ended by signal 9 (KILL)\n", "")
    end(host, client, job, member, 9)


def test_now_is_killed_without_a_word(host, declare, member):
    declare(wait=STUBBORN)
    client, job = begin(host, "wait")
    assert cancel(host, "--now", job) == (
        0, f"wait: job {job} was cancelled: ended by signal 9 (KILL)\n", "")
    end(host, client, job, member, 9)


def test_all_of_a_user_by_name(host, declare):
    declare(wait=WAIT)
    client, job = begin(host, "wait")
    assert cancel(host, "--all-of", "member", user="root") == (
        0, f"wait: job {job} was cancelled\n", "")
    end(host, client, job, ("root", 0), 15)
    assert cancel(host, "--all-of", "member", user="root") == (
        0, "", "posternctl: member has no running jobs\n")
    assert cancel(host, "--all-of", "member")[0] == 125


@pytest.mark.usefixtures("quick_restarts")
def test_a_guard_that_is_killed_meanwhile_has_not_forgotten_it(host, configure, declare, member):
    configure({"limits": {"killGrace": "2s"}})
    declare(wait=STUBBORN)
    client, job = begin(host, "wait")
    guard = guard_pid(host)
    canceller = host.spawn("posternctl", "cancel", job, user="member")
    booted_host.wait_until(lambda: records(host, "wait")[-1].get("cancelling"), 60, "its record says so")
    host.kill_outside(guard)
    assert finished(canceller) == (0, f"wait: job {job} was cancelled: ended by signal 9 (KILL)\n", "")
    end(host, client, job, member, 9)
