"""knock.py N: calls N times, each over a connection of its own; prints how many were answered."""

import socket
import sys

import machine

PING = b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}\0'
PONG = b'{"parameters":{"pong":"x"}}\0'


def answered():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(30)
        one.connect(machine.SOCKET)
        one.sendall(PING)
        reply = b""
        while not reply.endswith(b"\0"):
            part = one.recv(4096)
            if not part:
                return False
            reply += part
        return reply == PONG


count = 0
try:
    for _ in range(int(sys.argv[1])):
        count += answered()
except OSError:
    pass  # it is not served any more
print(count)
