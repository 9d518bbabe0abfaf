"""Senders of datagrams: a datagram socket that a process of another user made and lives with."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import select
import shutil
import socket
import struct
import tempfile
import termios

from wire import message

# ucred, as SCM_CREDENTIALS carries it.
CREDENTIALS = struct.Struct("iII")


class Sender:
    """A sender of another user (`as_`), bound to a path in a folder of its own, or not bound.

    A packet's credentials are those of the process that sends it, so each is sent by a child that has
    become that user; replies are read here.
    """

    def __init__(self, to, as_=None, *, bound=True, address=None, connected=False, timeout=60,
                 folder="/tmp"):
        self.to = str(to)
        self.identity = as_
        self.folder = None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # The kernel's own, since Python makes a socket with a timeout non-blocking.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", timeout, 0))
        self.address = address
        if bound and address is None:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-sender-", dir=folder))
            if as_ is not None and os.geteuid() == 0:
                os.chown(self.folder, as_.uid, as_.gid)
            self.address = str(self.folder / "s")
        if self.address is not None:
            self._as_user(lambda: self.socket.bind(self.address))
        if connected:
            self._as_user(lambda: self.socket.connect(self.to))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()
        if self.folder is not None:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.folder)

    def _as_user(self, act):
        """Does it in a child that is that user; OSError as it raised there. Returns the child's pid."""
        if self.identity is None:
            act()
            return os.getpid()
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = errno.EPROTO
            try:
                self.identity.take()
                act()
                status = 0
            except OSError as error:
                status = error.errno or errno.EIO
            finally:
                os.write(theirs, struct.pack("i", status))
                os._exit(0)
        os.close(theirs)
        data = os.read(ours, 4)
        os.close(ours)
        os.waitpid(pid, 0)
        number, = struct.unpack("i", data)
        if number:
            raise OSError(number, os.strerror(number))
        return pid

    def send(self, data, descriptors=(), flags=0, times=1):
        """One packet, or as many as `times`; returns the pid they were sent by."""
        def act():
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                        struct.pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
            for _ in range(times):
                self.socket.sendmsg([data], control, flags, self.to)
        return self._as_user(act)

    def forge(self, data, pid, uid, gid):
        """As send(), with these credentials."""
        control = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, CREDENTIALS.pack(pid, uid, gid))]
        return self._as_user(lambda: self.socket.sendmsg([data], control, 0, self.to))

    def receive(self):
        """The next reply, as it came."""
        return self.socket.recv(1 << 20)

    def call(self, method, parameters=None, end=b"", **flags):
        """One packet, one reply, ending as the packet did."""
        self.send(message(method, parameters, end, **flags))
        reply = self.receive()
        assert reply.endswith(end) and not reply[:-1].endswith((b"\0", b"\n")), reply
        return json.loads(reply.removesuffix(end))

    def unreceived(self):
        """Bytes, with the kernel's own, of packets that nobody has received yet (SIOCOUTQ, unix(7))."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]

    def nothing(self):
        """Whether no reply is there."""
        return not select.select([self.socket], [], [], 0)[0]
