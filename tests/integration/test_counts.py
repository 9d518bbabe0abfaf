"""What a call costs, where that is a number of things and not a time: it must not grow unnoticed."""

import collections
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess

import pytest

import harness
from identity import ALICE, BOB
from packets import Sender, message
from processes import descriptors, helpers, memory, sessions
from system_calls import by_perf, why_no_perf

pytestmark = [
    pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: traces a session"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]

PING = {"ping": "x"}
PONG = {"parameters": {"pong": "x"}}
HELLO = {"summary": "Greet", "exec": ["/bin/echo", "Hi"], "allow": [{"everyone": True}]}
MIB = 1024 * 1024


class Trace:
    """strace on processes that run already; afterwards `calls` has how often each made which,
    and `lines` each of them."""

    def __init__(self, folder, *pids):
        self.file = folder / "trace"
        argv = ["strace", "-o", str(self.file)]
        for pid in pids:
            argv += ["-p", str(pid)]
        self.pids = pids
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.calls = collections.Counter()
        self.lines = []

    def __enter__(self):
        for _ in self.pids:
            assert b"attached" in self.process.stderr.readline()
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        began = {}
        for line in self.file.read_text().splitlines():
            # Of one that another thread's came into there are two halves.
            if line.endswith(" <unfinished ...>"):
                began[line.split(" ")[0]] = line.removesuffix(" <unfinished ...>")
                continue
            resumed = re.match(r"(\d+) +<\.\.\. \w+ resumed>(.*)", line)
            if resumed:
                line = began.pop(resumed.group(1), "") + resumed.group(2)
            # A call that was under way when we came or went belongs to no Ping.
            call = re.match(r"(?:\d+ +)?(\w+)\(", line)
            if call and "detached" not in line:
                self.calls[call.group(1)] += 1
                self.lines.append(line)


def test_a_ping_on_an_open_connection_is_three_system_calls_of_the_session(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    with guard.connect(as_=ALICE) as client:
        assert client.call("Ping", PING) == PONG
        with Trace(folder, *sessions(guard)) as trace:
            for _ in range(100):
                assert client.call("Ping", PING) == PONG
    calls = trace.calls
    assert set(calls) <= {"epoll_wait", "recvmsg", "sendto"}
    assert calls["recvmsg"] == 100
    # The last reply is here before strace has seen the return of the call that sent it.
    assert 99 <= calls["sendto"] <= 100
    assert 99 <= calls["epoll_wait"] <= 101  # the one that strace found or left it in


def test_what_a_packet_alone_costs_guard_and_session(start_guard, folder):
    guard = start_guard({"hello": HELLO}, datagrams=True)
    count = 100
    with Sender(guard.datagram_path) as sender:
        def ping():
            sender.socket.sendto(message("Ping", PING), str(guard.datagram_path))
            assert sender.receive() == b'{"parameters":{"pong":"x"}}'

        ping()
        threads = [int(t) for t in os.listdir(f"/proc/{guard.pid}/task")]
        costs = {}
        for name, traced in (("guard", threads), ("session", sessions(guard))):
            with Trace(folder, *traced) as trace:
                for _ in range(count):
                    ping()
            costs[name] = {call: number / count for call, number in trace.calls.items()}
    session = costs["session"]
    assert set(session) <= {"epoll_wait", "recvmmsg", "sendto"}
    # The packet, with the look for another; the reply to the guard.
    assert session["recvmmsg"] <= 1.05 and session["sendto"] <= 1.05 and session["epoll_wait"] <= 1.05
    guards = costs["guard"]
    # How often one thread finds the other one at the lock is chance; so is how many events one turn of the
    # loop finds: there is at most one turn for each.
    guards.pop("futex", None)
    assert guards.pop("epoll_wait") <= 7.5
    # The packet and the session's reply, each with the look for another; the packet to the session; the
    # reply, of which no id is changed since it is the same sender's. Of its process no file is read. The
    # rest is what one thread hands to the other, what pins the process, and whether the reply's file is
    # on a local file system.
    most = {"close": 2, "openat2": 1, "poll": 2, "read": 1, "recvmmsg": 2, "sendmmsg": 1, "sendto": 1,
            "statx": 1, "write": 1}
    # Less than one for each packet belongs to none: what is looked at from time to time.
    assert {name: number for name, number in guards.items() if number > most.get(name, 0) + 0.5} == {}


@pytest.mark.skipif(why_no_perf() is not None and os.environ.get("CI") != "true", reason=str(why_no_perf()))
def test_what_a_packet_of_many_costs_the_guard(start_guard, folder):
    """20 senders, each of which has up to four under way. What is there is taken together: the fewer calls
    the busier the guard is. With a tracer there would be more of them than without."""
    guard = start_guard({"hello": HELLO}, datagrams=True)
    place = folder / "senders"
    senders, each = 20, 50

    def pings(count):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        subprocess.run([harness.program("tests/datagram-load"), "pings", guard.datagram_path, place,
                        str(senders), str(count)], check=True, stdout=subprocess.DEVNULL, timeout=60)

    pings(1)
    calls = by_perf(guard.pid, lambda: pings(each), folder)
    assert calls <= 9 * senders * each, calls / (senders * each)


@pytest.mark.parametrize("method", ["Check", "Run"])
def test_what_stands_in_the_directories_costs_a_call_four_statx(start_guard, folder, method):
    """Of the loop; what another thread looks at from time to time takes no time of a call."""
    local = folder / "local"
    local.mkdir()
    guard = start_guard({"hello": HELLO, "other": HELLO}, options=["--actions", str(local)])
    count = 20
    with guard.connect(as_=ALICE) as client:
        def call():
            assert "error" not in client.call(method, {"action": "hello"})

        call()
        with Trace(folder, guard.pid) as trace:
            for _ in range(count):
                call()
    there = (str(guard.actions_folder), str(local))
    asked = [(line.split("(")[0], path) for line in trace.lines
             for path in re.findall(r'"([^"]*)"', line) if path.startswith(there)]
    costs = collections.Counter(asked)
    assert set(costs) == {("statx", path) for directory in there for path in (directory, f"{directory}/hello.json")}
    # A Run whose turn comes more than 20 ms after it is compared again: that is chance.
    most = count if method == "Check" else 2 * count
    assert len(set(costs.values())) == 1 and count <= max(costs.values()) <= most, costs


def test_a_file_that_is_bad_for_its_program_costs_its_calls_one_statx_more(start_guard, folder):
    program = folder / "none"
    guard = start_guard({"hello": HELLO, "broken": {**HELLO, "exec": [str(program)]}})
    count = 20
    with guard.connect(as_=ALICE) as client:
        def call(action):
            return client.call("Check", {"action": action}).get("error")

        assert (call("hello"), call("broken")) == (None, "org.postern.Actions.NotGranted")
        with Trace(folder, guard.pid) as trace:
            for _ in range(count):
                call("hello")
                call("broken")
    asked = collections.Counter(line.split("(")[0] for line in trace.lines if f'"{program}"' in line)
    assert asked == {"statx": count}


def test_a_ping_is_no_work_for_the_guard(start_guard):
    guard = start_guard({"hello": HELLO})
    with guard.connect(as_=ALICE) as client:
        assert client.call("Ping", PING) == PONG
        before = switches(guard.pid)
        for _ in range(1000):
            assert client.call("Ping", PING) == PONG
        # The guard slept all the while, but for what the connection itself had left it to do.
        assert switches(guard.pid) - before <= 3


def switches(pid):
    """How often it went to sleep by itself."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M).group(1))


def ping_and_leave(guard, count):
    """So many connections at once, each with one call, and then gone."""
    clients = [guard.connect() for _ in range(count)]
    for client in clients:
        client.send_call("Ping", PING)
    for client in clients:
        assert client.read_reply() == PONG
    for client in clients:
        client.close()


def cost_of_connections(guard, folder, act):
    """Of guard and session, whose caller has an account, as no rule names a unit."""
    session, = sessions(guard)
    before = [descriptors(pid) for pid in (guard.pid, session)]
    costs = []
    for pid in (guard.pid, session):
        with Trace(folder, pid) as trace:
            act(lambda: harness.wait_until(
                lambda: [descriptors(pid) for pid in (guard.pid, session)] == before, what="all are closed"))
        costs.append(trace.calls)
    return costs


def test_what_fifty_connections_at_once_cost(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    count = 50

    def act(closed):
        ping_and_leave(guard, count)
        closed()

    with guard.connect() as client:
        assert client.call("Ping", PING) == PONG
        of_guard, of_session = cost_of_connections(guard, folder, act)
    # Accepted, asked three things about its peer, handed over and let go, with the process that is pinned;
    # what can be shared is.
    assert sum(of_guard.values()) <= 8 * count + 80, of_guard
    assert of_guard["sendmsg"] <= count / 2, of_guard
    # Of no process was a file read.
    assert not {"open", "openat", "poll", "setsockopt"} & set(of_guard), of_guard
    # Watched, read twice, answered, closed.
    assert sum(of_session.values()) <= 8 * count + 40, of_session
    assert not {"shutdown", "sendmsg"} & set(of_session), of_session
    assert of_session["epoll_ctl"] <= count + 2, of_session


def test_what_one_connection_costs(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    count = 20

    def act(closed):
        for _ in range(count):
            ping_and_leave(guard, 1)
            closed()

    with guard.connect() as client:
        assert client.call("Ping", PING) == PONG
        of_guard, of_session = cost_of_connections(guard, folder, act)
    assert sum(of_guard.values()) <= 24 * count + 20, of_guard
    assert sum(of_session.values()) <= 12 * count + 10, of_session


def test_pipelined_pings_share_their_system_calls(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    message = b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}\0'
    with guard.connect(as_=ALICE) as client:
        assert client.call("Ping", PING) == PONG
        with Trace(folder, *sessions(guard)) as trace:
            client.send(message * 64)
            for _ in range(64):
                assert client.read_reply() == PONG
    # One turn takes all of them, and gives one answer.
    assert sum(trace.calls.values()) <= 6


def test_sixteen_calls_at_once_are_one_receive_and_one_send(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    batch = 16 * b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}\0'
    count = 50
    with guard.connect(as_=ALICE) as client:
        assert client.call("Ping", PING) == PONG
        with Trace(folder, *sessions(guard)) as trace:
            for _ in range(count):
                client.send(batch)
                for _ in range(16):
                    assert client.read_reply() == PONG
    calls = trace.calls
    assert set(calls) <= {"epoll_wait", "recvmsg", "sendto"}
    assert calls["recvmsg"] == count
    # As above, the last ones.
    assert count - 1 <= calls["sendto"] <= count
    assert count - 1 <= calls["epoll_wait"] <= count + 1


def test_what_idle_connections_take(start_guard):
    """Memory of guard and session together: many clients stay connected and call seldom."""
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    try:
        guard = start_guard({"hello": HELLO}, options=["--limit", f"connectionsPerUser={count + 1}"])
        with contextlib.ExitStack() as clients:
            def connect():
                client = clients.enter_context(guard.connect())
                assert client.call("Ping", PING) == PONG

            connect()
            pids = (guard.pid, *sessions(guard))
            before = [memory(pid, "RssAnon") for pid in pids]
            for _ in range(count):
                connect()
            grown = [memory(pid, "RssAnon") - old for pid, old in zip(pids, before)]
            assert sum(grown) <= count * 512, grown
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_is_one_descriptor_of_its_session(start_guard):
    guard = start_guard({"hello": HELLO})
    count = 100
    with guard.connect(as_=ALICE) as client:
        assert client.call("Ping", PING) == PONG
        session, = sessions(guard)
        before = [descriptors(pid) for pid in (guard.pid, session)]
        size = [memory(pid, "VmRSS") for pid in (guard.pid, session)]
        clients = [guard.connect(as_=ALICE) for _ in range(count)]
        for another in clients:
            assert another.call("Ping", PING) == PONG
        # The guard has none of the connection itself, but what pins its process until its unit is asked for.
        assert descriptors(session) == before[1] + count
        harness.wait_until(lambda: descriptors(guard.pid) <= before[0] + count, what="no copies")
        grown = [memory(pid, "VmRSS") - old for pid, old in zip((guard.pid, session), size)]
        assert max(grown) <= count * 16 * 1024
        for another in clients:
            assert "error" not in another.call("WhoAmI")
        harness.wait_until(lambda: descriptors(guard.pid) <= before[0], what="nobody is pinned any more")
        for another in clients:
            another.close()
    harness.wait_until(lambda: descriptors(session) == before[1] - 1, what="all are closed")


def test_what_idle_programs_take(start_guard):
    guard = start_guard({"hello": HELLO})
    for identity in (ALICE, BOB):
        with guard.connect(as_=identity) as client:
            assert client.call("Ping", PING) == PONG
    assert memory(guard.pid, "VmRSS") < 24 * MIB
    assert max(memory(pid, "VmRSS") for pid in sessions(guard)) < 10 * MIB
    assert max(memory(pid, "Pss") for pid in sessions(guard)) < 6 * MIB


# What each loads besides the loader itself.
LIBRARIES = {
    "posternctl": {"libc.so.6"},
    "postern-session": {"libc.so.6", "libseccomp.so.2"},
    "postern-output": {"libc.so.6", "libseccomp.so.2"},
    "postern-launcher": set(),
    "postern-dropper": set(),
}


@pytest.mark.shipped_build
@pytest.mark.parametrize("name", LIBRARIES)
def test_which_libraries_a_small_program_loads(name):
    shown = subprocess.run(["readelf", "-W", "-l", "-d", harness.program(name)], check=True,
                           capture_output=True, text=True).stdout
    loaded = set(re.findall(r"\(NEEDED\).*\[(.*)\]", shown))
    assert {library for library in loaded if not library.startswith("ld-linux")} == LIBRARIES[name]
    assert ("INTERP" in shown) == bool(LIBRARIES[name])


@pytest.mark.shipped_build
def test_what_a_run_costs_posternctl(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    trace = folder / "trace"
    done = subprocess.run(["strace", "-o", trace, harness.program("posternctl"), "--socket", guard.socket_path,
                           "run", "hello"], check=True, capture_output=True, text=True)
    assert done.stdout == "Hi\n"
    before, _, after = trace.read_text().partition("\nsocket(")
    # Looks at its standard streams.
    own = before[before.index("\nfcntl("):]
    assert counted(own) == {"fcntl": 3, "rt_sigaction": 1, "rt_sigprocmask": 1}
    calls = counted(after)
    # What it is told of the action, of the job, of its output and of its end may come together.
    assert calls["sendto"] == 2 and calls["recvmsg"] <= 4, calls
    assert calls["poll"] == calls["recvmsg"] + calls["pwritev2"] == calls["recvmsg"] + 1, calls
    # Its replies are short: no memory is asked for.
    assert not {"mmap", "brk"} & set(calls), calls
    assert sum(calls.values()) - 2 * calls["recvmsg"] == 28, calls


def counted(trace):
    return collections.Counter(re.findall(r"^(\w+)\(", trace, re.M))


def named(guard, path):
    """The guard's descriptors of that file. Others come and go meanwhile."""
    found = []
    for entry in os.scandir(f"/proc/{guard.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += [entry.name] if os.readlink(entry.path) == str(path) else []
    return found


def test_a_line_of_the_audit_asks_once_for_its_file(start_guard, folder):
    guard = start_guard({"hello": HELLO})
    count = 20
    with guard.connect(as_=ALICE) as client:
        client.run("hello")
        (audit,) = named(guard, guard.audit_file)
        with Trace(folder, guard.pid) as trace:
            for _ in range(count):
                client.run("hello")
    lines = [line for line in trace.lines if line.startswith(f"write({audit}, ")]
    asked = [line for line in trace.lines if "stat" in line and f'"{guard.audit_file}"' in line]
    # Each run is two lines, of the last of which strace may not have seen the end; it is looked
    # after from time to time besides.
    assert 2 * count - 1 <= len(lines) <= 2 * count
    assert 2 * count - 1 <= len(asked) <= 2 * count + 20
    assert not [line for line in trace.lines if re.match(rf"(newfstatat|fstat)\({audit}, ", line)]


def test_what_a_run_that_the_guard_starts_itself_costs(start_guard, folder):
    guard = start_guard({"true": {"summary": "True", "exec": ["/bin/true"], "user": "games",
                                  "allow": [{"everyone": True}]}})
    with guard.connect(as_=ALICE) as client:
        def run():
            client.run("true")
            harness.wait_until(lambda: len(helpers(guard, "postern-launcher")) == 1, what="the next one waits")
            (pid,) = helpers(guard, "postern-launcher")
            harness.wait_until(lambda: os.listdir(f"/proc/{pid}/fd") == ["3"], what="it has closed all others")
            return pid

        for _ in range(3):
            waiting = run()
        threads = [int(thread) for thread in os.listdir(f"/proc/{guard.pid}/task")]
        costs = []
        for _ in range(5):
            with Trace(folder, waiting, *threads) as trace:
                waiting = run()
            by = collections.defaultdict(list)
            for line in trace.lines:
                pid, call = line.split(maxsplit=1)
                by[int(pid)].append(call)
            guards = {thread: len(by.pop(thread, [])) for thread in threads}
            ((_, of_launcher),) = by.items()
            last = next(i for i, call in enumerate(of_launcher) if call.startswith("execveat("))
            costs.append((guards[guard.pid], sum(guards.values()), last + 1))
    # With the next launcher, for which nobody waits.
    loop, all_threads, launcher = (sorted(cost)[2] for cost in zip(*costs))
    assert loop <= 140, costs
    # The records' thread copies them to the disk.
    assert all_threads <= 180, costs
    # From its order to its exec; the first call is the one that it waits in.
    assert launcher <= 21, costs


@pytest.mark.shipped_build
def test_the_first_session_starts_while_the_guard_sets_up(start_guard, folder):
    trace = folder / "trace"
    start_guard({"hello": HELLO}, under=["strace", "-D", "-f", "-qq", "-o", str(trace)])
    harness.wait_until(lambda: "READY=1" in trace.read_text(), what="strace has written that")
    lines = trace.read_text().splitlines()

    def first(pattern, after=0):
        return next(number for number, line in enumerate(lines) if number >= after and re.search(pattern, line))

    started = first(r'execve\(.*\["postern-session"')
    session = lines[started].split()[0]
    is_ready = first(rf"^{session} +sendto\(3, ")
    # The directory of the jobs, and the action files.
    assert started < first(r'openat\(.*"lock", ') < first("READY=1")
    assert started < first(r'openat\(.*"hello\.json"') < first("READY=1")
    assert is_ready < first("READY=1")
    # Each capability is dropped, and each signal ignored, by one call.
    calls = collections.Counter(re.findall(rf"^{session} +(\w+)\(", "\n".join(lines[started:is_ready]), re.M))
    assert calls["prctl"] <= 52, calls
    assert calls["rt_sigaction"] <= 56, calls
