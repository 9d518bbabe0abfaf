"""Jobs as transient units of a really booted systemd."""

import json
import re
import shlex

import pytest

import booted_host
import guard
from jobs import (UNTIL_ACTIVE, UNTIL_LET, WAITS, expect_no_units, finished, job_units, records, run, shell, spawn,
                  wait_for_unit)

pytestmark = pytest.mark.needs_root

CLEAN = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# ---- What a unit gets ----

def test_a_job_is_a_unit_in_a_slice_of_its_own(host, declare, let):
    declare(where=shell(f"cat /proc/self/cgroup; {UNTIL_LET}", onDisconnect="kill"))
    client = spawn(host, "where")
    unit = wait_for_unit(host)
    job = unit.removeprefix("postern-job-").removesuffix(".service")
    assert len(job) == 32 and set(job) <= set("0123456789abcdef")
    for name, value in (("Slice", "postern.slice"), ("Description", "Postern job of where"),
                        ("Type", "exec"), ("RuntimeMaxUSec", "1h")):
        assert host.property(unit, name) == value, name
    # At shutdown: the job, the slice, the daemon.
    assert "postern.slice" in host.property(unit, "After").split()
    assert {"posternd.service", "postern-output.service"} <= set(host.property("postern.slice", "After").split())
    let()
    code, out, err = finished(client)
    assert (code, err) == (0, "")
    assert f"0::/postern.slice/{unit}\n" in out
    expect_no_units(host)


def test_whom_it_runs_as(host, declare):
    host.run("groupadd", "-f", "lent")
    declare(
        asroot=shell("id -u; id -g; id -G"),
        asmember=shell("id -u; id -g; id -G", user="member", deny=[{"user": "member"}]),
        lent=shell("id -u; id -g; id -G", user="daemon", group="mail", groups=["lent", "daemon"],
                   allow=[{"user": "member"}]),
    )

    def number(*words):
        return host.run(*words).stdout.strip()

    member, gid = number("id", "-u", "member"), number("id", "-g", "member")
    groups = sorted(number("id", "-G", "member").split())
    assert run(host, "asroot") == (0, "0\n0\n0\n", "")
    code, out, _ = run(host, "asmember", user="root")
    assert code == 126  # root has no rule of its own
    declare(asmember=shell("id -u; id -g; id -G", user="member", allow=[{"user": "root"}]))
    code, out, _ = run(host, "asmember", user="root")
    lines = out.splitlines()
    assert (code, lines[:2], sorted(lines[2].split())) == (0, [member, gid], groups)
    code, out, _ = run(host, "lent")
    lent = number("sh", "-c", "getent group lent | cut -d: -f3")
    lines = out.splitlines()
    assert (code, lines[:2]) == (0, ["1", "8"])
    assert set(lines[2].split()) == {"8", "1", lent}


def test_of_two_accounts_of_one_uid_a_job_has_all_of_the_one_that_is_named(host, declare):
    """By a uid alone systemd would take the first for the second, and give the job its groups."""
    host.run("groupadd", "ofone")
    host.run("groupadd", "ofother")
    host.run("useradd", "-G", "ofone", "one")
    uid = host.run("id", "-u", "one").stdout.strip()
    host.run("useradd", "-o", "-u", uid, "-G", "ofother", "other")
    try:
        declare(**{name: shell("id -u; id -g; id -G; echo $USER $LOGNAME $HOME", user=name)
                   for name in ("one", "other")})
        for name, group in (("one", "ofone"), ("other", "ofother")):
            code, out, err = run(host, name)
            lines = out.splitlines()
            assert (code, err, lines[0]) == (0, "", uid)
            assert lines[1] == host.run("id", "-g", name).stdout.strip()
            # id(1) would look up the groups of the uid, which are the first one's.
            more = host.run("getent", "group", group).stdout.split(":")[2]
            assert set(lines[2].split()) == {lines[1], more}
            assert lines[3] == f"{name} {name} /home/{name}"
    finally:
        for words in (("userdel", "other"), ("userdel", "one"), ("groupdel", "ofother"),
                      ("groupdel", "ofone")):
            host.run(*words, check=False)


