"""What a client may send, through the whole guard: each limit at it and one past it, strict JSON,
any split of the input, and silence."""

import fcntl
import json
import random
import socket
import struct
import termios
import threading
import time

import pytest

import harness
from identity import ALICE
from wire import error, message

AS = ALICE if harness.IS_ROOT else None
HELLO = {"summary": "Greet", "exec": ["/usr/bin/printf", "Hi, %s\\n", "{name}"],
         "arguments": {"name": {"type": "string"}}, "allow": [{"everyone": True}]}
MESSAGE_BYTES = 65536
SILENCE = 10
PONG = {"parameters": {"pong": "still here"}}


@pytest.fixture(scope="module")
def guard(programs):
    with harness.Guard({"hello": HELLO}) as running:
        yield running


@pytest.fixture
def client(guard):
    with guard.connect(as_=AS) as connected:
        yield connected


def invalid(text):
    return error("InvalidMessage", message=text)


def bad_parameter(name):
    return error("org.varlink.service.InvalidParameter", parameter=name)


# ---- Silence in the middle of a message: ten seconds that pass while the other tests run ----

class Silent:
    """A client that sends a beginning and then nothing, and notes what comes, and when."""

    def __init__(self, guard, beginning):
        self.client = guard.connect(as_=AS, timeout=60)
        self.before = time.monotonic()
        self.client.send(beginning)
        self.after = time.monotonic()
        self.received, self.ended = None, None
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        self.received = self.client.read_to_end()
        self.ended = time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def silent(guard):
    """In mid-message; in mid-message after a whole one; and one between messages, which may wait."""
    ping = message("Ping", parameters={"ping": "x"})
    clients = [Silent(guard, b"{"), Silent(guard, ping + b"\n" + ping)]
    with guard.connect(as_=AS) as patient:
        assert patient.call("Ping", {"ping": "still here"}) == PONG
        yield clients, patient
        for waiting in clients:
            waiting.thread.join(60)
            waiting.client.close()


# ---- Each limit, at it and one past it ----

def nested(depth):
    return "[" * depth + "]" * depth


def depth(number):
    # The call and its parameters are two levels.
    return b'{"method":"org.postern.Actions.Ping","parameters":{"ping":%s}}' % (
        nested(number - 2).encode())


def elements(number):
    return message("Ping", parameters={"ping": [0] * number})


def members(number):
    return message("Ping", parameters={"ping": {str(i): 0 for i in range(number)}})


def values(number):
    # The call, its method, the parameters and the list are four of them.
    number -= 4
    lists = []
    while number > 0:
        size = min(256, number - 1)
        lists.append([0] * size)
        number -= size + 1
    return message("Ping", parameters={"ping": lists})


@pytest.mark.parametrize("make, limit, past", [
    (depth, 16, "parameters.ping" + "[0]" * 14 + ": nested deeper than 16"),
    (elements, 256, "parameters.ping[256]: more than 256 elements"),
    (members, 256, "parameters.ping.256: more than 256 members"),
    (values, 4096, "parameters.ping[15][236]: more than 4096 values"),
])
def test_what_nests_and_what_counts(client, make, limit, past):
    # At the limit it is a message, though not one that Ping takes.
    client.send(make(limit) + b"\0" + make(limit + 1) + b"\0")
    assert client.read_reply() == bad_parameter("ping")
    assert client.read_reply() == invalid(past)
    assert client.call("Ping", {"ping": "still here"}) == PONG


def test_the_length_of_a_string(client):
    assert client.call("Ping", {"ping": "x" * 4096}) == {"parameters": {"pong": "x" * 4096}}
    assert client.call("Ping", {"ping": "x" * 4097}) == invalid(
        "parameters.ping: a string of 4097 bytes is longer than the limit of 4096")
    # Bytes, not characters; and as they are, not as they are written.
    assert client.call("Ping", {"ping": "é" * 2048}) == {"parameters": {"pong": "é" * 2048}}
    assert client.call("Ping", {"ping": "é" * 2048 + "x"}) == invalid(
        "parameters.ping: a string of 4097 bytes is longer than the limit of 4096")
    assert client.call("Ping", {"k" * 4096: 1, "ping": "x"}) == bad_parameter("k" * 4096)
    assert client.call("Ping", {"k" * 4097: 1, "ping": "x"}) == invalid(
        "parameters: a key of 4097 bytes is longer than the limit of 4096")


@pytest.mark.parametrize("end", [b"\0", b"\n"])
def test_the_length_of_a_message(client, end):
    whole = message("Ping", parameters={"ping": "still here"})
    client.send(whole.ljust(MESSAGE_BYTES) + end)
    assert json.loads(client.read_frame(end)) == PONG
    client.send(whole.ljust(MESSAGE_BYTES + 1) + end + whole + end)
    # Where the next message begins is not known any more: the connection ends.
    assert client.read_to_end() == json.dumps(
        invalid("a message may have at most 65536 bytes"), separators=(",", ":")).encode() + end


def test_a_message_without_end_is_cut_off(client):
    sender = threading.Thread(target=flood, args=(client.socket,))
    sender.start()
    try:
        reply = client.read_reply()
    finally:
        client.socket.close()
        sender.join(60)
    assert reply == invalid("a message may have at most 65536 bytes")


def flood(sock):
    try:
        for _ in range(64):
            sock.sendall(b"{" + b"x" * 65535)
    except OSError:
        pass


# ---- Strict JSON ----

