"""Launchers that wait for a job: a program can't tell whether its own has waited, and none stays behind."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

import harness
from actions import EVERYONE, script
from identity import ALICE
from jobs import begin, text_of
from processes import all_descriptors, helpers, memory

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: jobs of other users")

# What a program can find out about itself, but for what no two runs have in common: numbers of processes,
# times, and what it has used up. The job's id is taken out of it, as what is named after it.
PROBE = r"""
import ctypes, fcntl, json, os, signal, struct, sys

libc = ctypes.CDLL(None, use_errno=True)

def text(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError as error:
        return error.strerror

def link(path):
    try:
        return os.readlink(path).split(":[")[0]
    except OSError as error:
        return error.strerror

def prctl(number):
    value = ctypes.c_int(0)
    got = libc.prctl(number, ctypes.byref(value), 0, 0, 0)
    return [got, value.value]

def direct(number):
    return libc.prctl(number, 0, 0, 0, 0)

def keyring(which):
    about = ctypes.create_string_buffer(200)
    libc.syscall(250, 6, which, about, 200)
    return about.value.decode()

def open_files():
    found = []
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        fd = int(name)
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL), fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            continue
        found.append([fd, link("/proc/self/fd/" + name), flags])
    return found

def status():
    volatile = ("Pid", "Tgid", "Ngid", "PPid", "NStgid", "NSpid", "NSpgid", "NSsid", "SigQ", "Vm", "Rss",
                "voluntary", "nonvoluntary")
    return [line for line in text("/proc/self/status").splitlines() if not line.startswith(volatile)]

def auxiliary():
    pairs = struct.iter_unpack("@LL", open("/proc/self/auxv", "rb").read())
    pointers = (3, 7, 9, 15, 25, 31, 33)
    return [pair for pair in pairs if pair[0] not in pointers]

def session():
    fields = text("/proc/self/stat").rpartition(")")[2].split()
    return {"tty": fields[4], "foreground": fields[5], "exit signal": fields[35], "priority": fields[15:17],
            "policy": fields[37:39]}