def test_groups_that_systemd_would_give_all_the_same_make_a_bad_file(host, declare):
    declare(fewer=shell("id", user="member", groups=["member"], allow=[{"user": "root"}]))
    said = host.run("posternd", "--check", check=False)
    assert said.returncode == 1
    assert 'a group of the user "member", which systemd gives to every job of that user' \
        in said.stderr


def test_the_environment_is_the_declared_one_byte_for_byte(host, declare):
    host.run("systemctl", "set-environment", "LD_PRELOAD=/nowhere.so", "STRANGE=1")
    try:
        declare(env={"exec": ["/usr/bin/env", "-0"], "environment": {"A": "x y", "B": "${A} %n"}})
        code, out, err = run(host, "env")
    finally:
        host.run("systemctl", "unset-environment", "LD_PRELOAD", "STRANGE")
    assert (code, err) == (0, "")
    uid, gid = (host.run("id", f, "member").stdout.strip() for f in ("-u", "-g"))
    seen = sorted(out.rstrip("\0").split("\0"))
    job = next(line for line in seen if line.startswith("POSTERN_JOB="))
    assert seen == sorted(["A=x y", "B=${A} %n", "HOME=/root", "LANG=C.UTF-8", "LOGNAME=root", CLEAN,
                           "POSTERN_ACTION=env", f"POSTERN_GID={gid}", job, f"POSTERN_UID={uid}",
                           "POSTERN_USER=member", "SHELL=/bin/bash", "USER=root"])


def test_arguments_are_literal(host, declare):
    hostile = ["${PATH}", "$PATH", "%n", "%%", "$(id)", ";", "a\\", '"', "'", " ", "$$", "\\x41", "~"]
    declare(args={"exec": ["/usr/bin/printf", "[%s]", "{v}"],
                  "arguments": {"v": {"type": "list", "items": "string"}}})
    assert run(host, "args", *[f"v={one}" for one in hostile]) == (
        0, "".join(f"[{one}]" for one in hostile), "")


def test_descriptors_and_folder(host, declare):
    declare(fds=shell("cd /proc/self/fd; for n in *; do readlink $n; done; umask",
                      workingDirectory="/usr"),
            pwd={"exec": ["/bin/pwd"], "workingDirectory": "/usr/share"})
    code, out, _ = run(host, "fds")
    lines = out.splitlines()
    assert code == 0 and lines[0] == "/dev/null" and lines[-1] == "0022"
    assert re.fullmatch(r"pipe:\[\d+\]", lines[1]) and re.fullmatch(r"pipe:\[\d+\]", lines[2])
    assert lines[1] != lines[2]
    assert run(host, "pwd") == (0, "/usr/share\n", "")


def test_both_streams_in_one(host, declare):
    declare(both=shell("echo 1; echo 2 >&2; echo 3; echo 4 >> /dev/stderr", stderr="stdout"))
    assert run(host, "both") == (0, "1\n2\n3\n4\n", "")


def test_a_secret_reaches_standard_input_and_nothing_else(host, declare, let):
    declare(secret={"exec": ["/bin/sh", "-c", f"cat; {UNTIL_LET}"], "stdin": "key={key}\n",
                    "arguments": {"key": {"type": "string", "secret": True}}})
    # From a file: the journal knows the command line of whoever logs something.
    host.write("/run/call", '{"method":"org.postern.Actions.Run","parameters":{"action":"secret",'
               '"arguments":{"key":"Tr0ub4dor"}}}\n')
    client = host.spawn("sh", "-c", "posternctl call --lines </run/call", user="member")
    unit = wait_for_unit(host)
    shown = host.run("systemctl", "show", unit).stdout
    shown += host.run("sh", "-c", f"cat /run/systemd/transient/{unit}").stdout
    assert "Tr0ub4dor" not in shown and unit in shown
    let()
    out, _ = client.communicate(timeout=300)
    assert client.returncode == 0 and "key=Tr0ub4dor" in out
    assert "Tr0ub4dor" not in host.run("journalctl", "--no-pager", "-o", "json").stdout
    assert "Tr0ub4dor" not in json.dumps(records(host, "secret"))


