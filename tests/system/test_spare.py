"""A run in a spare (a unit that waits for it) gets what a run without one gets."""

import json
import re
import textwrap

import pytest

import booted_host
import guard
from jobs import all_units, expect_no_units, finished, records, run, shell, spares, spawn

pytestmark = pytest.mark.needs_root

# What a process can see of itself, as JSON, by a program that is there on every host.
PROBE = textwrap.dedent("""\
    #!/usr/bin/python3
    import ctypes, fcntl, json, os, re, resource, signal, stat, sys

    def text(path):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError as error:
            return error.strerror

    seen = {}
    seen["argv"] = sys.argv
    seen["environ"] = sorted(text("/proc/self/environ").split("\\0"))
    seen["cwd"] = os.getcwd()
    seen["root"] = os.readlink("/proc/self/root")
    seen["umask"] = os.umask(0)
    fds = {}
    for name in sorted(os.listdir("/proc/self/fd")):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # the listing's own
        kind = stat.S_IFMT(status.st_mode)
        target = re.sub(r"[0-9]+", "N", os.readlink(f"/proc/self/fd/{name}"))
        flags = fcntl.fcntl(int(name), fcntl.F_GETFL), fcntl.fcntl(int(name), fcntl.F_GETFD)
        fds[name] = [kind, target, flags, os.major(status.st_rdev), os.minor(status.st_rdev)]
    seen["fds"] = fds
    own = r"^(Vm|Rss|Hugetlb|Pid|Tgid|NSpid|NStgid|NSpgid|NSsid|voluntary|nonvoluntary|SigQ|Cpus_|Mems_|PPid)"
    seen["status"] = [line for line in text("/proc/self/status").splitlines() if not re.match(own, line)]
    for name in ("cgroup", "limits", "oom_score_adj", "timerslack_ns", "loginuid", "sessionid",
                 "attr/current", "personality", "comm", "setgroups", "uid_map", "gid_map", "coredump_filter"):
        seen[name] = text(f"/proc/self/{name}")
    # Ids of mounts and devices are given out anew for each unit.
    mounts = []
    for line in text("/proc/self/mountinfo").splitlines():
        fields = line.split()
        root = re.sub(r"-[A-Za-z0-9]{6}/", "-RANDOM/", fields[3])
        mounts.append([root, *fields[4:6], *sorted(re.sub(r":[0-9]+", ":N", f) for f in fields[6:])])
    seen["mountinfo"] = mounts
    seen["ns"] = {name: os.stat(f"/proc/self/ns/{name}").st_ino == os.stat(f"/proc/1/ns/{name}").st_ino
                  if os.access(f"/proc/1/ns/{name}", os.R_OK) else "?" for name in os.listdir("/proc/self/ns")}
    seen["mask"] = sorted(int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    seen["group leader"] = [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()]
    seen["parent"] = os.getppid()
    seen["nice"] = os.nice(0)
    seen["scheduler"] = [os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))]
    libc = ctypes.CDLL(None, use_errno=True)
    PR = {"dumpable": 3, "keepcaps": 7, "timing": 13, "securebits": 27, "no_new_privs": 39, "subreaper": 37,
          "thp": 42, "pdeathsig": 2}
    value = ctypes.c_int(-1)
    for name, number in PR.items():
        seen["prctl " + name] = (libc.prctl(number, ctypes.byref(value), 0, 0, 0), value.value)
    seen["ids"] = [os.getresuid(), os.getresgid(), sorted(os.getgroups())]
    # The auxiliary vector: AT_EXECFN, AT_SECURE, ids.
    libc.getauxval.restype = ctypes.c_ulong
    libc.getauxval.argtypes = [ctypes.c_ulong]
    seen["auxv"] = [libc.getauxval(kind) for kind in (11, 12, 13, 14, 23, 6, 17)]
    seen["execfn"] = ctypes.c_char_p(libc.getauxval(31)).value.decode()
    # Without how many use each, and how many others of the machine there are.
    seen["keys"] = sorted({" ".join(line.split(":")[0].split()[4:]) for line in text("/proc/keys").splitlines()})
    seen["rlimits"] = {name: resource.getrlimit(getattr(resource, name))
                       for name in dir(resource) if name.startswith("RLIMIT_")}
    seen["writable"] = {path: os.access(path, os.W_OK) for path in ("/", "/etc", "/tmp", "/var/tmp", "/home", "/usr",
                                                                   "/proc/sys/kernel", "/sys/fs/cgroup", "/dev")}
    seen["dev"], seen["tmp"] = sorted(os.listdir("/dev")), sorted(os.listdir("/tmp"))
    print(json.dumps(seen))
    """)

