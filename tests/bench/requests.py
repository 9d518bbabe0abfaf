#!/usr/bin/python3
"""The whole programs, measured: calls, connections, jobs, memory.

    requests.py BUILD    the folder of a build with the benchmarks

Times of one machine say little; so each stands beside the same thing without Postern, in the same
run. As root other users take part, as an ordinary user all is done as oneself.
"""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/integration"))

import crowd  # noqa: E402
import harness  # noqa: E402
from identity import ALICE, BOB, ME  # noqa: E402
from processes import descriptors, memory, sessions  # noqa: E402

ACTIONS = {"true": {"summary": "Do nothing", "exec": ["/bin/true"], "allow": [{"everyone": True}]}}
# Of all that is measured: what one user may start in a second is no part of it.
MANY_STARTS = ["--limit", "startsPerUser=10000"]
CALLER = BOB if harness.IS_ROOT else ME
OTHER = ALICE if harness.IS_ROOT else ME
KIB = 1024


def show(what, value):
    print(f"{what:<58} {value}", flush=True)


def bench(*words, identity=CALLER):
    done = harness.identities.run_as(identity, [harness.program("bench_requests"), *map(str, words)])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def echo(program, path):
    """The bare process: a Unix socket of `program`'s kind, and all that comes sent back."""
    with harness.identities.popen_as(None, [harness.program(program), "echo", path]) as process:
        try:
            harness.wait_until(path.exists, what="the echo process has its socket")
            os.chmod(path, 0o666)
            yield path
        finally:
            process.kill()


def requests(guard):
    with echo("bench_requests", guard.folder / "echo.sock") as bare:
        for connections in (1, 20):
            ours = bench("pings", guard.socket_path, connections, 50_000)
            theirs = bench("pings", bare, connections, 50_000)
            show(f"Pings a second, {connections} connections",
                 f"{ours['per_second']:.0f}, {ours['per_second'] / theirs['per_second']:.0%} of a "
                 f"bare echo's {theirs['per_second']:.0f}; p99 {ours['p99']:.0f} us")


def packets_a_second(verb, server, senders, count):
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
        if CALLER is not ME:
            os.chown(folder, CALLER.uid, CALLER.gid)
        done = harness.identities.run_as(CALLER, [
            harness.program("tests/datagram-load"), verb, str(server), folder, str(senders),
            str(count)])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["per_second"]


def packets(guard):
    with echo("tests/datagram-load", guard.folder / "echo.dgram") as bare:
        for senders in (1, 20):
            ours = packets_a_second("pings", guard.datagram_path, senders, 40_000 // senders)
            theirs = packets_a_second("echoes", bare, senders, 40_000 // senders)
            show(f"packets a second, {senders} senders",
                 f"{ours:.0f}, {ours / theirs:.0%} of a bare echo's {theirs:.0f}")


def fairness(guard):
    idle = bench("pings", guard.socket_path, 1, 20_000)
    flood = (crowd.flood, guard.socket_path, 256, ["Ping", "List", "Check"])
    with crowd.Process(OTHER, *flood):
        harness.wait_until(lambda: len(sessions(guard)) >= 2 or OTHER is ME, what="the flood")
        busy = bench("pings", guard.socket_path, 1, 5_000) if OTHER is not ME else None
    if busy:
        show("p99 of a Ping, idle, and beside another user's flood",
             f"{idle['p99']:.0f} us, {busy['p99']:.0f} us")


def connecting():
    with harness.Guard(ACTIONS, options=MANY_STARTS) as guard:
        bench("connects", guard.socket_path, 10)
        warm = bench("connects", guard.socket_path, 500)
    show("from connect to the first reply, session there", f"{warm['p50']:.0f} us")
    with harness.Guard(ACTIONS, options=[*MANY_STARTS, "--limit", "sessionIdle=100ms"]) as guard:
        cold = []
        for _ in range(10):
            harness.wait_until(lambda: not sessions(guard), what="the session leaves")
            cold.append(bench("connects", guard.socket_path, 1)["p50"])
    show("from connect to the first reply, session to be started", f"{statistics.median(cold):.0f} us")


def milliseconds(argv, identity, environment, count=30):
    times = []
    for _ in range(count):
        began = time.perf_counter()
        done = harness.identities.run_as(identity, argv, env=environment)
        times.append((time.perf_counter() - began) * 1000)
        assert done.returncode == 0, done.stderr
    return statistics.median(times)


def running(guard):
    environment = {"PATH": "/usr/bin:/bin", "POSTERN_SOCKET": str(guard.socket_path)}
    bare = milliseconds(["/bin/true"], CALLER, environment)
    ours = milliseconds([harness.program("posternctl"), "run", "true"], CALLER, environment)
    show("/bin/true: fork and exec", f"{bare:.2f} ms")
    show("/bin/true: posternctl run", f"{ours:.2f} ms")
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], check=False).returncode == 0:
        show("/bin/true: sudo -n", f"{milliseconds(['sudo', '-n', 'true'], None, environment):.2f} ms")
    else:
        show("/bin/true: sudo -n", "not to be had here")


def memory_of(guard):
    with guard.connect(as_=CALLER) as first:
        first.call("Ping", {"ping": "x"})
        for process, pid in (("guard", guard.pid), ("session", sessions(guard)[0])):
            values = [f"{name} {memory(pid, name) / KIB:.0f} KiB" for name in ("VmRSS", "Pss")]
            show(f"{process}, idle", ", ".join(values))
        pids = (guard.pid, sessions(guard)[0])
        before = [(memory(pid, "VmRSS"), memory(pid, "Pss"), descriptors(pid)) for pid in pids]
        count = 200
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(guard.connect(as_=CALLER)).call("Ping", {"ping": "x"})
            for process, pid, old in zip(("guard", "session"), pids, before):
                new = (memory(pid, "VmRSS"), memory(pid, "Pss"), descriptors(pid))
                rss, pss, files = ((n - o) / count for n, o in zip(new, old))
                show(f"{process}, for each open connection",
                     f"VmRSS {rss:.0f} bytes, Pss {pss:.0f} bytes, {files:.2f} descriptors")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.environ["POSTERN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve() / "bin")
    harness._programs = pathlib.Path(os.environ["POSTERN_BIN"])
    with harness.reachable_programs():
        with harness.Guard(ACTIONS, options=MANY_STARTS) as guard:
            memory_of(guard)
        with harness.Guard(ACTIONS, options=MANY_STARTS) as guard:
            requests(guard)
            running(guard)
        with harness.Guard(ACTIONS, datagrams=True) as guard:
            packets(guard)
        with harness.Guard(ACTIONS, options=MANY_STARTS) as guard:
            fairness(guard)
        connecting()


if __name__ == "__main__":
    main()
