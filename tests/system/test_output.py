"""What jobs write, while those who keep it and those who pass it on are killed, restarted and stopped."""

import json

import pytest

import booted_host
import guard
from jobs import UNTIL_LET, finished, job_units, records, run, shell, spawn, wait_for_unit

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("quick_restarts")]

ROUNDS = 300
# 2 MB of numbered lines, in as many pieces and some seconds.
NUMBERS = (f"i=1; while [ $i -le {ROUNDS} ]; do seq $((i * 1000)) $((i * 1000 + 999)); i=$((i + 1)); "
           "sleep 0.01; done; echo end >&2; exit 3")
EXPECTED = "".join(f"{number}\n" for number in range(1000, (ROUNDS + 1) * 1000))
SOCKETS = ("posternd.socket", "posternd-admin.socket", "posternd-datagram.socket")
BOTH = ("posternd.service", "postern-output.service")


def kill(host, unit):
    host.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit)


def restart(host, unit):
    host.run("systemctl", "restart", unit)


def output_problem(host):
    return json.loads(host.run("posternctl", "status", "--json").stdout).get("outputProblem", "")


def stop_both(host):
    """With the sockets: a client that comes back would start the daemon again."""
    host.run("systemctl", "stop", *SOCKETS, "posternd.service")
    host.run("systemctl", "stop", "postern-output.service")
    host.run("systemctl", "start", *SOCKETS, *BOTH)


