"""The session's process, seen from outside: what it is, who shares it, and what its caller can do to it.

What a session that was taken over could do is asked in test_session_wall.py.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import harness
from identity import ALICE, BOB, GAMES, Identity, popen_as, run_as
from processes import sessions

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")

WHO = {"summary": "Who", "exec": ["/usr/bin/id", "-u"], "allow": [{"everyone": True}]}


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def descriptors(pid):
    """Number -> what it is, for every descriptor; the numbers of sockets left out."""
    folder = f"/proc/{pid}/fd"
    return {int(fd): os.readlink(f"{folder}/{fd}").partition("[")[0] for fd in os.listdir(folder)}


def ping(client):
    assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}


@pytest.mark.shipped_build
def test_a_session_has_nothing(start_guard):
    guard = start_guard({"who": WHO}, env={"SECRET_OF_THE_GUARD": "x"})
    with guard.connect(as_=ALICE) as client:
        ping(client)
        [pid] = sessions(guard)
        status = status_of(pid)
        daemon_user = ["1"] * 4
        assert {key: status[key] for key in ("Uid", "Gid", "Groups", "Umask", "CapInh", "CapPrm",
                                             "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
                                             "SigBlk", "Threads")} == {
            "Uid": daemon_user, "Gid": daemon_user, "Groups": [], "Umask": ["0077"],
            "CapInh": ["0" * 16], "CapPrm": ["0" * 16], "CapEff": ["0" * 16],
            "CapBnd": ["0" * 16], "CapAmb": ["0" * 16], "NoNewPrivs": ["1"], "Seccomp": ["2"],
            "SigBlk": ["0" * 16], "Threads": ["1"]}
        process = pathlib.Path(f"/proc/{pid}")
        assert os.readlink(process / "cwd") == "/"
        assert (process / "environ").read_bytes() == b""
        assert (process / "cmdline").read_bytes() == b"postern-session\0--uid\x001\0--gid\x001\0"
        assert os.readlink(process / "exe") == harness.program("postern-session")
        assert os.getsid(pid) == pid
        # Its channel, its loop, the one connection.
        assert descriptors(pid) == {0: "/dev/null", 1: "/dev/null", 2: "/dev/null", 3: "socket:",
                                    4: "anon_inode:", 5: "socket:"}
        nice = [os.getpriority(os.PRIO_PROCESS, which) for which in (guard.pid, pid)]
        assert nice[1] == min(nice[0] + 5, 19)
        limits = (process / "limits").read_text()
        for name in ("Max file size", "Max core file size"):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert line.removeprefix(name).split() == ["0", "0", "bytes"]


@pytest.mark.shipped_build
def test_files_of_a_job_are_open_in_its_callers_session_only_as_long_as_it_runs(start_guard):
    wait = {"summary": "Wait", "exec": ["/bin/sleep", "1000"], "onDisconnect": "kill",
            "allow": [{"everyone": True}]}
    guard = start_guard({"wait": wait, "who": WHO}, options=["--limit", "killGrace=0s"])
    with guard.connect(as_=BOB) as bob:
        ping(bob)
        [bobs] = sessions(guard)
        with guard.connect(as_=ALICE) as client:
            client.send_call("Run", {"action": "wait"}, more=True)
            job = client.read_reply()["parameters"]["job"]
            [alices] = set(sessions(guard)) - {bobs}
            opened = descriptors(alices)
            folder = f"{guard.state_folder}/jobs/{job}"
            assert sorted(name for name in opened.values() if name.startswith("/run")) == [
                f"{folder}/stderr", f"{folder}/stdout"]
            for fd, name in opened.items():
                if name.startswith("/run"):
                    flags = pathlib.Path(f"/proc/{alices}/fdinfo/{fd}").read_text()
                    mode = int(flags.partition("flags:")[2].split()[0], 8)
                    assert mode & os.O_ACCMODE == os.O_RDONLY
            assert len(descriptors(bobs)) == 6
        harness.wait_until(lambda: len(descriptors(alices)) == 5, what="the files are closed")


def test_callers_that_differ_in_anything_never_share_a_session(start_guard):
    guard = start_guard({"who": WHO})
    rows = [ALICE, ALICE, Identity(ALICE.uid, ALICE.gid), Identity(ALICE.uid, BOB.gid),
            Identity(ALICE.uid, ALICE.gid, (64100, 64101)), BOB]
    clients = []
    counts = []
    for identity in rows:
        clients.append(guard.connect(as_=identity))
        ping(clients[-1])
        counts.append(len(sessions(guard)))
    # Only the second is the same as one before, in everything.
    assert counts == [1, 1, 2, 3, 4, 5]
    for client in clients:
        client.close()


# Everything that one process may try to do to another; prints what came of each.
ATTACK = r"""
import ctypes, errno, json, os, resource, signal, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def outcome(call):
    try:
        result = call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done" if result is None or result >= 0 else errno.errorcode[ctypes.get_errno()]