# ---- How it ends ----

@pytest.mark.parametrize("script, code", [("exit 0", 0), ("exit 1", 1), ("exit 7", 7),
                                          ("exit 255", 255), ("kill -SEGV $$", 139),
                                          ("kill -TERM $$", 143), ("kill -KILL $$", 137)])
def test_exit_codes_and_signals(host, declare, script, code):
    declare(ends=shell(script), slowly=shell(f"{UNTIL_ACTIVE}; {script}"))
    for action in ("ends", "slowly"):
        assert run(host, action)[0] == code
    expect_no_units(host)


def test_a_code_that_systemd_uses_too(host, declare):
    declare(own=shell(f"echo x; {UNTIL_ACTIVE}; exit 203"))
    assert run(host, "own") == (203, "x\n", "")


@pytest.mark.suite("trixie")
def test_a_code_that_systemd_uses_too_quickly(host, declare):
    # Before 256 systemd does not tell whether the program was executed when it ends at once.
    declare(own=shell("exit 203"))
    for _ in range(5):
        assert run(host, "own")[0] == 203


def test_its_time_is_up(host, declare):
    declare(slow=shell("echo begun; sleep 1000", timeout="3s"))
    code, out, err = run(host, "slow")
    assert (code, out) == (124, "begun\n")
    assert "timed out after 3s" in err
    assert records(host, "slow")[-1]["result"]["outcome"] == "timeout"


@pytest.mark.parametrize("action, reason, step", [
    (shell("true", workingDirectory="/nowhere"), "its working directory can't be entered",
     "200/CHDIR"),
    ({"exec": ["/usr/bin/true"], "sandbox": {"InaccessiblePaths": "/usr/bin/true"}},
     "its program can't be executed", "203/EXEC"),
    (shell("true", sandbox={"ReadWritePaths": "/nowhere"}),
     "its file system namespace can't be set up", "226/NAMESPACE"),
])
def test_what_could_not_be_started_says_why(host, declare, action, reason, step):
    declare(broken=action)
    code, out, err = run(host, "broken")
    assert (code, out) == (127, "")
    assert err == f"posternctl: broken: the program could not be started: {reason}\n"
    record = records(host, "broken")[-1]
    assert record["state"] == "failed" and f"({step})" in record["message"]
    assert f"journalctl -u {record['unit']}" in record["message"]
    expect_no_units(host)


@pytest.mark.parametrize("text, mode, more", [
    ("#!/bin/sh\n", "0700", {"user": "nobody"}), ("echo no first line\n", "0755", {})])
def test_a_program_that_linux_does_not_execute(host, declare, text, mode, more):
    """systemd 256 and later tells that it is about to be executed, and then it is not."""
    host.write("/usr/local/bin/refused", text)
    host.run("chmod", mode, "/usr/local/bin/refused")
    declare(broken={"exec": ["/usr/local/bin/refused"], **more})
    code, out, err = run(host, "broken")
    assert (code, out) == (127, "")
    assert err == "posternctl: broken: the program could not be started: its program can't be executed\n"
    record = records(host, "broken")[-1]
    assert record["state"] == "failed" and "(203/EXEC)" in record["message"]
    expect_no_units(host)
    host.run("rm", "/usr/local/bin/refused")


def test_a_program_that_is_gone(host, declare):
    host.run("cp", "/usr/bin/true", "/usr/local/bin/gone")
    declare(gone={"exec": ["/usr/local/bin/gone"]})
    assert run(host, "gone")[0] == 0
    host.run("rm", "/usr/local/bin/gone")
    code, _, err = run(host, "gone")
    assert code == 127 and err == "posternctl: gone: the program could not be started: it does not exist\n"
    assert "does not exist" in records(host, "gone")[-1]["message"]