FULL = {"ProtectSystem": "strict", "PrivateTmp": True, "PrivateDevices": True,
        "SystemCallFilter": "@system-service", "CapabilityBoundingSet": ""}
SANDBOXES = {
    "full": FULL,
    "tmp": {"PrivateTmp": True},
    "home": {"ProtectHome": True, "ProtectSystem": "full", "ReadWritePaths": "/etc/postern", "UMask": "0027"},
    "kernel": {"ProtectKernelTunables": True, "ProtectKernelModules": True, "ProtectKernelLogs": True,
               "ProtectControlGroups": True, "ProtectProc": "invisible", "ProtectClock": True},
    "network": {"PrivateNetwork": True, "RestrictAddressFamilies": "AF_UNIX", "PrivateIPC": True,
                "RestrictNamespaces": True, "LockPersonality": True, "NoNewPrivileges": True},
    "limits": {"LimitNOFILE": "200:400", "LimitCORE": "0", "Nice": 5, "OOMScoreAdjust": 300, "MemoryMax": "400M",
               "TasksMax": 50, "IOSchedulingClass": "idle", "TimerSlackNSec": "100us"},
}


@pytest.fixture(scope="module")
def probe(host):
    host.write("/usr/local/bin/probe", PROBE, 0o755)
    # It stays: a daemon that leaves lets its spares go.
    host.write("/etc/postern/posternd.json", json.dumps({"limits": {"idleExit": "0s"}}))
    yield "/usr/local/bin/probe"
    host.run("rm", "/usr/local/bin/probe", "/etc/postern/posternd.json")
    guard.stop(host)


def until_one_waits(host, count=1):
    """The ids of the spares, once so many are set up and their launchers wait."""
    def waiting():
        units = [unit for unit in all_units(host) if host.property(unit, "SubState") == "running"]
        ids = {unit.removeprefix("postern-job-").removesuffix(".service") for unit in units}
        return len(ids) == count and ids == spares(host) and ids

    return booted_host.wait_until(waiting, 30, f"{count} spares")


def seen_in(out, job):
    return json.loads(out.replace(job, "JOB"))


def used_one(host, action):
    """Whether the last run of it did, and its id."""
    record = records(host, action)[-1]
    return "spareTimeoutUsec" in record, record["job"]


@pytest.mark.suite("trixie")  # the probe needs Python, which the other host has not
@pytest.mark.parametrize("user", ["root", "member"])
@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_a_program_sees_the_same(host, probe, declare, sandbox, user):
    declare(seen={"exec": [probe, "{what}"], "arguments": {"what": {"type": "string"}}, "user": user,
                  "deny": [{"user": "daemon"}], "sandbox": SANDBOXES[sandbox], "timeout": "5min",
                  "environment": {"MORE": "1"}})
    code, out, err = run(host, "seen", "what=a b")
    assert (code, err) == (0, "")
    with_spare, job = used_one(host, "seen")
    assert not with_spare
    without = seen_in(out, job)
    waiting = until_one_waits(host)
    code, out, err = run(host, "seen", "what=a b")
    assert (code, err) == (0, "")
    with_spare, job = used_one(host, "seen")
    assert with_spare and {job} == waiting
    within = seen_in(out, job)
    for name, value in without.items():
        assert within[name] == value, name
    assert within.keys() == without.keys()
    guard.stop(host)
    expect_no_units(host)


def test_a_mount_that_is_made_meanwhile_is_as_without_a_spare(host, declare):
    host.run("mkdir", "-p", "/srv/later")
    declare(writes=shell("touch /srv/later/file && echo written", sandbox=FULL))
    assert run(host, "writes")[0] == 1
    until_one_waits(host)
    host.run("mount", "-t", "tmpfs", "tmpfs", "/srv/later")
    try:
        code, out, err = run(host, "writes")
        assert (code, out) == (1, "") and "Read-only file system" in err
        assert not used_one(host, "writes")[0]
        assert not host.exists("/srv/later/file")
    finally:
        host.run("umount", "/srv/later")


