"""A daemon that says what a test wants it to say: for what the real one does too rarely.

    script = {"Ping": [{"parameters": {"pong": "x"}}]}
    with FakeDaemon(folder, script) as daemon: ...

The script gives, for each method (without its interface), what happens when it is called. A step is
  a dict             sent as a reply
  bytes              sent as they are
  threading.Event    waited for
  CLOSE              closes the connection
  a callable         called with the call; what it returns are further steps
A method that is not in the script is answered with MethodNotFound.

FakeDatagramDaemon is the same for packets. CLOSE has no meaning there, what a callable returns may be
no step at all, and to a sender without an address nothing is sent.
"""

import json
import os
import pathlib
import socket
import threading

from wire import error

CLOSE = object()
PATIENCE = 60


def reply(parameters, **more):
    return {"parameters": parameters, **more}


def job_end(outcome="exited", **fields):
    """The last reply of Run."""
    return reply({"job": JOB, "result": {"outcome": outcome, "startedAt": 1, "endedAt": 2,
                                         "cpuMicroseconds": 3, "maxResidentKiB": 4, **fields}})


def chunk(**fields):
    return reply({"job": JOB, **fields}, continues=True)


JOB = "0123456789abcdef0123456789abcdef"
STARTED = chunk()


def described(name="web.restart", arguments=(), **fields):
    """The reply of Describe."""
    return reply({"action": {"name": name, "summary": "Does it", "arguments": list(arguments),
                             "timeoutSeconds": 30, "onDisconnect": "keep", **fields}})


def argument(name, kind="string", **fields):
    return {"name": name, "type": kind, "required": True, "secret": False, **fields}


class FakeDaemon:
    def __init__(self, folder, script, mode=0o666):
        self.path = str(folder / "fake.sock")
        self.calls = []  # of all connections, as they came
        self.connections = 0
        self._script = script
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        os.chmod(self.path, mode)
        self._listener.listen(16)
        self._threads = []
        self._open = []

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        pathlib.Path(self.path).unlink(missing_ok=True)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection):
        buffer = b""
        with connection:
            try:
                while True:
                    while b"\0" not in buffer:
                        more = connection.recv(65536)
                        if not more:
                            return
                        buffer += more
                    message, _, buffer = buffer.partition(b"\0")
                    call = json.loads(message)
                    self.calls.append(call)
                    method = call["method"].rpartition(".")[2]
                    steps = self._script.get(method, [error(
                        "org.varlink.service.MethodNotFound", method=call["method"])])
                    if not self._play(connection, call, steps):
                        return
            except OSError:
                pass

    def _play(self, connection, call, steps):
        for step in steps:
            if step is CLOSE:
                connection.shutdown(socket.SHUT_RDWR)
                return False
            if isinstance(step, threading.Event):
                assert step.wait(PATIENCE)
            elif isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, dict):
                connection.sendall(json.dumps(step).encode() + b"\0")
            elif not self._play(connection, call, step(call)):
                return False
        return True


class FakeDatagramDaemon:
    """Takes packets one after the other."""

    def __init__(self, folder, script, mode=0o666):
        self.path = str(folder / "fake.dgram")
        self.packets = []  # as they came
        self.calls = []
        self.senders = []  # the address of each, or None
        self._script = script
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, mode)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self._socket.close()
        pathlib.Path(self.path).unlink(missing_ok=True)

    def _serve(self):
        while True:
            packet, sender = self._socket.recvfrom(1 << 20)
            if not packet:
                return
            self.packets.append(packet)
            self.senders.append(sender)
            terminator = packet[-1:] if packet[-1:] in (b"\0", b"\n") else b""
            call = json.loads(packet.rstrip(b"\0\n"))
            self.calls.append(call)
            method = call["method"].rpartition(".")[2]
            self._play(sender, terminator, call, self._script.get(method, [error(
                "org.varlink.service.MethodNotFound", method=call["method"])]))

    def _play(self, sender, terminator, call, steps):
        for step in steps:
            if isinstance(step, threading.Event):
                assert step.wait(PATIENCE)
            elif callable(step):
                self._play(sender, terminator, call, step(call) or [])
            elif sender:
                bare = step if isinstance(step, bytes) else json.dumps(step).encode()
                try:
                    self._socket.sendto(bare + terminator, socket.MSG_DONTWAIT, sender)
                except OSError:
                    pass  # at once or never