def test_a_user_that_is_gone(host, declare):
    host.run("useradd", "goner")
    declare(goes=shell("true", user="goner"))
    assert run(host, "goes")[0] == 0
    host.run("userdel", "goner")
    # The change of /etc/passwd is noticed, by itself: the action is off before anybody calls it.
    booted_host.wait_until(lambda: '"goner"' in host.run("posternctl", "status").stdout, 20, "it is noticed")
    code, out, err = run(host, "goes")
    assert (code, out) == (126, "") and err.startswith('posternctl: "goes" does not exist or is not granted')
    expect_no_units(host)


def test_what_systemd_refuses_is_named_by_its_place(host, declare):
    declare(refused=shell("true", sandbox={"Personality": "strange"}))
    code, _, err = run(host, "refused")
    assert (code, err) == (
        127, "posternctl: refused: the program could not be started: systemd refuses its unit\n")
    message = records(host, "refused")[-1]["message"]
    assert message.startswith(f"{guard.ACTIONS}/refused.json:1: sandbox.Personality: systemd refuses it")


def test_what_it_leaves_running_ends_with_it(host, declare):
    declare(leaves=shell(
        "(trap '' TERM; >/run/deaf; sleep 0.5; echo late; sleep 60) & "
        "until [ -e /run/deaf ]; do sleep 0.01; done; echo main"))
    assert run(host, "leaves")[:2] == (0, "main\nlate\n")
    expect_no_units(host)


@pytest.mark.parametrize("ending, code", [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137),
                                          ("kill -TERM $$", 143), ("kill -SEGV $$", 139)])
def test_what_it_leaves_running_is_counted_however_it_ended(host, declare, ending, code):
    # If its program fails before systemd has noticed that it was executed, systemd ends them itself, and nobody counts.
    declare(leaves=shell(f"sleep 1000 & setsid sleep 1000 & {UNTIL_ACTIVE}; echo main; {ending}"))
    seen, out, err = run(host, "leaves")
    assert (seen, out) == (code, "main\n")
    assert "posternctl: leaves: 2 background processes were ended with the job\n" in err
    assert records(host, "leaves")[-1]["result"]["endedProcesses"] == 2
    expect_no_units(host)


def test_a_client_that_goes(host, declare, let):
    declare(stays=shell(f"{UNTIL_LET}; echo done > /run/stayed"),
            goes=shell("sleep 1000", onDisconnect="kill"))
    for action in ("stays", "goes"):
        client = spawn(host, action)
        unit = wait_for_unit(host)
        booted_host.wait_until(lambda: host.property(unit, "SubState") == "running", 60, "it runs")
        host.run("pkill", "-KILL", "posternctl")
        client.communicate(timeout=300)
        if action == "stays":
            let()
        booted_host.wait_until(lambda: job_units(host) == [], 60, "the end of the job")
    assert host.run("cat", "/run/stayed").stdout == "done\n"
    assert records(host, "stays")[-1]["result"]["outcome"] == "exited"
    assert records(host, "goes")[-1]["result"]["outcome"] == "disconnected"


def test_somebody_else_stops_the_unit(host, declare):
    declare(victim=shell("sleep 1000"))
    client = spawn(host, "victim")
    unit = wait_for_unit(host)
    booted_host.wait_until(lambda: host.property(unit, "SubState") == "running", 60, "it runs")
    host.run("systemctl", "stop", unit)
    client.communicate(timeout=300)
    assert client.returncode == 143


# How shells write.
WAYS = ["echo one; echo two >&2; printf three",
        "yes | head -1; echo ${PIPESTATUS[0]}",
        "trap 'echo trapped' PIPE; yes | head -1; (exit 3); echo $?",
        "log() { echo \"$1\" >/dev/stderr; }; log one; echo out >/dev/stdout; log two; log three",
        "echo a | tee /dev/stderr | tee -a /dev/stdout | cat >/dev/stdout; echo b >>/dev/stdout",
        "exec 3>&1 4>&2; exec >/dev/null 2>&1; echo lost; exec >&3 2>&4; echo back; echo back >&2",
        "printf 'a\\0b\\377c\\n'; printf '\\r\\n' >&2",
        "cat <<<x; cat /dev/stdin </dev/null; cp /dev/fd/0 /dev/fd/1 </etc/hostname",
        "seq 100000; exit 9", "head -c 1000000 /dev/zero; kill -9 $$", "exec 1>&-; echo x; echo $? >&2",
        "exec 2>&-; echo x; kill -TERM $$", "(sleep 0.3; echo late) & echo early; wait; exit 255",
        "ls /nowhere; echo $?", "read x; echo \"$? $x\""]


