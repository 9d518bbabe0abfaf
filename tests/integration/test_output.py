"""What a job writes, compared with what a shell writes through a pipe: byte for byte, by every way."""

import base64
import json
import os
import signal
import subprocess

import pytest

import harness
from actions import script
from jobs import follow
from posternctl import command
from processes import sessions

# 64 KiB is what a session reads at a time, and 8 what is looked at together.
SCRIPTS = {
    "nothing": "exit 3",
    "no newline": "printf x; printf y >&2",
    "nul": r"printf 'a\0b\0'; printf '\0' >&2; exit 1",
    "zeros": "head -c 300000 /dev/zero",
    "newlines": "yes '' | head -c 200001",
    "quotes": r"""yes '"\' | head -c 150000; yes "	'" | head -c 70000 >&2""",
    "controls": r"i=0; while [ $i -lt 256 ]; do printf \\$(printf %03o $i); i=$((i+1)); done",
    "colours": r"i=0; while [ $i -lt 3000 ]; do printf '\033[31m%d\033[0m\r' $i; i=$((i+1)); done",
    "character at a border": r"head -c 65535 /dev/zero | tr '\0' a; printf '\303\251'; "
                             r"head -c 65533 /dev/zero | tr '\0' b; printf '\360\237\232\252'",
    "half a character": r"printf 'caf\303'; sleep 0.2; printf '\251'; printf '\342\202' >&2",
    "no character": r"printf 'a\377'; sleep 0.2; printf '\300\200\355\240\200\364\220\200\200'",
    "separators": r"printf '\342\200\250\342\200\251\302\205\357\273\277\177'",
    "bytes": "openssl enc -aes-128-ctr -K 0 -iv 0 -in /dev/zero 2>/dev/null | head -c 1000003",
    "both": "i=0; while [ $i -lt 20000 ]; do echo $i; echo $i >&2; i=$((i+1)); done",
    "closed": "exec >&- 2>&-; exit 4",
    "signal": "echo before; kill -9 $$",
    "255": "exit 255",
}


@pytest.fixture(scope="module", name="guard")
def running_guard():
    actions = {f"s{n}": script(text) for n, text in enumerate(SCRIPTS.values())}
    with harness.reachable_programs(), harness.Guard(actions) as guard:
        yield guard


def piped(text):
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, cwd="/", check=False,
                          stdin=subprocess.DEVNULL, timeout=60)
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return code, done.stdout, done.stderr


def stream_of(replies, name):
    return b"".join(base64.b64decode(reply.get(name + "Base64", "")) + reply.get(name, "").encode()
                    for reply in replies)


def without_ours(said, action):
    lines = said.split(b"posternctl: " + action.encode())
    return lines[0], len(lines) - 1