@pytest.mark.parametrize("units", [BOTH[:1], BOTH[1:], BOTH], ids=["daemon", "keeper", "in-turn"])
@pytest.mark.parametrize("how", [kill, restart])
def test_nothing_is_lost_and_nothing_doubled(host, declare, how, units):
    declare(numbers=shell(NUMBERS))
    client = spawn(host, "numbers")
    wait_for_unit(host)
    lines = []
    for times in range(5):
        # As soon as that much more has come.
        lines += [client.stdout.readline() for _ in range(ROUNDS * 1000 // 6)]
        unit = units[times % len(units)]
        before = host.property(unit, "MainPID")
        how(host, unit)
        booted_host.wait_until(
            lambda: (host.property(unit, "ActiveState") == "active" and
                     host.property(unit, "MainPID") not in ("0", before)), 20, "it is back")
        # Each has what the other had: one alone may be killed next.
        booted_host.wait_until(lambda: output_problem(host) == "", 20, "they have found each other")
    assert "".join(lines) + client.stdout.read() == EXPECTED
    assert client.stderr.read().splitlines()[-1] == "end"
    assert client.wait(60) == 3
    record = records(host, "numbers")[-1]
    assert record["result"]["status"] == 3
    assert "stdoutLostFrom" not in record["result"]


def test_while_the_keeper_is_stopped_jobs_wait_and_it_is_said(host, declare):
    declare(much=shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end"))
    host.run("systemctl", "stop", "postern-output.service")
    booted_host.wait_until(
        lambda: "postern-output is not running" in output_problem(host), 20, "the daemon has noticed")
    assert "systemctl start postern-output.service" in host.run("posternctl", "status").stdout
    code, out, err = run(host, "much")
    assert (code, out) == (123, "")
    assert "postern-output" in err
    host.run("systemctl", "start", "postern-output.service")
    assert run(host, "much") == (0, "x" * 3000000 + "end\n", "")
    assert output_problem(host) == ""


def test_a_running_job_waits_for_the_keeper(host, declare, let):
    declare(later=shell("echo first; while [ ! -e /run/let ]; do sleep 0.05; done; "
                        "head -c 3000000 /dev/zero | tr '\\0' x; echo end"))
    client = spawn(host, "later")
    assert client.stdout.readline() == "first\n"
    host.run("systemctl", "stop", "postern-output.service")
    let()
    unit = wait_for_unit(host)
    tasks = "/sys/fs/cgroup" + host.property(unit, "ControlGroup") + "/cgroup.procs"
    booted_host.wait_until(
        lambda: any("pipe" in host.run("sh", "-c", f"cat /proc/{pid}/wchan", check=False).stdout
                    for pid in host.run("cat", tasks).stdout.split()), 20, "it waits for its pipe")
    host.run("systemctl", "start", "postern-output.service")
    assert client.stdout.read() == "x" * 3000000 + "end\n"
    assert (client.wait(60), client.stderr.read()) == (0, "")


def run_without_both(host):
    """Both are stopped while the job runs, and started again; what was kept of it, and its record."""
    client = spawn(host, "night")
    assert client.stdout.readline() == "1000\n"
    stop_both(host)
    # It may have come back already, and had the rest.
    host.run("pkill", "-KILL", "posternctl", check=False)
    client.communicate()
    record = booted_host.wait_until(
        lambda: next((one for one in records(host, "night") if one["state"] == "ended"), None), 60,
        "it has ended")
    return host.run("cat", f"/var/lib/postern/jobs/{record['job']}/stdout").stdout, record


@pytest.mark.suite("trixie")
def test_what_both_leave_the_service_manager_has(host, declare):
    """Where its store outlives a stop (systemd 254)."""
    declare(night=shell(NUMBERS))
    out, record = run_without_both(host)
    assert out == EXPECTED
    assert record["result"]["status"] == 3 and "stdoutLostFrom" not in record["result"]


@pytest.mark.suite("bookworm")
def test_what_both_leave_is_lost_and_said(host, declare):
    declare(night=shell("trap '' PIPE; " + NUMBERS))
    out, record = run_without_both(host)
    assert out and EXPECTED.startswith(out)
    assert record["result"]["status"] == 3
    assert record["result"]["stdoutLostFrom"] == len(out)


def second_daemon(host):
    """One started by hand beside the unit's, with folders of its own and the same keeper."""
    host.run("mkdir", "-m", "0700", "-p", "/run/second", "/var/lib/second")
    client = host.spawn("env", "RUNTIME_DIRECTORY=/run/second", "posternd", "--socket", "/run/second/socket",
                        "--admin-socket", "/run/second/admin", "--state", "/var/lib/second",
                        "--audit", "/run/second/audit")
    booted_host.wait_until(lambda: host.exists("/run/second/admin"), 20, "its sockets")
    return client


def second_problem(host):
    said = host.run("posternctl", "--socket", "/run/second/admin", "status", "--json").stdout
    return json.loads(said).get("outputProblem", "")


def test_a_second_daemon_is_refused_and_told(host, declare, let):
    declare(numbers=shell(NUMBERS, allow=[{"everyone": True}]),
            held=shell(f"echo first; {UNTIL_LET}; {NUMBERS}"))
    client = spawn(host, "held")
    assert client.stdout.readline() == "first\n"
    second = second_daemon(host)
    try:
        pid = host.property("posternd.service", "MainPID")
        refused = f"for another posternd, process {pid}; stop one of the two"
        booted_host.wait_until(lambda: refused in second_problem(host), 20, "it is told")
        done = host.run("posternctl", "--socket", "/run/second/socket", "run", "numbers", check=False)
        assert (done.returncode, done.stdout) == (123, "")
        assert "postern-output, which stores what jobs write, is not running or serves another daemon" in done.stderr
        # It does not get between two of the first one's either.
        for _ in range(3):
            guard.restart(host)
            booted_host.wait_until(lambda: "for another posternd, process" in second_problem(host),
                                   20, "it is told again")
        let()
        assert finished(client) == (3, EXPECTED, "end\n")
        assert output_problem(host) == ""
        # Once the first has left, with nothing that is to be kept, the second is served.
        booted_host.wait_until(lambda: job_units(host) == [], 60, "no unit left")
        host.run("systemctl", "stop", *SOCKETS, "posternd.service")
        booted_host.wait_until(lambda: second_problem(host) == "", 20, "it is served")
        done = host.run("posternctl", "--socket", "/run/second/socket", "run", "numbers", check=False)
        assert (done.returncode, done.stdout, done.stderr) == (3, EXPECTED, "end\n")
    finally:
        host.run("pkill", "-TERM", "-f", "/run/second/socket")
        _, said = second.communicate(timeout=100)
        host.run("systemctl", "start", *SOCKETS, "posternd.service")
    assert said.count("keeps what jobs write for another posternd") >= 1


def stored(host):
    return int(host.property("postern-output.service", "NFileDescriptorStore"))


def test_the_descriptor_store_has_only_jobs_that_run_for_long(host, declare, let):
    declare(quick=shell("echo x; echo y >&2"), slow=shell(f"echo x; {UNTIL_LET}; echo y"))
    booted_host.wait_until(lambda: stored(host) == 0, 60, "nothing is stored")
    for _ in range(30):
        assert run(host, "quick") == (0, "x\n", "y\n")
        assert stored(host) == 0
    client = spawn(host, "slow")
    booted_host.wait_until(lambda: stored(host) == 2, 60, "both its streams are stored")
    record = records(host, "slow")[-1]
    now = float(host.run("date", "+%s").stdout)
    assert now - record["createdUsec"] / 1e6 >= 9
    # And are taken over by the next ones.
    restart(host, BOTH[1])
    assert stored(host) == 2
    let()
    assert finished(client)[1:] == ("x\ny\n", "")
    booted_host.wait_until(lambda: stored(host) == 0, 60, "nothing is stored")


def switches(host, unit):
    """How often the threads of a unit's main process have gone to sleep."""
    pid = host.property(unit, "MainPID")
    said = host.run("sh", "-c", f"cat /proc/{pid}/task/*/status").stdout
    return sum(int(line.split()[1]) for line in said.splitlines()
               if line.startswith("voluntary_ctxt_switches"))


def test_a_job_that_writes_nothing_wakes_nobody(host, declare, configure, let):
    """But for the watchdog, and to store its descriptors once. And when it writes again that counts."""
    configure({"limits": {"storedOutputTotal": "4MiB", "storedOutputPerUser": "4MiB"}})
    declare(silent=shell(f"echo x; {UNTIL_LET}; head -c 12M /dev/zero; sleep 1000", onDisconnect="kill"))
    client = spawn(host, "silent")
    assert client.stdout.readline() == "x\n"
    booted_host.wait_until(lambda: stored(host) == 2, 60, "its streams are stored")
    before = [switches(host, unit) for unit in BOTH]
    host.run("sleep", "12")
    woken = [switches(host, unit) - was for unit, was in zip(BOTH, before)]
    print(dict(zip(BOTH, woken)))
    assert max(woken) <= 2
    let()
    assert len(client.stdout.read(12 << 20)) == 12 << 20
    path = f"/var/lib/postern/jobs/{records(host, 'silent')[-1]['job']}/stdout"
    booted_host.wait_until(
        lambda: int(host.run("stat", "-c", "%b", path).stdout) * 512 <= 4 << 20, 20, "it is bounded")
    host.run("pkill", "-KILL", "posternctl")
    client.communicate()


# splice(2) of nothing that comes: it has the pipe's lock all the while (Linux 6.18, SYS_splice on x86-64).
STANDS_STILL = """use Socket; socketpair(my $here, my $there, AF_UNIX, SOCK_STREAM, 0);
open(my $pipe, '>>', "/proc/$ARGV[0]/fd/1") or die; $| = 1; print "ready\\n";
syscall(275, fileno($here), 0, fileno($pipe), 0, 4096, 0);"""


def test_a_stranger_in_the_middle_of_a_write_holds_up_nobody(host, declare, let):
    """Whoever closes the last descriptor of an end of that pipe waits for him: not systemd, not the daemon."""
    declare(held=shell(f"echo first; {UNTIL_LET}; exit 3"), other=shell("echo hi"))
    client = spawn(host, "held")
    assert client.stdout.readline() == "first\n"
    unit = wait_for_unit(host)
    main = host.property(unit, "MainPID")
    pipe = host.run("readlink", f"/proc/{main}/fd/1").stdout.strip()
    stranger = host.spawn("perl", "-e", STANDS_STILL, main)
    assert stranger.stdout.readline() == "ready\n"
    assert run(host, "other") == (0, "hi\n", "")
    let()
    assert client.stdout.read() == ""
    assert (client.wait(60), client.stderr.read()) == (3, "")
    daemon = host.property("posternd.service", "MainPID")
    booted_host.wait_until(
        # One that was closed while ls looked makes ls fail.
        lambda: job_units(host) == [] and pipe not in host.run("ls", "-l", f"/proc/{daemon}/fd", check=False).stdout,
        60, "systemd and the daemon have let it go")
    assert stranger.poll() is None
    assert host.run("systemctl", "is-active", *BOTH, timeout=20).stdout == "active\nactive\n"
    assert run(host, "other") == (0, "hi\n", "")
    host.run("pkill", "-KILL", "perl")
    stranger.communicate()
    assert run(host, "other") == (0, "hi\n", "")
