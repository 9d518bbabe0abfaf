"""Data that goes straight between a job and its client, through pipes."""

import array
import contextlib
import fcntl
import json
import os
import random
import select
import signal
import socket
import stat
import subprocess
import termios
import threading

import pytest

import harness
from actions import EVERYONE, script
from fake_daemon import JOB, FakeDaemon, chunk, described, job_end
from posternctl import command, outcome
from wire import error, message

DIRECT = {"output": "direct"}
MUCH = 2_000_000
ACTIONS = {
    "dump": {"summary": "Dump", "exec": ["/usr/bin/head", "-c", "{bytes}", "/dev/zero"], **DIRECT,
             "arguments": {"bytes": {"type": "integer", "minimum": 0}}, "allow": EVERYONE},
    "restore": script("sha256sum | cut -c1-64", input="direct"),
    "copy": script("cat; echo end >&2; exit 3", input="direct", **DIRECT),
    "both": script("echo out; echo err >&2; echo again > /dev/stderr; echo out > /dev/stdout",
                   stderr="stdout", **DIRECT),
    "short": script("printf 'no newline'", **DIRECT),
    # Somebody else has the job's end for longer than the job lives.
    "leak": script("setsid sleep 1000 & echo here; read -r x; kill $!", input="direct", **DIRECT),
    "much": script(f"echo here; read -r x; head -c {MUCH} /dev/zero; read -r x; echo there; read -r x",
                   input="direct", **DIRECT),
    "deaf": script("exit 4", input="direct"),
    "wait": script("echo begun; sleep 1000", onDisconnect="kill", **DIRECT),
    "on": script("while echo on; do sleep 0.02; done", **DIRECT),
    "stay": script("trap '' PIPE; echo begun; sleep 1; echo more || :; exit 0", **DIRECT),
    "other": script("id -u; cat /dev/stdin > /dev/stdout; echo more > /dev/stdout", input="direct",
                    **DIRECT, **({"user": "nobody"} if harness.IS_ROOT else {})),
}


@pytest.fixture
def guard(start_guard):
    return start_guard(ACTIONS, datagrams=True)


def ctl(guard, *words, given=b"", **kwargs):
    return subprocess.run(command(guard.socket_path, *words), input=given, capture_output=True,
                          timeout=60, check=False, **kwargs)


def take_reply(client):
    """One reply, as it came in one read, and the descriptors that came with its first byte."""
    data, descriptors, flags, _ = socket.recv_fds(client.socket, 65536, 8)
    assert not flags & socket.MSG_CTRUNC
    assert data.endswith(b"\0") and data.count(b"\0") == 1
    return json.loads(data[:-1]), descriptors


def direct_run(client, action, **parameters):
    client.send_call("Run", {"action": action, "descriptors": True, **parameters}, more=True)
    return take_reply(client)


def read_all(descriptor):
    """What is in the pipe now."""
    left = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, left)
    return os.read(descriptor, left[0]) if left[0] else b""


def rest_of(client):
    """The replies up to the result."""
    return client.read_replies()


# ---- On the wire ----


def test_the_ends_of_the_pipes(guard):
    with guard.connect() as client:
        reply, (output, given) = direct_run(client, "copy")
        assert reply == {"continues": True, "parameters": {
            "job": reply["parameters"]["job"], "stdoutNotKept": True, "outputFileDescriptor": 0,
            "inputFileDescriptor": 1}}
        for descriptor, mode in ((output, os.O_RDONLY), (given, os.O_WRONLY)):
            assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == mode
        os.write(given, b"straight")
        assert os.read(output, 100) == b"straight"
        os.close(given)
        *chunks, last = rest_of(client)
        assert "".join(chunk["parameters"].get("stderr", "") for chunk in chunks) == "end\n"
        assert all("stdout" not in chunk["parameters"] for chunk in chunks)
        assert last["parameters"]["result"]["exitCode"] == 3
        assert os.read(output, 1) == b""
        os.close(output)


