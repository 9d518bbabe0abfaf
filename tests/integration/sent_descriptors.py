"""Descriptors that are sent along: what this kernel does with them, and one that is slow to close.

Linux 6.16 refuses them to the sender (SO_PASSRIGHTS); an older kernel delivers them.
"""

import contextlib
import socket
import struct

SO_PASSRIGHTS = 83


def kernel_refuses():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:
            return False
        return True


# A newer kernel plays the older one: the option fails as it does there.
OLDER = ["strace", "-D", "-qq", "-e", "trace=setsockopt", "-e",
         "inject=setsockopt:error=ENOPROTOOPT"]


@contextlib.contextmanager
def lingering_tcp():
    """A TCP connection whose last close stands still: SO_LINGER, and data that nobody takes.

    For longer than any test waits: whoever closes it where others are served serves nobody more. What was
    sent is closed here before it is received, so that theirs is the last close.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        lingering = socket.create_connection(listener.getsockname())
        taken, _ = listener.accept()
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        # What fills it is no more than it must be: there may be hundreds.
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        lingering.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                lingering.send(b"x" * 65536)
        try:
            yield lingering
        finally:
            taken.close()  # resets it: ours closes at once
            lingering.close()
