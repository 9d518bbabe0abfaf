"""The datagram socket under the shipped units: one packet wakes the guard, and is answered."""

import base64
import json
import pathlib
import re
import subprocess

import pytest

import booted_host
import guard

pytestmark = pytest.mark.needs_root

SOCKET = "/run/postern/postern.dgram"
CLIENT = "/usr/local/bin/datagram-client"
PING = '{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}'
PONG = '{"parameters":{"pong":"x"}}'
RUN = '{"method":"org.postern.Actions.Run","parameters":{"action":"touch"}}'
TOUCH = {"summary": "Touch", "exec": ["/bin/touch", "/run/touched"],
         "allow": [{"user": "member"}], "datagram": True}


@pytest.fixture(scope="module")
def client(host, tmp_path_factory):
    """client(MESSAGE, user=...): sends it from a name in /tmp and returns what came back."""
    program = tmp_path_factory.mktemp("client") / "datagram-client"
    # Static: the host has another C library.
    subprocess.run(["cc", "-static", "-Wall", "-Wextra", "-Werror", "-o", program,
                    pathlib.Path(__file__).parent / "datagram_client.c"], check=True)
    host.write(f"{CLIENT}.base64", base64.b64encode(program.read_bytes()).decode())
    host.run("sh", "-c", f"base64 -d {CLIENT}.base64 >{CLIENT} && chmod 755 {CLIENT}")

    def send(message, user="member"):
        return host.run(CLIENT, SOCKET, message, user=user, check=False)

    return send


def test_its_file_and_its_mode(host):
    stat = host.run("stat", "-c", "%F %a %U:%G %s", SOCKET).stdout.strip()
    assert stat == "socket 660 root:postern 0"
    assert host.property("posternd-datagram.socket", "UnitFileState") == "enabled"
    assert host.run("posternctl", "ping", user="member").returncode == 0
    status = json.loads(host.run("posternctl", "--json", "status").stdout)
    assert {"path": SOCKET, "kind": "datagram", "administrator": False} in status["sockets"]


def test_a_packet_from_a_name_in_tmp_wakes_the_guard_and_is_answered(host, client):
    guard.stop(host)
    done = client(PING)
    assert (done.returncode, done.stdout, done.stderr) == (0, PONG, "")
    assert host.property("posternd.service", "ActiveState") == "active"
    assert client(PING).stdout == PONG
    whoami = json.loads(client('{"method":"org.postern.Actions.WhoAmI"}').stdout)["parameters"]
    member = [int(host.run("id", flag, "member").stdout) for flag in ("-u", "-g")]
    assert [whoami["uid"], whoami["gid"]] == member and whoami["groups"] == [member[1]]
    # It can't even send who is not in the socket's group.
    denied = client(PING, user="stranger")
    assert (denied.returncode, denied.stdout) == (1, "") and "Permission denied" in denied.stderr
    assert host.run("find", "/tmp", "-name", "client.*").stdout == ""


def test_a_job_of_a_packet_is_a_unit_like_any(host, client):
    host.write("/etc/postern/actions.d/touch.json", json.dumps(TOUCH))
    host.run("systemctl", "restart", "posternd.service")
    reply = json.loads(client(RUN).stdout)
    job = reply["parameters"].pop("job")
    assert reply == {"parameters": {}}

    def entries():
        lines = host.run("journalctl", "--no-pager", "-o", "json", f"POSTERN_JOB={job}").stdout
        return {json.loads(line)["POSTERN_EVENT"]: json.loads(line) for line in lines.splitlines()}

    booted_host.wait_until(lambda: "job-ended" in entries(), 10, "the job ended")
    assert entries()["job-ended"]["POSTERN_STATUS"] == "0"
    assert host.exists("/run/touched")
    host.run("rm", "/run/touched", "/etc/postern/actions.d/touch.json")
    host.run("systemctl", "reload", "posternd.service")


@pytest.mark.parametrize("packets", [60, pytest.param(500, marks=pytest.mark.long)])
def test_no_packet_is_lost_to_a_guard_that_leaves(host, client, configure, packets):
    configure({"limits": {"idleExit": "20ms"}})
    assert client(PING).stdout == PONG
    # Pauses around the very time after which it leaves.
    script = (f"for i in $(seq {packets}); do sleep 0.0$((15 + i % 20)); test \"$({CLIENT} {SOCKET} '{PING}')\" "
              f"= '{PONG}' || echo \"packet $i was lost\"; done")
    guard.until_it_left(host, script, packets)
    assert host.failed_units() == ""


def test_a_restart_loses_no_packet_and_keeps_the_socket(host, client):
    inode = host.run("stat", "-c", "%i", SOCKET).stdout
    senders = host.spawn("bash", "-c", f"for i in $(seq 100); do {CLIENT} {SOCKET} '{PING}'; done",
                         user="member")
    for _ in range(3):
        host.run("systemctl", "restart", "posternd.service")
    out = senders.communicate(timeout=300)[0]
    assert out == PONG * 100
    assert host.run("stat", "-c", "%i", SOCKET).stdout == inode


def test_it_comes_with_the_other_socket_and_goes_with_it(host, client):
    assert client(PING).stdout == PONG
    host.run("systemctl", "stop", "posternd-datagram.socket")
    assert not host.exists(SOCKET)
    assert host.property("posternd.service", "ActiveState") == "inactive"
    # Neither a call nor a restart of the daemon opens it.
    assert host.run("posternctl", "ping", user="member").returncode == 0
    host.run("systemctl", "restart", "posternd.service")
    assert not host.exists(SOCKET)
    host.run("systemctl", "restart", "posternd-datagram.socket")
    assert client(PING).stdout == PONG
    host.run("systemctl", "stop", "posternd.socket")
    booted_host.wait_until(lambda: not host.exists(SOCKET), 20, "it went")
    host.run("systemctl", "start", "posternd.socket")
    # It comes after that one, for which alone systemctl waits, and gets its group after its name.
    booted_host.wait_until(
        lambda: host.property("posternd-datagram.socket", "ActiveState") == "active", 20, "it is there")
    assert client(PING).stdout == PONG
    assert host.failed_units() == ""


def test_replies_need_no_more_capabilities_than_there_are(host, client):
    assert client(PING).stdout == PONG
    pid = host.property("posternd.service", "MainPID")
    threads = host.run("sh", "-c", f"grep -h CapEff /proc/{pid}/task/*/status").stdout
    assert {line.split()[1] for line in threads.splitlines()} <= {
        "00000000000000e0", "00000000000000c0"}  # the guard's three; a replying thread's two
    assert re.search("c0$", threads, re.M)