@pytest.mark.parametrize("streams", ["two", "one"])
def test_shells_write_as_through_a_pipe(host, declare, streams):
    """Byte for byte and with the same exit code as run by another shell."""
    more = {"stderr": "stdout"} if streams == "one" else {}
    declare(**{f"way{number}": {"exec": ["/bin/bash", "-c", way.replace("{", "{{").replace("}", "}}")], **more}
               for number, way in enumerate(WAYS)})
    together = "2>&1" if streams == "one" else ""
    for number, way in enumerate(WAYS):
        host.write("/run/way", f"exec 0</dev/null {together}; exec /bin/bash -c {shlex.quote(way)}")
        ends = []
        for command in ("bash /run/way", f"posternctl run way{number}"):
            # Standard error without what posternctl says itself of a signal.
            done = host.run(
                "bash", "-c", f"{{ {{ {command} 2>&3 3>&-; echo $? >/tmp/code; }} 2>/dev/null "
                "| sha256sum >/tmp/out; } 3>&1 | grep -av ^posternctl: | sha256sum >/tmp/err; "
                "cat /tmp/code /tmp/out /tmp/err; rm /tmp/code /tmp/out /tmp/err", user="member")
            ends.append(done.stdout)
        assert ends[0] == ends[1], way


# ---- The sandbox ----

def test_the_sandbox_holds(host, declare):
    host.write("/etc/hidden", "x")
    declare(boxed=shell(
        "id -u | cut -c1; touch /usr/x 2>&1; cat /etc/hidden 2>&1; ls /tmp | wc -l; "
        "grep -E 'CapBnd|NoNewPrivs' /proc/self/status; umask; ulimit -n; nice; "
        "unshare -m true 2>&1; cat /sys/fs/cgroup/none 2>/dev/null; mkdir ok 2>&1 && echo made",
        workingDirectory="/var/lib/boxed",
        sandbox={"DynamicUser": True, "ProtectSystem": "strict", "PrivateTmp": True,
                 "InaccessiblePaths": ["/etc/hidden", "-/nowhere"], "NoNewPrivileges": "yes",
                 "CapabilityBoundingSet": "CAP_KILL CAP_CHOWN", "UMask": "0027",
                 "LimitNOFILE": "100:200", "Nice": 5, "StateDirectory": "boxed",
                 "SystemCallFilter": ["@system-service", "~unshare"],
                 "SystemCallErrorNumber": "EPERM", "RestrictNamespaces": True,
                 "RestrictAddressFamilies": ["AF_UNIX"], "MemoryDenyWriteExecute": True,
                 "ProtectHome": "tmpfs", "ProtectProc": "invisible", "LockPersonality": True}))
    code, out, err = run(host, "boxed")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "Read-only file system" in lines[1] and "Permission denied" in lines[2]
    assert lines[3] == "0"
    assert [line.split() for line in lines[4:6]] == [["CapBnd:", "0000000000000021"],
                                                     ["NoNewPrivs:", "1"]]
    assert lines[6:9] == ["0027", "100", "5"]
    assert "Operation not permitted" in lines[9]
    assert lines[10] == "made"


def test_no_address_family_at_all(host, declare):
    declare(boxed=shell("nc -U /run/systemd/private 2>&1", sandbox={"RestrictAddressFamilies": "none"}))
    code, out, _ = run(host, "boxed")
    assert code == 1 and "Address family not supported" in out


