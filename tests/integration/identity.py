"""Being somebody else: processes and connections of other users. Needs root for any but one's own."""

import array
import dataclasses
import grp
import os
import pwd
import socket
import subprocess


@dataclasses.dataclass(frozen=True)
class Identity:
    """Numbers, not names: they need no entry in /etc/passwd."""

    uid: int
    gid: int
    groups: tuple = ()

    def take(self):
        """Makes the calling process this identity, for good. For use between fork and exec."""
        if os.geteuid() != 0:
            assert (self.uid, self.gid) == (os.geteuid(), os.getegid()), "needs root"
            return
        os.setgroups(list(self.groups))
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def shown(self):
        """As messages to this caller show it: a name where the system knows one."""
        groups = sorted({self.gid, *self.groups})
        return (f"(uid {named(self.uid, lambda: pwd.getpwuid(self.uid).pw_name)}, "
                f"gid {named_group(self.gid)}, groups {' '.join(map(named_group, groups))})")


def named(number, name):
    try:
        return f"{number} ({name()})"
    except KeyError:
        return str(number)


def named_group(gid):
    return named(gid, lambda: grp.getgrgid(gid).gr_name)


ROOT = Identity(0, 0)
ME = Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))
# Three users with a group each, of which the first two share another one.
ALICE = Identity(64001, 64001, (64100,))
BOB = Identity(64002, 64002, (64100,))
CAROL = Identity(64003, 64003)
# A user and a group that every Debian has.
GAMES = Identity(5, 60)


def popen_as(identity, argv, **kwargs):
    """subprocess.Popen as `identity` (None: as ourselves), in a working folder that all may enter."""
    kwargs.setdefault("cwd", "/")
    if identity is not None:
        kwargs["preexec_fn"] = identity.take
    return subprocess.Popen(argv, **kwargs)


def run_as(identity, argv, *, input=None, timeout=600, text=True, env=None, **kwargs):
    """Runs a program as `identity` and returns subprocess.CompletedProcess with its output."""
    kwargs.setdefault("stdout", subprocess.PIPE)
    kwargs.setdefault("stderr", subprocess.PIPE)
    if "stdin" not in kwargs:
        kwargs["stdin"] = subprocess.DEVNULL if input is None else subprocess.PIPE
    with popen_as(identity, argv, env=env, text=text, **kwargs) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


class ConnectedAs:
    """A stream connection that a process of `identity` made and lives with.

    The kernel's credentials are those of that process. `end_peer()` ends it while the connection
    stays open.
    """

    def __init__(self, identity, path, timeout=60):
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._child(identity, path, ours, theirs)
        theirs.close()
        self._control = ours
        ours.settimeout(timeout)
        data, ancillary, _, _ = ours.recvmsg(256, socket.CMSG_SPACE(4))
        if not ancillary:
            self.end_peer()
            number = int(data or b"0")
            raise OSError(number, os.strerror(number), path)
        descriptor = array.array("i", ancillary[0][2][:4])[0]
        self.socket = socket.socket(fileno=descriptor)
        self.socket.settimeout(timeout)

    @property
    def pid(self):
        return self._pid

    @staticmethod
    def _child(identity, path, ours, theirs):
        try:
            # Nothing of ours: a copy of another peer's control socket would keep that peer alive.
            os.closerange(3, theirs.fileno())
            os.closerange(theirs.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
            identity.take()
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.connect(path)
            except OSError as error:
                theirs.send(str(error.errno).encode())
                os._exit(0)
            socket.send_fds(theirs, [b"ok"], [connection.fileno()])
            connection.close()
            theirs.recv(1)
        finally:
            os._exit(0)

    def end_peer(self):
        """Ends and reaps the process that connected."""
        if self._pid:
            self._control.close()
            os.waitpid(self._pid, 0)
            self._pid = 0

    def close(self):
        self.socket.close()
        self.end_peer()
