"""The rows that need no booted host: one function each, ROUNDS -> samples (rounds.alternate)."""

import contextlib
import functools
import json
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time

import harness
import procs
from identity import BOB, ME, run_as
from processes import sessions
from rounds import NotMeasured, alternate
from system_calls import calls_during

ACTIONS = {"true": {"summary": "Do nothing", "exec": ["/bin/true"], "allow": [{"everyone": True}]}}
# What one user may have is no part of what is measured.
LIMITS = ("startsPerUser=10000", "connectionsPerUser=4096", "connections=20000", "records=200000",
          "recordsPerUser=100000", "storedOutputTotal=1T", "storedOutputPerUser=1T")
OPTIONS = [word for limit in LIMITS for word in ("--limit", limit)]
CALLER = BOB if harness.IS_ROOT else ME
RUNS = 10
# The servers run on one processor, and what makes the load on another one.
SERVER, CLIENT = 0, os.cpu_count() - 1
# Where what makes the load is; set by bench.py.
tools = pathlib.Path()


def load(*words, tool="bench_load", processor=CLIENT, environment=None, identity=CALLER):
    argv = ["taskset", "-c", str(processor), tools / tool, *map(str, words)]
    done = run_as(identity, argv, env=environment)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return json.loads(done.stdout)


# ---- Servers ----

class Server:
    """Who answers at an address, in which language, and which processes take part."""

    def __init__(self, address, kind, pids):
        self.address, self.kind, self.pids = address, kind, pids

    def measure(self, verb, count, *words, processor=CLIENT):
        """Of a load of `count` requests: processor time of one, and how many there are in a second."""
        procs.pin(self.pids(), SERVER)
        before = procs.processor_us(self.pids())
        said = load(verb, self.kind, self.address, count, *words, processor=processor)
        time.sleep(0.05)  # what is left to be tidied up belongs to it
        return {"us": (procs.processor_us(self.pids()) - before) / count, "per_second": said["per_second"],
                "p99_us": said["p99"]}


