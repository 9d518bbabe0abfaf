"""Calls once, prints the answer, and holds the connection until it is ended."""

import signal
import socket

import machine

connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(machine.SOCKET)
connection.send(b'{"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}}\0')
answer = b""
while not answer.endswith(b"\0"):
    answer += connection.recv(4096)
print(answer.rstrip(b"\0").decode(), flush=True)
signal.pause()
