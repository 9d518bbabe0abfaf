"""What one user does to have the guard to itself: floods of calls, connections and sessions.

Each flood is a function of the path of the guard's socket that goes on for ever, for crowd.Process. What
all of them together do costs the attacker next to no processor time: each sleeps between its rounds.
"""

import contextlib
import os
import select
import socket
import time

import crowd
import wire
from identity import ALICE, ROOT, Identity

EVERYONE = [{"everyone": True}]
# As much as a message holds.
BIG = ["x" * 4000] * 15
ACTIONS = {
    "true": {"summary": "Do nothing", "exec": ["/bin/true"], "allow": EVERYONE},
    "note": {"summary": "Take a long list", "exec": ["/bin/true", "{t}"], "allow": EVERYONE,
             "arguments": {"t": {"type": "list", "items": "string"}}},
}
_PAUSE = 0.01
# As many groups as a process can have (NGROUPS_MAX), of which one is its primary one.
_MANY_GROUPS = tuple(range(100_000, 165_535))
# Uids of strangers, each of which is somebody else to the guard.
_FIRST_STRANGER = 200_000


def identities(count):
    """One user as often as it can be told apart: each has a session of its own."""
    return [Identity(ALICE.uid, ALICE.gid, (70_000 + number,)) for number in range(count)]


def pipeline(path, message, connections):
    """The same message on all connections as fast as it is taken; replies are read and dropped."""
    messages = message * max(1, 40_000 // len(message))
    clients = [wire.WireClient(path).socket for _ in range(connections)]
    sent = dict.fromkeys(clients, 0)
    for client in clients:
        client.setblocking(False)
    while True:
        readable, writable, _ = select.select(clients, clients, [], 1)
        with contextlib.suppress(BlockingIOError):
            for client in readable:
                client.recv(1 << 20)
        for client in writable:
            with contextlib.suppress(BlockingIOError):
                sent[client] = (sent[client] + client.send(messages[sent[client]:])) % len(messages)
        time.sleep(_PAUSE)


def look_up(path, connections):
    """Jobs.Get of a job with 60 KB of arguments."""
    with wire.WireClient(path) as client:
        job = client.call("Run", {"action": "note", "arguments": {"t": BIG}})["parameters"]["job"]
    pipeline(path, wire.message("org.postern.Jobs.Get", {"job": job}, b"\0"), connections)


def describe_denied(path, connections):
    """What is granted to nobody: so anybody may do it."""
    pipeline(path, wire.message("Describe", {"action": "\u202e" * 1300}, b"\0"), connections)


def check_big(path, connections):
    pipeline(path, wire.message("Check", {"action": "note", "arguments": {"t": BIG}}, b"\0"), connections)


def run_again(path, connections):
    """Run with a key that is known: no job starts."""
    call = {"action": "note", "arguments": {"t": BIG}, "key": "known"}
    with wire.WireClient(path) as client:
        client.call("Run", call)
    pipeline(path, wire.message("Run", call, b"\0"), connections)


def run(path, connections):
    """One job after the other on each connection."""
    call = wire.message("Run", {"action": "true"}, b"\0")
    clients = [wire.WireClient(path).socket for _ in range(connections)]
    for client in clients:
        client.send(call)
    while True:
        for client in select.select(clients, [], [])[0]:
            client.recv(65536)
            client.send(call)


def connect(path, connections):
    """Connects without end, and holds so many."""
    clients = []
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(path)
            clients.append(client)
        except BlockingIOError:  # the backlog is full
            client.close()
            time.sleep(_PAUSE)
        if len(clients) > connections:
            clients.pop(0).close()


def hold(path):
    """A connection that does nothing: its session is the hostile one."""
    with wire.WireClient(path) as client:
        client.read_to_end()
    time.sleep(1000)


def many_uids(path, connections):
    """Each connection from another uid; so many stay."""
    clients = []
    for number in range(10_000):
        uid = _FIRST_STRANGER + number
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                Identity(uid, uid).take()
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)
                socket.send_fds(theirs, [b"x"], [client.fileno()])
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        theirs.close()
        clients += socket.recv_fds(ours, 1, 1)[1]
        ours.close()
        if len(clients) > connections:
            os.close(clients.pop(0))


# name, identities of the processes, function, its arguments
FLOODS = [
    ("Jobs.Get, 60 KB of arguments, 8 sessions x 8", identities(8), look_up, 8),
    ("Run of true, 4 sessions x 8", identities(4), run, 8),
    ("denied Describe, 8 sessions x 4", identities(8), describe_denied, 4),
    ("Check, 60 KB of arguments, 8 sessions x 8", identities(8), check_big, 8),
    ("Run with a known key, 60 KB, 8 sessions x 4", identities(8), run_again, 4),
    ("connections without end", identities(1), connect, 64),
    ("connections without end, of 65,536 groups",
     [Identity(ALICE.uid, ALICE.gid, _MANY_GROUPS[number:]) for number in range(2)], connect, 64),
    ("many uids", [ROOT], many_uids, 400),
]

# Modes of tests/integration/hostile_session in the place of ALICE's session; hold() is the flood.
TAKEN_OVER = [
    ("many-values", "taken over: packets of 120 KB, 60,000 values"),
    ("heavy", "taken over: packets of 64 KB, 4,000 values"),
]


@contextlib.contextmanager
def flooding(path, who, function, *arguments):
    """It goes on meanwhile, from each of these identities."""
    with contextlib.ExitStack() as stack:
        for identity in who:
            stack.enter_context(crowd.Process(identity, function, str(path), *arguments))
        yield