def test_a_job_that_is_over_before_its_client_has_its_end(guard):
    for _ in range(20):
        with guard.connect() as client:
            reply, (output,) = direct_run(client, "short")
            assert reply["parameters"]["outputFileDescriptor"] == 0
            assert rest_of(client)[-1]["parameters"]["result"]["exitCode"] == 0
            assert read_all(output) == b"no newline"
            os.close(output)


def test_replies_before_it_come_first_and_it_comes_alone(guard):
    calls = message("Ping", {"ping": "x" * 4000}, b"\0") * 50
    run = message("Run", {"action": "short", "descriptors": True}, b"\0", more=True)
    with guard.connect() as client:
        client.send(calls + run + message("Ping", {"ping": "last"}, b"\0"))
        buffer, descriptors = b"", []
        while b"\"pong\":\"last\"" not in buffer:
            data, more, _, _ = socket.recv_fds(client.socket, 65536, 8)
            if more:
                # They are at the first byte of the reply, which is the last of what is read.
                assert data.endswith(b"\0") and b"outputFileDescriptor" in data.rsplit(b"\0", 2)[-2]
                descriptors += more
            buffer += data
        assert len(descriptors) == 1
        os.close(descriptors[0])
        assert buffer.count(b"\0") >= 53


def test_without_the_callers_word_the_same_action_streams(guard):
    with guard.connect() as client:
        replies = client.run("short")
        assert "".join(one["parameters"].get("stdout", "") for one in replies) == "no newline"
        assert all("stdoutNotKept" not in one["parameters"] for one in replies)
        reply = client.call("Run", {"action": "copy", "input": "text"})["parameters"]
        assert (reply["stdout"], reply["stderr"]) == ("text", "end\n")
        assert client.call("Run", {"action": "copy"})["parameters"]["result"]["exitCode"] == 3
        # Input that came with the call is the input.
        reply, descriptors = direct_run(client, "copy", input="text")
        assert "inputFileDescriptor" not in reply["parameters"] and len(descriptors) == 1
        rest_of(client)
        assert read_all(descriptors[0]) == b"text"
        os.close(descriptors[0])


def test_descriptors_need_more_and_no_packet(guard):
    with guard.connect() as client:
        assert client.call("Run", {"action": "short", "descriptors": True}) == error(
            "org.varlink.service.InvalidParameter", parameter="descriptors")
        assert client.call("Run", {"action": "short", "descriptors": 1}) == error(
            "org.varlink.service.InvalidParameter", parameter="descriptors")
        # Where nothing goes straight it changes nothing.
    guard.write_action("plain", script("echo plain"))
    guard.reload()
    with guard.connect() as client:
        client.send_call("Run", {"action": "plain", "descriptors": True}, more=True)
        assert {"stdout": "plain\n"}.items() <= client.read_replies()[1]["parameters"].items()


def test_one_direct_call_in_the_life_of_a_connection(guard):
    refused = error("LimitReached", limit="connection",
                    message="a connection can carry one call with direct data, and none if the action's file "
                            "did not say so when it was made; make a new connection for this call")
    with guard.connect() as client:
        _, descriptors = direct_run(client, "short")
        rest_of(client)
        os.close(descriptors[0])
        client.send_call("Run", {"action": "short", "descriptors": True}, more=True)
        assert client.read_reply() == refused
        # Others go on.
        assert client.run("short")[-1]["parameters"]["result"]["exitCode"] == 0


def test_a_key_given_again_gets_the_job_and_no_descriptor(guard):
    with guard.connect() as client:
        first, descriptors = direct_run(client, "short", key="k")
        rest_of(client)
        os.close(descriptors[0])
    with guard.connect() as client:
        client.send_call("Run", {"action": "short", "descriptors": True, "key": "k"}, more=True)
        again, last = rest_of(client)
        assert again["parameters"] == {"job": first["parameters"]["job"], "stdoutNotKept": True}
        assert last["parameters"]["result"]["exitCode"] == 0
        followed = client.call("org.postern.Jobs.Follow", {"job": first["parameters"]["job"]})
        assert followed["parameters"]["stdoutNotKept"] is True
        assert "stdout" not in followed["parameters"]