def test_a_file_that_is_changed_meanwhile_counts(host, declare):
    declare(says=shell("echo one", sandbox=FULL))
    assert run(host, "says") == (0, "one\n", "")
    before = until_one_waits(host)
    host.write(f"{guard.ACTIONS}/says.json", json.dumps(
        {"summary": "says", "allow": [{"group": "postern"}], **shell("echo two", sandbox=FULL)}))
    assert run(host, "says") == (0, "two\n", "")
    with_spare, job = used_one(host, "says")
    assert not with_spare and job not in before
    booted_host.wait_until(lambda: not before & spares(host), 10, "the old one is gone")


def test_a_program_that_can_not_be_executed_is_told_of_as_without(host, declare):
    host.write("/usr/local/bin/unfit", "#!/bin/sh\necho fit\n", 0o755)
    declare(unfit={"exec": ["/usr/local/bin/unfit"], "sandbox": {"PrivateTmp": True}})
    assert run(host, "unfit")[:2] == (0, "fit\n")
    until_one_waits(host)
    try:
        host.run("sh", "-c", "printf 'no program' >/usr/local/bin/unfit")
        with_spare = run(host, "unfit")
        assert used_one(host, "unfit")[0]
        guard.stop(host)
        without = run(host, "unfit")
        assert not used_one(host, "unfit")[0]
        assert with_spare == without and with_spare[0] not in (0, 203)
    finally:
        host.run("rm", "-f", "/usr/local/bin/unfit")


def test_the_time_limit_holds(host, declare):
    declare(sleeps=shell("test -e /run/quick || sleep 60", sandbox={"PrivateTmp": True}, timeout="2s"))
    host.write("/run/quick", "")
    assert run(host, "sleeps") == (0, "", "")
    until_one_waits(host)
    host.run("rm", "/run/quick")
    code, _, err = run(host, "sleeps")
    assert used_one(host, "sleeps")[0]
    assert code == 124 and "2s" in err


def test_so_many_as_the_file_says_wait_and_go_with_the_daemon(host, probe, declare):
    declare(kept=shell("echo $POSTERN_JOB", sandbox=FULL, spare=3))
    before = until_one_waits(host, 3)
    clients = [spawn(host, "kept") for _ in range(3)]
    ids = {finished(client)[1].strip() for client in clients}
    # The first is taken from those; whether all three are depends on who is quicker.
    assert ids & before
    until_one_waits(host, 3)
    host.run("systemctl", "kill", "-s", "KILL", "posternd.service")
    booted_host.wait_until(lambda: not [unit for unit in all_units(host)
                                        if host.property(unit, "SubState") == "running"], 10, "they have left")
    host.run("systemctl", "reset-failed", "posternd.service", check=False)
    declare(kept=shell("true", sandbox=FULL, spare=0))
    expect_no_units(host)
    assert spares(host) == set()


@pytest.mark.suite("trixie")
def test_others_of_its_user_can_not_trace_a_launcher_that_waits(host, declare):
    """Neither its memory nor its socket: they would say what is executed, with what it may do."""
    declare(own=shell("true", sandbox={"PrivateTmp": True}, user="member", deny=[{"user": "daemon"}]))
    assert run(host, "own") == (0, "", "")
    (spare,) = until_one_waits(host)
    pid = host.property(f"postern-job-{spare}.service", "MainPID")
    attack = textwrap.dedent(f"""\
        import ctypes, errno, os
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.restype = ctypes.c_long
        PTRACE_ATTACH, PIDFD_GETFD = 16, 438
        print(libc.ptrace(PTRACE_ATTACH, {pid}, None, None), errno.errorcode[ctypes.get_errno()])
        pidfd = os.pidfd_open({pid})
        print(libc.syscall(PIDFD_GETFD, pidfd, 0, 0), errno.errorcode[ctypes.get_errno()])
        for path in ("/proc/{pid}/mem", "/proc/{pid}/environ", "/proc/{pid}/fd/0"):
            try:
                os.open(path, os.O_RDONLY)
                print("opened", path)
            except PermissionError:
                print("refused")
        """)
    said = host.run("python3", "-c", attack, user="member").stdout.splitlines()
    assert said == ["-1 EPERM", "-1 EPERM", "refused", "refused", "refused"]
    assert re.search(r"postern-launcher --spare", host.run("ps", "-o", "args=", "-p", pid).stdout)