@pytest.mark.parametrize("parameters, text", [
    ('{"ping":"a","ping":"b"}', 'parameters: the key "ping" appears twice'),
    ('{"ping":NaN}', "not JSON: invalid literal"),
    ('{"ping":Infinity}', "not JSON: invalid literal"),
    ('{"ping":1e999}', "parameters.ping: 1e999 is out of range"),
    ('{"ping":-1e999}', "parameters.ping: -1e999 is out of range"),
    ('{"ping":9007199254740993}',
     "parameters.ping: 9007199254740993 is beyond 2^53; give one from -9007199254740992 to 9007199254740992"),
    ('{"ping":-9007199254740993}',
     "parameters.ping: -9007199254740993 is beyond 2^53; give one from -9007199254740992 to 9007199254740992"),
    ('{"ping":"x"}} {', "not JSON: more text follows the end of the value"),
    ('{"ping":"\\ud800"}', "not JSON: invalid string: surrogate U+D800..U+DBFF must be followed "
                           "by U+DC00..U+DFFF"),
    ('{"ping":"\udcff"}', "not JSON: invalid UTF-8"),
    ('{"ping":"\udcc0\udc80"}', "not JSON: invalid UTF-8"),
    ('{"ping":"x",}', None),
    ("{'ping':'x'}", None),
    ('{"ping":"x" /* a comment */}', None),
    ('{"ping":01}', None),
    ('{"ping":"a\tb"}', None),
])
def test_what_is_not_exactly_json_is_refused(client, parameters, text):
    client.send(b'{"method":"org.postern.Actions.Ping","parameters":'
                + parameters.encode("utf-8", "surrogateescape") + b"}\0")
    reply = client.read_reply()
    assert reply["error"] == "org.postern.Actions.InvalidMessage"
    if text is not None:
        assert reply == invalid(text)
    assert client.call("Ping", {"ping": "still here"}) == PONG


def test_a_byte_order_mark_is_refused(client):
    client.send(b"\xef\xbb\xbf" + message("Ping", parameters={"ping": "x"}) + b"\0")
    assert client.read_reply() == invalid(
        "not JSON: a byte order mark (U+FEFF) at the beginning")
    assert client.call("Ping", {"ping": "still here"}) == PONG


@pytest.mark.parametrize("number", [2**53, -2**53, 0.5])
def test_the_largest_numbers_that_every_library_knows_pass(client, number):
    assert client.call("Ping", {"ping": number}) == bad_parameter("ping")


# ---- Any split of the input gives the same bytes ----

def unread(sock):
    """How much of what was sent the other side has not yet taken from the kernel (SIOCOUTQ, unix(7))."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def replies_to(guard, parts):
    """All bytes that come back when these parts are written one after the other.

    None among them waits until the session has taken what went before.
    """
    with guard.connect(as_=AS, timeout=60) as client:
        def write():
            for part in parts:
                if part is None:
                    harness.wait_until(lambda: unread(client.socket) == 0, what="all is taken")
                else:
                    client.socket.sendall(part)
            client.socket.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        received = client.read_to_end()
        writer.join()
        return received


def split(data, sizes):
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at:at + size]
        at += size


def mixed_messages():
    pretty = json.dumps({"method": "org.postern.Actions.Ping", "parameters": {"ping": "ü\n\0€"}},
                        indent=2, ensure_ascii=False).encode()
    return b"".join((
        message("Ping", parameters={"ping": "1"}), b"\0", pretty, b"\n", b"\0\0 \n", b"nonsense\n",
        message("Ping", more=True, oneway=True), b"\0", b'{"a":"\\"{["}\n', b'{"method":"x"\0',
        message("List"), b"\n",
        message("Check", parameters={"action": "hello"}), b"\0",
        message("Run", parameters={"action": "none"}), b"\n",
        message("Ping", oneway=True, parameters={"ping": "unanswered"}), b"\n",
        message("Ping", parameters={"ping": "last"}), b"\0"))


def test_one_byte_at_a_time_gives_the_same_bytes(guard):
    data = mixed_messages()
    at_once = replies_to(guard, [data])
    assert at_once.count(b"\0") + at_once.count(b"\n") == 10
    assert at_once.startswith(b'{"parameters":{"pong":"1"}}\0')
    assert at_once.endswith(b'{"parameters":{"pong":"last"}}\0')

    def with_pauses():
        for position in range(len(data)):
            if position % 100 == 0:
                yield None
            yield data[position:position + 1]

    assert replies_to(guard, with_pauses()) == at_once


def test_ten_thousand_pipelined_messages_get_ten_thousand_replies(guard):
    count = 10_000
    ends = (b"\0", b"\n")
    data = b"".join(message("Ping", parameters={"ping": str(i)}) + ends[i % 2] for i in range(count))
    expected = b"".join(b'{"parameters":{"pong":"%d"}}' % i + ends[i % 2] for i in range(count))
    assert replies_to(guard, [data]) == expected
    dice = random.Random(7)
    sizes = iter(lambda: dice.choice((1, 2, 3, 57, 64, 65, 1000, 65536)), None)
    assert replies_to(guard, split(data, sizes)) == expected


# ---- The end of the silence. This test stands last: by now most of the time has passed. ----

def test_silence_inside_a_message_ends_the_connection(silent):
    clients, patient = silent
    said = invalid("nothing came for 10 seconds inside a message: a message ends with NUL or a "
                   "newline")
    for waiting in clients:
        waiting.thread.join(60)
        assert not waiting.thread.is_alive()
        assert SILENCE <= waiting.ended - waiting.before and waiting.ended - waiting.after < 2 * SILENCE
    assert json.loads(clients[0].received[:-1]) == said
    pong, error, rest = clients[1].received.split(b"\n")
    assert (json.loads(pong), json.loads(error), rest) == (
        {"parameters": {"pong": "x"}}, said, b"")
    # Whoever has finished a message may be silent for longer.
    assert patient.call("Ping", {"ping": "still here"}) == PONG