me = os.getpid()
facts = {
    "environment": text("/proc/self/environ").split("\0"), "arguments": len(sys.argv), "cwd": os.getcwd(),
    "links": [link("/proc/self/" + name) for name in ("exe", "root", "cwd")],
    "files": open_files(), "status": status(), "auxiliary": auxiliary(), "session": session(),
    "limits": text("/proc/self/limits"), "cgroup": text("/proc/self/cgroup"),
    "mounts": text("/proc/self/mountinfo"),
    "own": {name: text("/proc/self/" + name) for name in (
        "oom_score_adj", "loginuid", "sessionid", "attr/current", "personality", "timerslack_ns",
        "coredump_filter", "cpuset", "uid_map", "gid_map", "setgroups", "comm")},
    "namespaces": {name: os.readlink("/proc/self/ns/" + name) for name in os.listdir("/proc/self/ns")},
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "leads": [os.getsid(0) == me, os.getpgid(0) == me], "parent": os.getppid(),
    "umask": os.umask(0), "nice": os.nice(0), "affinity": sorted(os.sched_getaffinity(0)),
    "io priority": libc.syscall(252, 1, 0),
    "blocked": [int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "pending": [int(one) for one in signal.sigpending()],
    "timers": [signal.getitimer(which) for which in (0, 1, 2)],
    "control": [prctl(number) for number in (2, 25, 37)] + [direct(number) for number in (
        3, 7, 27, 30, 34, 39, 42)],
    "capabilities": [libc.prctl(23, number, 0, 0, 0) for number in range(42)],
    "ambient": [libc.prctl(47, 1, number, 0, 0) for number in range(42)],
    "keyrings": [keyring(which) for which in (-1, -2, -3, -4, -5)],
    "children": text("/proc/self/task/%d/children" % me), "threads": os.listdir("/proc/self/task") == [str(me)],
    "input": sys.stdin.read(),
}
try:
    open("/dev/tty"); facts["tty"] = "open"
except OSError as error:
    facts["tty"] = error.strerror
print(json.dumps([me, facts]))
"""

ENDLESS = script("echo began; exec sleep 1000")


def probe(**more):
    return {"summary": "Probe", "allow": [{"user": ALICE.uid}], **more,
            "exec": ["/usr/bin/python3", "-I", "-c", PROBE.replace("{", "{{").replace("}", "}}")]}


def of_script(folder, **more):
    """The same started by a script, which is executed by its path."""
    file = folder / "probe"
    file.write_text(f"#!/usr/bin/python3 -I\n{PROBE}")
    file.chmod(0o755)
    return {"summary": "Probe", "allow": EVERYONE, "exec": [str(file)], **more}


def is_alive(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def waiting(guard):
    return helpers(guard, "postern-launcher")


def wait_for_one(guard):
    harness.wait_until(lambda: len(waiting(guard)) == 1, what="a launcher waits")
    (pid,) = waiting(guard)
    return pid


def run_probe(guard, action, **more):
    """Its process, and what it says of itself."""
    with guard.connect(as_=ALICE) as client:
        replies = client.run(action, **more)
        assert "error" not in replies[0], replies
        job = replies[0]["parameters"]["job"]
    return json.loads(text_of(replies).replace(job, "JOB"))


@pytest.mark.parametrize("kind", ["user", "root", "script", "input", "large"])
def test_a_program_is_the_same_whether_its_launcher_has_waited(start_guard, folder, kind):
    of_kind = {"user": lambda: probe(user="games", groups=["games", "bin"], workingDirectory="/usr"),
               "root": probe, "script": lambda: of_script(folder, user="games"),
               "input": lambda: probe(user="games", stdin="some text"),
               # Its order is in a file.
               "large": lambda: probe(user="games", environment={f"V{i}": "x" * 1000 for i in range(40)})}
    guard = start_guard({"probe": of_kind[kind]()})
    assert waiting(guard) == []
    pid, new = run_probe(guard, "probe")
    assert new["parent"] == guard.pid and new["leads"] == [True, True]
    for _ in range(3):
        waited = wait_for_one(guard)
        assert waited != pid
        pid, old = run_probe(guard, "probe")
        assert pid == waited
        assert old == new


def test_one_that_waits_has_nothing(start_guard):
    guard = start_guard({"hello": script("echo hi")})
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
        pid = wait_for_one(guard)
        # It is not in the job's cgroup, and has no word of it.
        with open(f"/proc/{pid}/cgroup") as mine, open(f"/proc/{guard.pid}/cgroup") as guards:
            assert mine.read() == guards.read()
        harness.wait_until(lambda: os.listdir(f"/proc/{pid}/fd") == ["3"], what="it has closed all others")
        with open(f"/proc/{pid}/environ") as environment:
            assert environment.read() == ""


@pytest.mark.shipped_build
def test_one_that_waits_is_small(start_guard):
    guard = start_guard({"hello": script("echo hi")})
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
        assert memory(wait_for_one(guard), "VmRSS") < 4 * 1024 * 1024


def test_none_leaves_a_descriptor_behind(start_guard):
    guard = start_guard({"hello": script("echo hi")})
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
        wait_for_one(guard)
        before = all_descriptors(guard)
        for _ in range(10):
            client.run("hello")
        # One waits, or two.
        harness.wait_until(lambda: waiting(guard) and all_descriptors(guard) == before, what="all others are closed")


def test_they_are_two_at_most(start_guard):
    guard = start_guard({"hello": script("echo hi")})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(guard.connect(as_=ALICE)) for _ in range(4)]
        for client in clients:
            client.send_call("Run", {"action": "hello"}, more=True)
        for client in clients:
            client.read_replies()
        harness.wait_until(lambda: len(waiting(guard)) == 2, what="two wait")
        clients[0].run("hello")
        harness.wait_until(lambda: len(waiting(guard)) == 2, what="two wait again")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_none_stays_when_the_guard_ends(start_guard, end):
    guard = start_guard({"hello": script("echo hi"), "endless": ENDLESS})
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
        pid = wait_for_one(guard)
        begin(client, "endless")  # has taken that one
        client_of_two = guard.connect(as_=ALICE)
        client_of_two.run("hello")
        assert wait_for_one(guard) != pid
        pid = wait_for_one(guard)
        guard.stop() if end == "stop" else guard.kill()
    client_of_two.close()
    harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="it has left")


def test_one_that_is_killed_costs_no_job(start_guard):
    guard = start_guard({"hello": script("echo hi")})
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
        for _ in range(3):
            pid = wait_for_one(guard)
            os.kill(pid, signal.SIGKILL)
            harness.wait_until(lambda: not is_alive(pid), what="it is dead")
            assert text_of(client.run("hello")) == "hi\n"
            # And it is no zombie.
            harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="it is reaped")


def test_nobody_else_can_look_into_one(start_guard):
    guard = start_guard({"hello": script("echo hi")})
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
        pid = wait_for_one(guard)
    for file in ("fd", "environ", "maps", "mem"):
        done = subprocess.run(["/bin/cat" if file != "fd" else "/bin/ls", f"/proc/{pid}/{file}"],
                              user=ALICE.uid, group=ALICE.gid, extra_groups=[], capture_output=True, check=False)
        assert done.returncode != 0 and done.stdout == b"", file