def test_the_client_that_goes_takes_its_end_along(guard):
    """onDisconnect decides, as for any job."""
    with guard.connect() as client:
        reply, (output,) = direct_run(client, "wait")
        assert os.read(output, 100) == b"begun\n"
        os.close(output)
    ended = guard.wait_audit(event="job-ended", job=reply["parameters"]["job"])
    assert ended[0]["result"]["outcome"] == "disconnected"
    with guard.connect() as client:
        reply, (output,) = direct_run(client, "stay")
        assert os.read(output, 100) == b"begun\n"
        os.close(output)
    ended = guard.wait_audit(event="job-ended", job=reply["parameters"]["job"])
    assert ended[0]["result"]["outcome"] == "exited"


def test_nobody_of_ours_keeps_an_end(guard):
    """End of file comes with the last writer, and the job sees that its reader is gone."""
    with guard.connect() as client:
        reply, (output, given) = direct_run(client, "copy")
        os.close(given)
        assert os.read(output, 1) == b""
        os.close(output)
        rest_of(client)
    with guard.connect() as client:
        _, (output,) = direct_run(client, "dump", arguments={"bytes": 10_000_000})
        os.close(output)
        assert rest_of(client)[-1]["parameters"]["result"]["signal"] == signal.SIGPIPE


# ---- posternctl ----


def test_output_of_every_byte(guard):
    done = ctl(guard, "run", "dump", "bytes=5000000")
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 5_000_000, b"")
    assert outcome(ctl(guard, "run", "short")) == (0, "no newline", "")
    assert outcome(ctl(guard, "run", "both")) == (0, "out\nerr\nagain\nout\n", "")


def test_input_of_every_byte(guard, folder):
    given = random.Random(1).randbytes(3_000_000)
    digest = subprocess.run(["sha256sum"], input=given, capture_output=True, check=True).stdout[:64]
    (folder / "given").write_bytes(given)
    for words, piped in ([], given), (["--input", f"{folder}/given"], b"no"):
        done = ctl(guard, "run", "restore", *words, given=piped)
        assert (done.returncode, done.stdout, done.stderr) == (0, digest + b"\n", b"")
    with open(folder / "given", "rb") as file:
        done = subprocess.run(command(guard.socket_path, "run", "copy"), stdin=file, capture_output=True,
                              timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, given, b"end\n")
    done = ctl(guard, "run", "copy", "--no-input", given=b"no")
    assert outcome(done) == (3, "", "end\n")