@contextlib.contextmanager
def running(argv, address, kind="text", **more):
    """A server in a process of its own."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more) as process:
        try:
            path = pathlib.Path(address.partition(":")[2])
            if path.is_absolute():
                harness.wait_until(path.exists, what=f"{argv[0]} has its socket")
                path.chmod(0o666)
            else:
                time.sleep(0.5)  # a port has no file
            yield Server(address, kind, lambda: [process.pid])
        finally:
            process.kill()


def bare(verb, address):
    return running([tools / "bench_load", verb, address], address)


@contextlib.contextmanager
def guard_server(**more):
    guard = harness.Guard(ACTIONS, options=OPTIONS, **more)
    try:
        guard.launch()
        guard._wait_notified("READY=1", 300)  # it may have many records to read
        yield Server(f"unix:{guard.socket_path}", "text", lambda: procs.tree(guard.pid)), guard
    finally:
        guard.close(check=False)


def redis(folder):
    # Of Debian's redis-tools: the same program, which goes by its name. redis-server would run as a service.
    path = folder / "redis"
    return running(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"],
                   f"unix:{path}", "redis", executable="/usr/bin/redis-check-rdb", cwd=folder)


@contextlib.contextmanager
def servers():
    """All that requests are measured with, by name; and the guard."""
    with contextlib.ExitStack() as stack:
        ours, guard = stack.enter_context(guard_server())
        yield {"Postern": ours, "redis": stack.enter_context(redis(guard.folder)),
               "bare": stack.enter_context(bare("echo", f"unix:{guard.folder}/echo")),
               "nlohmann": stack.enter_context(bare("json", f"unix:{guard.folder}/json"))}, guard


def requests(rounds, *words, calls=0, **more):
    with servers() as (all_servers, guard):
        ways = {name: functools.partial(server.measure, *words, **more) for name, server in all_servers.items()}
        samples = alternate(ways, rounds)
        if calls:
            few, many = (calls_during(sessions(guard)[0], functools.partial(
                load, "pings", "text", all_servers["Postern"].address, count, 1, 1), guard.folder)
                for count in (1, calls + 1))  # the connection costs some as well
            samples["Postern"]["calls"] = [round((many - few) / calls, 2)]
        return samples


# ---- Rows ----

def version(rounds):
    ways = {"Postern": [harness.program("posternctl"), "--version"], "/bin/true": ["/bin/true"]}
    return alternate({name: functools.partial(run_ms, argv) for name, argv in ways.items()}, rounds)


def run_ms(argv, environment=None):
    said = load("runs", 1, RUNS, 0, *argv, environment=environment, processor=f"0-{CLIENT}")
    return {"ms": said["p50"] / 1000}


def runs_of(guard):
    environment = {"PATH": "/usr/bin:/bin", "POSTERN_SOCKET": str(guard.socket_path)}
    return functools.partial(run_ms, [harness.program("posternctl"), "run", "true"], environment)


def records_100000(rounds):
    with contextlib.ExitStack() as stack:
        # On a disk it can take ten minutes to write them and to remove them again.
        folder = stack.enter_context(harness.in_memory())
        ways = {}
        for name in ("Postern", "no records"):
            state = folder / name.replace(" ", "-")
            state.mkdir(0o700)
            if name == "Postern":
                subprocess.run([tools / "bench_records", state, "write"], check=True, stdout=subprocess.DEVNULL)
            _, guard = stack.enter_context(guard_server(state_folder=state))
            ways[name] = runs_of(guard)
        return alternate(ways, rounds)


def datagrams(rounds):
    with harness.Guard(ACTIONS, options=OPTIONS, datagrams=True) as guard, \
            running([tools / "tests/datagram-load", "echo", guard.folder / "echo"], f"dgram:{guard.folder}/echo"):
        def send(verb, server, each):
            with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
                if CALLER is not ME:
                    os.chown(folder, CALLER.uid, CALLER.gid)
                # Unlike a connection, a datagram goes through several threads: nothing is pinned.
                done = run_as(CALLER, [tools / "tests/datagram-load", verb, server, folder, "20", str(each)])
                assert done.returncode == 0, done.stderr
                return {"per_second": json.loads(done.stdout)["per_second"]}

        ours = functools.partial(send, "pings", guard.datagram_path)
        samples = alternate({"Postern": functools.partial(ours, 1000),
                             "bare": functools.partial(send, "echoes", guard.folder / "echo", 1000)}, rounds)
        made = calls_during(guard.pid, functools.partial(ours, 50), guard.folder)
        samples["Postern"]["calls"] = [made / (20 * 50)]
        return samples


def idle(rounds):
    if not harness.IS_ROOT:
        raise NotMeasured("needs root, for connections of other users")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count, users = 10_000, 100
    with guard_server() as (beside, crowded), guard_server() as (alone, _), contextlib.ExitStack() as stack:
        def connect(connections):
            process = stack.enter_context(subprocess.Popen(
                [tools / "bench_load", "idle", beside.address, str(connections), str(users), "70000"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            assert process.stdout.readline() == b"ready\n"
            time.sleep(1)
            return procs.anonymous_bytes(beside.pids())

        before = connect(users)  # each has a session
        grown = connect(count - users) - before
        samples = alternate({
            name: functools.partial(server.measure, "pings", 30_000, 50, 1)
            for name, server in (("Postern", beside), ("none idle", alone))}, rounds)
        samples["Postern"]["bytes"] = [grown / (count - users)]
        assert len(sessions(crowded)) == users + 1
        return samples


def memory(rounds):
    def libraries(program):
        listed = subprocess.run(["ldd", harness.program(program)], check=True, capture_output=True, text=True)
        return ":".join(word for word in listed.stdout.split() if word.startswith("/") and "ld-linux" not in word)

    def used(pid):
        return {"kb_dirty": procs.kib(pid, "Private_Dirty"), "kb_rss": procs.kib(pid, "Rss")}

    def ours(which):
        with harness.Guard(ACTIONS) as guard, guard.connect(as_=CALLER) as client:
            client.call("Ping", {"ping": "x"})
            time.sleep(1)
            return used(which(guard))

    def sleep(program):
        with subprocess.Popen(["/bin/sleep", "60"], env={"LD_PRELOAD": libraries(program)}) as process:
            time.sleep(0.5)
            found = used(process.pid)
            process.kill()
        return found

    return alternate({"daemon": functools.partial(ours, lambda guard: guard.pid),
                      "session": functools.partial(ours, lambda guard: sessions(guard)[0]),
                      "sleep with the daemon's libraries": functools.partial(sleep, "posternd"),
                      "sleep with the session's libraries": functools.partial(sleep, "postern-session")}, rounds)


def local(rounds, *words, datagram=False, **more):
    """Bare servers of both families."""
    kinds = {"Unix datagram": "dgram:{}", "UDP": "udp:47111"} if datagram else {
        "Unix stream": "unix:{}", "TCP": "tcp:47111"}
    with harness.private_folder() as folder, contextlib.ExitStack() as stack:
        ways = {}
        for name, address in kinds.items():
            server = stack.enter_context(bare("echo", address.format(folder / "echo")))
            ways[name] = functools.partial(server.measure, *words, **more)
        return alternate(ways, rounds)


ROWS = {
    "version": version,
    "records-100000": records_100000,
    "connects": lambda rounds: requests(rounds, "connects", 5_000, 50),
    "pings-50": lambda rounds: requests(rounds, "pings", 30_000, 50, 1),
    "pings-1": lambda rounds: requests(rounds, "pings", 20_000, 1, 1, processor=SERVER, calls=500),
    "pipelined": lambda rounds: requests(rounds, "pings", 160_000, 50, 16),
    "datagrams": datagrams,
    "idle": idle,
    "memory": memory,
    "local-1": lambda rounds: local(rounds, "pings", 20_000, 1, 1, processor=SERVER),
    "local-50": lambda rounds: local(rounds, "pings", 50_000, 50, 1),
    "local-large": lambda rounds: local(rounds, "pings", 5_000, 1, 1, 60_000, processor=SERVER),
    "local-connect": lambda rounds: local(rounds, "connects", 5_000, 50),
    "local-datagram": lambda rounds: local(rounds, "pings", 20_000, 1, 1, datagram=True, processor=SERVER),
}
