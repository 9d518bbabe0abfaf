"""The package is replaced while jobs write: nothing is lost, by this version and from the one before."""

import contextlib
import json
import threading

import pytest

import booted_host
import build_deb
import load
from conftest import install
from jobs import records, shell, spawn

pytestmark = pytest.mark.needs_root

ROUNDS = 400
NUMBERS = (f"i=1; while [ $i -le {ROUNDS} ]; do seq $((i * 1000)) $((i * 1000 + 999)); i=$((i + 1)); "
           "sleep 0.01; done; echo end >&2; exit 3")
EXPECTED = "".join(f"{number}\n" for number in range(1000, (ROUNDS + 1) * 1000))


def process(host, name):
    """The one of this name that is no zombie, by its number inside; None: there is none."""
    found = host.run("pgrep", "-x", "-r", "R,S,D", name, check=False).stdout.split()
    return found[0] if found else None


@contextlib.contextmanager
def watched(host):
    """Looks all the time which of guard and keeper are there; yields the moments where neither was,
    and those when each was another one."""
    script = ("until [ -e /run/seen-enough ]; do "
              "echo $(pgrep -x -r R,S,D posternd) - $(pgrep -x -r R,S,D postern-output); done")
    host.run("rm", "-f", "/run/seen-enough")
    watcher = host.spawn("sh", "-c", script)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(watcher.stdout))
    reader.start()
    try:
        yield lines
    finally:
        host.write("/run/seen-enough", "")
        reader.join(60)
        watcher.communicate(timeout=100)


def seen(lines):
    """The different pairs (guard, keeper), in their order; None for one that is not there."""
    pairs = []
    for line in lines:
        pair = tuple(part.strip() or None for part in line.split("-"))
        if not pairs or pairs[-1] != pair:
            pairs.append(pair)
    return pairs


def test_a_reinstallation_loses_no_byte_and_ends_one_after_the_other(host, declare, package):
    declare(numbers=shell(NUMBERS), detached=shell(NUMBERS, datagram=True, allow=[{"user": "member"}]))
    client = spawn(host, "numbers")
    host.run("posternctl", "notify", "detached", user="member")
    assert client.stdout.readline() == "1000\n"
    before = process(host, "posternd"), process(host, "postern-output")
    with watched(host) as lines:
        install(host, package)
        booted_host.wait_until(lambda: process(host, "postern-output") not in (None, before[1]), 20,
                               "the keeper is back")
    pairs = seen(lines)
    assert pairs[0] == before
    assert pairs[-1][0] != before[0] and pairs[-1][1] != before[1] and None not in pairs[-1]
    assert (None, None) not in pairs
    # The next guard was there before the keeper was told to go.
    ready = int(host.property("posternd.service", "ActiveEnterTimestampMonotonic"))
    assert ready < int(host.property("postern-output.service", "ActiveExitTimestampMonotonic"))
    assert host.property("postern-output.service", "NRestarts") != "0"
    assert client.stdout.read() == EXPECTED.removeprefix("1000\n")
    assert (client.stderr.read(), client.wait(60)) == ("end\n", 3)
    [record] = booted_host.wait_until(
        lambda: [one for one in records(host, "detached") if one["state"] == "ended"], 60, "its end")
    assert record["result"]["status"] == 3 and "stdoutLostFrom" not in record["result"]
    assert host.run("cat", f"/var/lib/postern/jobs/{record['job']}/stdout").stdout == EXPECTED
    assert host.failed_units() == ""


@pytest.mark.long
def test_a_job_of_the_version_before_writes_to_its_end(host_before, suite, package):
    """It writes to files itself, and goes on doing so."""
    host = host_before
    host.run("dpkg", "-i", "/before.deb")
    host.run("useradd", "member")
    host.run("usermod", "-a", "-G", "postern", "member")
    for name in ("numbers", "detached"):
        host.write(f"/etc/postern/actions.d/{name}.json", json.dumps(
            {"summary": name, "allow": [{"group": "postern"}], **shell(NUMBERS)}))
    client = spawn(host, "numbers")
    other = spawn(host, "detached")
    assert client.stdout.readline() == "1000\n" and other.stdout.readline() == "1000\n"
    host.run("pkill", "-KILL", "-f", "posternctl run detached")  # its job goes on
    other.communicate()
    assert "pipes" not in host.run("sh", "-c", "cat /var/lib/postern/jobs/*/record.json").stdout
    install(host, package)
    installed = host.run("dpkg-query", "-W", "-f", "${Version}", "postern").stdout
    assert installed == build_deb.package_version(suite)
    # The client is of the version before, and so is what it reads.
    assert client.stdout.read() == EXPECTED.removeprefix("1000\n")
    assert (client.stderr.read(), client.wait(60)) == ("end\n", 3)
    for name in ("numbers", "detached"):
        record = booted_host.wait_until(
            lambda: next((one for one in records(host, name) if one["state"] == "ended"), None),  # noqa: B023
            60, "its end")
        assert record["result"]["status"] == 3 and "stdoutLostFrom" not in record["result"]
        assert host.run("cat", f"/var/lib/postern/jobs/{record['job']}/stdout").stdout == EXPECTED
        said = host.run("posternctl", "call", "--more", "org.postern.Jobs.Follow",
                        json.dumps({"job": record["job"]}), user="member").stdout.splitlines()
        replies = [json.loads(line)["parameters"] for line in said]
        for stream, text in (("stdout", EXPECTED), ("stderr", "end\n")):
            assert "".join(reply.get(stream, "") for reply in replies) == text
        assert replies[-1]["result"]["exitCode"] == 3
    # And the next job is of this version.
    after = host.run("posternctl", "run", "numbers", user="member", check=False, timeout=120)
    assert (after.returncode, after.stdout, after.stderr) == (3, EXPECTED, "end\n")
    assert records(host, "numbers")[-1]["pipes"] == 2
    assert host.failed_units() == ""


@pytest.mark.long
def test_an_upgrade_under_load(host_before, package):
    """Twenty clients call all the while. No call is refused by this version, and no job runs twice.

    posternctl of the version before does not call again what did not begin: until its file is replaced, a call
    may be told that the daemon is stopping.
    """
    host = host_before
    host.run("dpkg", "-i", "/before.deb")
    host.write("/etc/postern/actions.d/replaced.json", json.dumps(
        {"summary": "s", "allow": [{"group": "postern"}], **load.ACTION}))
    with load.users(host):
        callers = load.begin(host)
        load.wait_for_starts(host, 40)
        install(host, package)
        load.wait_for_starts(host, len(load.journal(host, "job-started")) + 100)
        count, wrong = load.end(host, callers)
    assert [line for line in wrong if "try again" not in line] == []
    assert len(wrong) <= len(callers)
    load.assert_each_ran_once(host, count - len(wrong))
    assert host.failed_units() == ""