@pytest.mark.parametrize("kind", ["file", "append", "socket"])
def test_into_what_is_no_pipe(guard, folder, kind):
    wanted = b"before" * (kind == "append") + bytes(300_000)
    words = command(guard.socket_path, "run", "dump", "bytes=300000")
    if kind == "socket":
        ours, theirs = socket.socketpair()
        with ours, subprocess.Popen(words, stdout=theirs, stdin=subprocess.DEVNULL) as client:
            theirs.close()
            got = b""
            while more := ours.recv(65536):
                got += more
        assert (client.returncode, got) == (0, wanted)
        return
    (folder / "out").write_bytes(b"before" if kind == "append" else b"")
    with open(folder / "out", "ab" if kind == "append" else "wb") as file:
        done = subprocess.run(words, stdout=file, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert (done.returncode, (folder / "out").read_bytes()) == (0, wanted)


def test_the_result_ends_it_and_no_end_of_file(guard):
    """Whoever has the job's end may keep it."""
    with subprocess.Popen(command(guard.socket_path, "run", "leak"), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"here\n"
        client.stdin.write(b"\n")
        client.stdin.flush()  # its end stays open
        assert client.wait(timeout=harness.PATIENCE) == 0


def test_a_job_that_reads_nothing(guard):
    with subprocess.Popen(command(guard.socket_path, "run", "deaf"), stdin=subprocess.PIPE) as client:
        assert client.wait(timeout=harness.PATIENCE) == 4
    with open("/dev/zero", "rb") as zeros:
        done = subprocess.run(command(guard.socket_path, "run", "deaf"), stdin=zeros, capture_output=True,
                              timeout=60, check=False)
    assert outcome(done) == (4, "", "")


def test_an_output_that_nobody_reads(guard):
    with subprocess.Popen(command(guard.socket_path, "run", "dump", "bytes=10000000"),
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        client.stdout.read(10)
        client.stdout.close()
        assert client.wait(timeout=harness.PATIENCE) == -signal.SIGPIPE
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command(guard.socket_path, "run", "dump", "bytes=10000000"), stdout=full,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 125
    assert b"posternctl: standard output: No space left on device; " in done.stderr


@pytest.mark.parametrize("json_too", [[], ["--json"]], ids=["plain", "json"])
def test_an_output_that_nobody_reads_any_more_cancels_it(guard, json_too):
    words = command(guard.socket_path, "run", "--on-interrupt=cancel", *json_too, "on")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as client:
        assert client.stdout.readline()
        client.stdout.close()
        assert client.stderr.read().endswith(b" (on) is cancelled\n")
        assert client.wait(timeout=harness.PATIENCE) == -signal.SIGPIPE
    guard.wait_audit(event="job-cancelled")


def test_moved_in_large_pieces(guard):
    """Wide pipes, and of much data no turn for each write: its waking up interrupts nobody (sched(7))."""
    def run(*before, **kwargs):
        return subprocess.Popen([*before, *command(guard.socket_path, "run", "much")], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, **kwargs)

    def go_on(client):
        client.stdin.write(b"\n")
        client.stdin.flush()
        assert client.stdout.read(MUCH) == bytes(MUCH)

    with run() as client:
        assert client.stdout.readline() == b"here\n"
        for pipe in client.stdin, client.stdout:
            assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) == 512 * 1024
        assert os.sched_getscheduler(client.pid) == os.SCHED_OTHER
        go_on(client)
        harness.wait_until(lambda: os.sched_getscheduler(client.pid) == os.SCHED_BATCH)
        client.communicate(b"\n", timeout=harness.PATIENCE)
    # Whoever chose another way to be scheduled keeps it, and a pipe that is wider stays so. As root one that
    # a busy machine does not starve.
    way, policy = (("--rr", "1"), os.SCHED_RR) if harness.IS_ROOT else (("--idle", "0"), os.SCHED_IDLE)
    with run("chrt", *way, pipesize=1 << 20) as client:
        assert client.stdout.readline() == b"here\n"
        assert fcntl.fcntl(client.stdout, fcntl.F_GETPIPE_SZ) == 1 << 20
        go_on(client)
        # It has been at it once more.
        client.stdin.write(b"\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"there\n"
        assert os.sched_getscheduler(client.pid) == policy
        client.communicate(b"\n", timeout=harness.PATIENCE)


def test_interrupted(guard):
    with subprocess.Popen(command(guard.socket_path, "run", "wait"), stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"begun\n"
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=harness.PATIENCE) == 130
        assert b"is ended by the daemon" in client.stderr.read()


class Between:
    """A socket whose first connection reaches the guard before something is done, and the others after it."""

    def __init__(self, guard, folder, do):
        self.path = str(folder / "between.sock")
        self.connections = 0
        self._guard, self._do = guard, do
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(harness.PATIENCE)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                self.connections += 1
                with self._guard.connect() as client, ours:
                    if self.connections == 1:
                        client.call("org.postern.Actions.Ping", {"ping": ""})
                        self._do()
                    self._pass_on(ours, client.socket)

    @staticmethod
    def _pass_on(one, other):
        while True:
            for end in select.select([one, other], [], [])[0]:
                data, descriptors, _, _ = socket.recv_fds(end, 65536, 8)
                if not data:
                    return
                socket.send_fds(other if end is one else one, [data], descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)


def test_an_action_that_came_after_the_connection(start_guard, tmp_path):
    guard = start_guard({})
    with Between(guard, tmp_path, lambda: guard.write_action("short", ACTIONS["short"])) as between:
        done = subprocess.run(command(between, "run", "short"), stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60, check=False)
        assert outcome(done) == (0, "no newline", "")
        assert between.connections == 2


def test_as_json(guard):
    done = ctl(guard, "--json", "run", "short")
    first, *rest, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["stdoutNotKept"] is True
    assert "".join(line.get("stdout", "") for line in rest) == "no newline"
    assert last["result"]["exitCode"] == 0


def test_a_job_of_another_user_opens_its_ends_again(guard):
    done = ctl(guard, "run", "other", given=b"given\n")
    assert done.returncode == 0
    assert done.stdout.endswith(b"given\nmore\n"), done


def test_the_daemon_goes_meanwhile(guard):
    """Jobs of a guard without systemd go with it: what came is passed on, and the loss is said."""
    with subprocess.Popen(command(guard.socket_path, "run", "wait"), stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"begun\n"
        guard.kill()
        guard.restart()
        client.wait(timeout=harness.PATIENCE)
        assert client.returncode == 125


def test_describe_says_that_it_goes_straight(guard):
    text = ctl(guard, "describe", "copy").stdout.decode()
    assert "Takes standard input. Its standard output is not stored." in text
    with guard.connect() as client:
        described = client.call("Describe", {"action": "copy"})["parameters"]["action"]
        assert (described["input"], described["output"]) == ("direct", "direct")



def fake_run(folder, fields, send):
    """posternctl against a daemon whose first reply has these fields, and these descriptors with it."""
    def start(_):
        connection = daemon._open[-1]  # pylint: disable=protected-access
        socket.send_fds(connection, [json.dumps(chunk(**fields)).encode() + b"\0"], send)
        return [job_end(exitCode=0)]

    script_ = {"Describe": [described(output="direct", input="direct")], "Run": [start]}
    with FakeDaemon(folder, script_) as daemon:
        done = subprocess.run(command(daemon, "run", "web.restart"), input=b"given", capture_output=True,
                              timeout=60, check=False)
        assert daemon.calls[1]["parameters"]["descriptors"] is True
    return done


def test_posternctl_takes_ends_of_pipes_alone(folder):
    """A daemon that sends something else, the wrong end, or nothing."""
    reads, writes = os.pipe()
    file = os.open(folder / "file", os.O_RDWR | os.O_CREAT)
    path = os.open(f"/proc/self/fd/{reads}", os.O_PATH)
    one, other = socket.socketpair()
    with one, other:
        for fields, sent in [({"outputFileDescriptor": 0}, [writes]), ({"outputFileDescriptor": 0}, [file]),
                             ({"outputFileDescriptor": 0}, [path]),
                             ({"outputFileDescriptor": 0}, [one.fileno()]),
                             ({"inputFileDescriptor": 0}, [reads]), ({"inputFileDescriptor": 0}, [file]),
                             ({"outputFileDescriptor": 0}, []), ({"outputFileDescriptor": 1}, [reads]),
                             ({"outputFileDescriptor": -1}, [reads]),
                             ({"outputFileDescriptor": 0, "inputFileDescriptor": 0}, [reads])]:
            done = fake_run(folder, fields, sent)
            assert (done.returncode, done.stdout) == (125, b""), fields
            assert b"the daemon's answer can't be understood: " in done.stderr
        done = fake_run(folder, {"stdoutNotKept": True}, [])
        assert (done.returncode, done.stdout) == (125, b"")
        assert done.stderr == (f"posternctl: web.restart: the direct input or output of job {JOB} was lost "
                               "with the connection that started it, and is not stored\n").encode()
    for descriptor in (reads, writes, file, path):
        os.close(descriptor)