# Each kind of value once, with what systemd says that it is.
PASSED_ON = {
    "MemoryMax": ("64M", "67108864"), "MemoryHigh": ("infinity", "infinity"),
    "TasksMax": (32, "32"), "CPUQuota": ("20%", None), "CPUWeight": (50, "50"),
    "IPAddressDeny": ("any", "::/0 0.0.0.0/0"), "IPAddressAllow": (["localhost", "10.0.0.0/8"], None),
    "RestrictAddressFamilies": (["AF_UNIX", "AF_INET"], "AF_UNIX AF_INET"), "DeviceAllow": (["/dev/null rw"], None),
    "RestrictNamespaces": ("net user", "net user"), "AmbientCapabilities": ("CAP_NET_RAW", "cap_net_raw"),
    "OOMScoreAdjust": (100, "100"), "LimitCORE": (0, "0"), "LimitCPU": ("10s:20s", "20"),
    "CPUSchedulingPolicy": ("batch", None), "IOSchedulingClass": ("idle", None),
    "CPUAffinity": ("0", None), "BindReadOnlyPaths": ("/usr:/mnt", None),
    "TemporaryFileSystem": ("/srv:ro", "/srv:ro"), "SystemCallArchitectures": ("native", None),
    "SecureBits": ("noroot", None), "LoadCredential": (["a:/etc/hostname"], None),
    "SetCredential": ("b:text", None), "SocketBindDeny": (["tcp:1-1023", "any"], None),
    "IOReadBandwidthMax": (["/dev/null 10M"], None), "TimerSlackNSec": ("1ms", "1000000"),
    "KeyringMode": ("private", "private"), "ProcSubset": ("pid", "pid"),
    "RuntimeDirectory": (["boxed-run"], "boxed-run"), "RuntimeDirectoryMode": ("0700", "0700"),
    "PrivateNetwork": (True, "yes"), "ManagedOOMPreference": ("avoid", "avoid"),
    "AllowedCPUs": ("0-1", None), "MemoryLow": ("10%", None), "IODeviceWeight": (["/dev/null 100"], None),
    "AppArmorProfile": ("-nothing", None), "NUMAPolicy": ("local", None), "MountFlags": ("slave", None),
}


def test_every_kind_of_property_is_passed_on(host, declare):
    declare(box=shell("sleep 1000", onDisconnect="kill",
                      sandbox={name: value for name, (value, _) in PASSED_ON.items()}))
    client = spawn(host, "box")
    unit = wait_for_unit(host)
    for name, (_, shown) in PASSED_ON.items():
        if shown is None:
            continue
        seen = host.property(unit, name)
        assert sorted(seen.split()) == sorted(shown.split()), (name, seen)
    assert host.property(unit, "CPUQuotaPerSecUSec") == "200ms"
    assert host.property(unit, "CPUSchedulingPolicy") == "3"
    assert host.property(unit, "LimitCPUSoft") == "10"
    host.run("systemctl", "stop", unit)
    _, err = client.communicate(timeout=300)
    assert client.returncode == 143, err


# ---- What happens around it ----

def test_thirty_at_once(host, declare):
    declare(many=shell("echo $POSTERN_JOB; exit 3"))
    clients = [spawn(host, "many") for _ in range(30)]
    seen = set()
    for client in clients:
        code, out, err = finished(client)
        assert (code, err) == (3, "")
        seen.add(out)
    assert len(seen) == 30
    booted_host.wait_until(lambda: job_units(host) == [], 10, "no unit left")