pidfd = os.pidfd_open(pid)
iov = (ctypes.c_size_t * 2)(id(sys), 1)
print(json.dumps({
    "attach": outcome(lambda: libc.ptrace(16, pid, None, None)),
    "seize": outcome(lambda: libc.ptrace(0x4206, pid, None, None)),
    "pidfd_getfd": outcome(lambda: libc.syscall(438, pidfd, 3, 0)),
    "mem": outcome(lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR)),
    "environ": outcome(lambda: os.open(f"/proc/{pid}/environ", os.O_RDONLY)),
    "fd": outcome(lambda: os.open(f"/proc/{pid}/fd/3", os.O_RDONLY)),
    "process_vm_writev": outcome(lambda: libc.process_vm_writev(pid, iov, 1, iov, 1, 0)),
    "prlimit": outcome(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)) and 0),
    "stop": outcome(lambda: os.kill(pid, signal.SIGSTOP)) if sys.argv[2] == "other" else "",
    "kill": outcome(lambda: os.kill(pid, signal.SIGKILL)) if sys.argv[2] == "other" else "",
}))
"""


def attack(identity, pid, which):
    done = run_as(identity, [sys.executable, "-c", ATTACK, str(pid), which])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_caller_can_do_nothing_to_its_session(start_guard):
    guard = start_guard({"who": WHO})
    with guard.connect(as_=ALICE) as client:
        ping(client)
        [pid] = sessions(guard)
        refused = attack(ALICE, pid, "other")
        assert refused == {"attach": "EPERM", "seize": "EPERM", "pidfd_getfd": "EPERM",
                           "mem": "EACCES", "environ": "EACCES", "fd": "EACCES",
                           "process_vm_writev": "EPERM", "prlimit": "EPERM", "stop": "EPERM",
                           "kill": "EPERM"}
        ping(client)
        assert sessions(guard) == [pid]


def test_nor_can_a_user_look_into_a_session_of_its_own_guard(start_guard):
    guard = start_guard({"who": WHO}, as_=ALICE)
    with guard.connect(as_=ALICE) as client:
        ping(client)
        [pid] = sessions(guard)
        status = status_of(pid)
        assert (status["Uid"], status["NoNewPrivs"], status["Seccomp"]) == (
            [str(ALICE.uid)] * 4, ["1"], ["2"])
        refused = attack(ALICE, pid, "own")
        assert {key: refused[key] for key in ("attach", "seize", "pidfd_getfd", "mem", "environ",
                                              "fd", "process_vm_writev")} == {
            "attach": "EPERM", "seize": "EPERM", "pidfd_getfd": "EPERM", "mem": "EACCES",
            "environ": "EACCES", "fd": "EACCES", "process_vm_writev": "EPERM"}


# Fills up its user's processes, then stops every process that it may, over and over.
STOPPER = """
import os, signal
for _ in range(40):
    if os.fork() == 0:
        while True:
            signal.pause()
print("ready", flush=True)
while True:
    try:
        os.kill(-1, signal.SIGSTOP)
    except ProcessLookupError:
        pass
"""


def test_who_stops_all_its_processes_and_may_have_no_more_slows_nobody_else(start_guard):
    as_games = {**WHO, "user": "games", "timeout": "1h"}
    as_bin = {**WHO, "user": "bin"}
    # Of the user of postern-output other guards have some as well, with their threads.
    guard = start_guard({"as-games": as_games, "as-bin": as_bin}, under=["prlimit", "--nproc=30"],
                        options=["--limit", "killGrace=0s", "--output-user", "news"])
    # As fast as this machine is at this moment, and nobody stops anything.
    quiet = start_guard({"as-bin": as_bin})
    attackers = [guard.connect(as_=GAMES) for _ in range(4)]
    with popen_as(GAMES, [sys.executable, "-c", STOPPER], stdout=subprocess.PIPE,
                  start_new_session=True) as stopper:
        try:
            assert stopper.stdout.readline() == b"ready\n"
            for client in attackers:
                client.send_call("Run", {"action": "as-games"}, more=True)
            seconds = {guard: 0, quiet: 0}
            for number in range(10):
                # Each a session of its own.
                caller = Identity(ALICE.uid + 100 + number, ALICE.gid)
                for which in seconds:
                    began = time.monotonic()
                    with which.connect(as_=caller) as client:
                        replies = client.run("as-bin")
                    seconds[which] += time.monotonic() - began
                    assert replies[1]["parameters"]["stdout"] == "2\n"
                    assert replies[-1]["parameters"]["result"]["exitCode"] == 0
            # Were one of them held up by those who are stopped, it would be by 10 s at least.
            assert seconds[guard] - seconds[quiet] < 8
        finally:
            os.killpg(stopper.pid, signal.SIGKILL)
            run_as(GAMES, ["/bin/kill", "-CONT", "--", "-1"])
    for client in attackers:
        client.read_replies()
        client.close()