@pytest.mark.parametrize("number, name", enumerate(SCRIPTS), ids=SCRIPTS)
def test_is_what_a_pipe_has(guard, number, name):
    code, out, err = piped(SCRIPTS[name])
    action = f"s{number}"
    done = subprocess.run(command(guard.socket_path, "run", action), capture_output=True, check=False,
                          timeout=60)
    said, lines = without_ours(done.stderr, action)
    assert (done.returncode, done.stdout, said, lines) == (code, out, err, code > 128 and code != 255)

    done = subprocess.run(command(guard.socket_path, "--json", "run", action), capture_output=True,
                          check=False, timeout=60)
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (code, b"")
    assert (stream_of(replies, "stdout"), stream_of(replies, "stderr")) == (out, err)

    # Without "more", cut at 32 KiB; and the whole of it from the job that is over.
    with guard.connect() as client:
        reply = client.call("org.postern.Actions.Run", {"action": action})["parameters"]
        for stream, whole in (("stdout", out), ("stderr", err)):
            bytes_ = stream_of([reply], stream)
            assert len(bytes_) + reply.get(stream + "Missed", 0) == len(whole)
            assert bytes_ == whole[:len(bytes_)]
            assert len(bytes_) >= min(len(whole), 32 * 1024 - 3)
        client.send_call("org.postern.Jobs.Follow", {"job": reply["job"]}, more=True)
        replies = [reply["parameters"] for reply in client.read_replies()]
        assert (stream_of(replies, "stdout"), stream_of(replies, "stderr")) == (out, err)


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_into_a_file(guard, folder, mode):
    action = f"s{list(SCRIPTS).index('zeros')}"
    with open(folder / "out", mode) as out:
        out.write(b"before")
        out.flush()
        done = subprocess.run(command(guard.socket_path, "run", action), stdout=out, check=False,
                              stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (folder / "out").read_bytes() == b"before" + bytes(300000)


@pytest.mark.parametrize("shell", ['"$@" >/dev/full', '"$@" >&-', '"$@" 2>/dev/full'])
def test_what_can_not_be_written_is_never_the_jobs_exit_code(guard, shell):
    action = f"s{list(SCRIPTS).index('both')}"
    done = subprocess.run(["/bin/sh", "-c", shell, "sh", *command(guard.socket_path, "run", action)],
                          capture_output=True, check=False, timeout=60)
    assert done.returncode == 125
    assert b"posternctl: standard output: " in done.stderr or "2>" in shell


def test_sessions_that_are_killed_lose_and_double_nothing(guard):
    """Every line is numbered; bytes that were sent, and not read yet, are the client's."""
    whole = "".join(f"{n:07}\n" for n in range(1_000_000)).encode()
    guard.write_action("count", script("seq -f %07.0f 0 999999; exit 5"))
    guard.reload()
    got = b""
    with subprocess.Popen(command(guard.socket_path, "run", "count"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as client:
        for part in range(1, 5):
            while len(got) < part * 1_500_000:
                got += client.stdout.read1(65536)
            for session in sessions(guard):
                os.kill(session, signal.SIGKILL)
        got += client.stdout.read()
        assert client.stderr.read() == b""
    assert got == whole
    assert client.returncode == 5


def test_into_a_fifo(guard, folder):
    action = f"s{list(SCRIPTS).index('zeros')}"
    os.mkfifo(folder / "fifo")
    with subprocess.Popen(["/bin/sh", "-c", '"$@" >fifo; echo $?', "sh",
                           *command(guard.socket_path, "run", action)], cwd=folder,
                          stdout=subprocess.PIPE) as client:
        assert (folder / "fifo").read_bytes() == bytes(300000)
        assert client.stdout.read() == b"0\n"


def test_what_is_not_kept_is_missed_by_whoever_comes_later(start_guard):
    """And its end is known all the same: who lost the connection with the last byte has not lost that."""
    guard = start_guard({"gone": script("head -c 200000 /dev/zero; printf abc >&2; exit 3", storedOutput=0)},
                        options=["--limit", "followerStall=1s"])
    with guard.connect() as client:
        client.send_call("Run", {"action": "gone", "key": "k"}, more=True)
        replies = client.read_replies()
        job = replies[0]["parameters"]["job"]
        parameters = [reply["parameters"] for reply in replies]
        assert (stream_of(parameters, "stdout"), stream_of(parameters, "stderr")) == (bytes(200000), b"abc")
    for restarted in (False, True):
        if restarted:
            guard.stop()
            guard.restart()
        with guard.connect() as client:
            # One reply alone has nothing of what comes after a gap, and calls that missed as well.
            harness.wait_until(
                lambda: sum(r["parameters"].get("stdoutMissed", 0) for r in follow(client, job)) == 200000,
                what="the output is gone")
            for more in (True, False):
                replies = follow(client, job, more=more)
                assert sum(r["parameters"].get("stdoutMissed", 0) for r in replies) == 200000
                assert sum(r["parameters"].get("stderrMissed", 0) for r in replies) == 3
                assert not any({"stdout", "stdoutBase64", "stderr"} & r["parameters"].keys() for r in replies)
                assert replies[-1]["parameters"]["result"]["exitCode"] == 3
                replies = follow(client, job, stdout=200000, stderr=3, more=more)
                assert [set(r["parameters"]) for r in replies] == [{"job"}] * more + [{"job", "result"}]
            reply = client.call("Run", {"action": "gone", "key": "k"})["parameters"]
            assert (reply["job"], reply["stdoutMissed"], reply["result"]["exitCode"]) == (job, 200000, 3)
    assert "error" not in guard.stderr()


def test_a_lost_job_that_kept_nothing_is_told_as_lost(start_guard):
    guard = start_guard({"gone": script("echo out; sleep 1000", storedOutput=0)})
    with guard.connect() as client:
        client.send_call("Run", {"action": "gone"}, more=True)
        job = client.read_reply()["parameters"]["job"]
        client.read_reply()
    guard.kill()
    guard.restart()
    with guard.connect() as client:
        assert follow(client, job)[-1]["parameters"]["result"]["outcome"] == "lost"