def test_anothers_start_beside_forty(host, declare, configure, let):
    configure({"limits": {"jobsPerUser": 200, "recordsPerUser": 200, "startsPerUser": 1000}})
    declare(nothing={"exec": ["/bin/true"], "allow": [{"group": "postern"}, {"user": "root"}]})
    forty = host.spawn("sh", "-c", "for n in $(seq 40); do (until [ -e /run/let ]; do sleep 0.1; done; "
                       "exec posternctl run nothing) & done; wait", user="member")

    def connected():
        # The length of the listening socket's queue (ss(8), Recv-Q).
        return int(host.run("ss", "-Hlx", "src", "/run/postern/postern.sock").stdout.split()[2])

    # Both have a session: what is compared is their turns, and not how long a session takes to start.
    for user in ("member", "root"):
        host.run("posternctl", "ping", user=user)
    # All have called when the guard looks at the first of them, and root is the last.
    guard = host.property("posternd.service", "MainPID")
    host.run("kill", "-STOP", guard)
    let()
    booted_host.wait_until(lambda: connected() == 40, 20, "the forty calls")
    other = spawn(host, "nothing", user="root")
    booted_host.wait_until(lambda: connected() == 41, 20, "the other call")
    host.run("kill", "-CONT", guard)
    for client in (other, forty):
        out, err = client.communicate(timeout=600)
        assert (client.returncode, out, err.replace(WAITS, "")) == (0, "", "")
    # It did not wait for those that were asked for before it.
    uids = [record["requester"]["uid"] for record in records(host, "nothing")]
    assert (len(uids), uids.count(0)) == (41, 1)
    assert uids.index(0) < 12


def test_reload_and_reexec_of_systemd_in_mid_job(host, declare, let):
    declare(ticks=shell("i=0; until [ -e /run/let ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 5"))
    client = spawn(host, "ticks")
    unit = wait_for_unit(host)
    for verb in ("daemon-reload", "daemon-reexec", "daemon-reload"):
        host.run("systemctl", verb)
    assert host.property(unit, "SubState") == "running"
    let()
    code, out, err = finished(client)
    assert (code, err) == (5, "")
    assert out and out.splitlines() == [str(i) for i in range(1, out.count("\n") + 1)]
    expect_no_units(host)


@pytest.mark.usefixtures("quick_restarts")
@pytest.mark.parametrize("how", ["kill", "restart"])
def test_a_job_outlives_the_guard(host, declare, let, how):
    declare(lives=shell(f"echo 1; {UNTIL_LET}; echo 2; exit 6"))
    client = spawn(host, "lives")
    unit = wait_for_unit(host)
    booted_host.wait_until(lambda: host.property(unit, "SubState") == "running", 60, "it runs")
    if how == "kill":
        host.run("systemctl", "kill", "--kill-who=main", "-s", "KILL", "posternd.service")
    else:
        guard.restart(host)
    let()
    assert finished(client) == (6, "1\n2\n", "")
    booted_host.wait_until(lambda: job_units(host) == [], 60, "the end of the job")
    record = booted_host.wait_until(
        lambda: [r for r in records(host, "lives") if r["unit"] == unit and r["state"] == "ended"],
        10, "its record")[0]
    assert (record["result"]["outcome"], record["result"]["status"]) == ("exited", 6)
    assert host.run("cat", f"/var/lib/postern/jobs/{record['job']}/stdout").stdout == "1\n2\n"


def test_records_are_below_run_until_they_are_on_the_disk(host, declare):
    declare(seven=shell("exit 7"))
    assert run(host, "seven") == (7, "", "")
    pid = host.property("posternd.service", "MainPID")
    assert "RUNTIME_DIRECTORY=/run/posternd" in host.run("cat", f"/proc/{pid}/environ").stdout.split("\0")
    said = host.run("journalctl", "--no-pager", "-o", "cat", "-u", "posternd.service").stdout
    assert "not in memory" not in said
    # It is there after the guard, too, and nothing in it.
    guard.stop(host)
    assert host.run("stat", "-c", "%a %U:%G", "/run/posternd").stdout == "700 root:root\n"
    # But for where units that wait for jobs are noted; there are none any more.
    assert host.run("find", "/run/posternd", "-mindepth", "1").stdout == "/run/posternd/spares\n"
    [record] = records(host, "seven")
    assert (record["state"], record["result"]["status"]) == ("ended", 7)


def test_jobs_that_the_guard_starts_itself_are_refused_under_a_sandbox(host):
    done = host.run("setpriv", "--no-new-privs", "posternd", "--jobs", "direct", "--socket",
                    "/run/other.sock", "--state", "/run/other", "--session-user",
                    "postern-session", check=False)
    assert done.returncode == 1
    assert "would inherit its sandbox (NoNewPrivileges= is set)" in done.stderr
