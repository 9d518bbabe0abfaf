"""A client of the bare wire: bytes out, replies in."""

import contextlib
import json
import socket
import struct

import identity as identities


def message(method, parameters=None, end=b"", **flags):
    """A call, as it is sent. `method` without an interface is one of org.postern.Actions."""
    call = {"method": method if "." in method else f"org.postern.Actions.{method}"}
    if parameters is not None:
        call["parameters"] = parameters
    return json.dumps({**call, **flags}).encode() + end


def error(name, **parameters):
    """An error reply. `name` without an interface is one of org.postern.Actions."""
    return {"error": name if "." in name else f"org.postern.Actions.{name}",
            "parameters": parameters}


class WireClient:
    """One stream connection. `as_` (an Identity) connects as another user.

    Every wait is bounded by `timeout` seconds and fails with TimeoutError.
    """

    def __init__(self, path, as_=None, timeout=60):
        self._buffer = b""
        self._peer = None
        if as_ is None:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # With a timeout of Python's, connect fails at once where the guard's backlog is full.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", timeout, 0))
            try:
                self.socket.connect(str(path))
            except OSError:
                self.socket.close()
                raise
            self.socket.settimeout(timeout)
        else:
            self._peer = identities.ConnectedAs(as_, str(path), timeout)
            self.socket = self._peer.socket

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()
        if self._peer is not None:
            self._peer.close()

    @property
    def peer(self):
        """The ConnectedAs that made the connection, or None."""
        return self._peer

    def send(self, data):
        self.socket.sendall(data)

    def send_call(self, method, parameters=None, *, more=False, oneway=False, end=b"\0"):
        """A call, as of message()."""
        flags = {name: True for name, on in (("more", more), ("oneway", oneway)) if on}
        self.send(message(method, parameters, end, **flags))

    def read_frame(self, end=b"\0"):
        """The bytes up to `end`, without it. EOFError where the connection ends before."""
        while end not in self._buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"connection closed after {self._buffer!r}")
            self._buffer += data
        frame, self._buffer = self._buffer.split(end, 1)
        return frame

    def read_reply(self, end=b"\0"):
        return json.loads(self.read_frame(end))

    def read_replies(self, end=b"\0"):
        """All replies of one call with "more"."""
        replies = [self.read_reply(end)]
        while replies[-1].get("continues"):
            replies.append(self.read_reply(end))
        return replies

    def call(self, method, parameters=None, **kwargs):
        """One call, one reply."""
        self.send_call(method, parameters, **kwargs)
        return self.read_reply(kwargs.get("end", b"\0"))

    def may(self, action):
        """Whether the action is granted, as Check says."""
        reply = self.call("Check", {"action": action})
        assert reply == {"parameters": {}} or reply["error"] == "org.postern.Actions.NotGranted"
        return reply == {"parameters": {}}

    def granted(self):
        """The names of all actions that are granted, as List says."""
        return [action["name"] for action in self.call("List")["parameters"]["actions"]]

    def run(self, action, arguments=None):
        """Run with "more": all replies, the last one with the result."""
        parameters = {"action": action}
        if arguments is not None:
            parameters["arguments"] = arguments
        self.send_call("Run", parameters, more=True)
        return self.read_replies()

    def read_to_end(self):
        """All that comes until the other side closes."""
        data, self._buffer = self._buffer, b""
        with contextlib.suppress(ConnectionResetError):
            while more := self.socket.recv(65536):
                data += more
        return data
