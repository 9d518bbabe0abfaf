"""Callers with subordinate ids: in user namespaces whose maps are those that newuidmap(1) and newgidmap(1)
write, and accounts of the test's own for the guard."""

import ctypes
import dataclasses
import os
import shutil
import sys

from identity import Identity, run_as

CLONE_NEWUSER = 0x10000000
PR_SET_DUMPABLE = 4


@dataclasses.dataclass(frozen=True)
class InNamespace(Identity):
    """`outer` in a user namespace of its own, which there becomes what the kernel calls uid, gid, groups.

    uid_map, gid_map: as they are written, from outside, by root. Empty: left unwritten.
    """

    outer: Identity = None
    uid_map: str = ""
    gid_map: str = ""

    def take(self):
        """As Identity.take(); a child that stays root writes the maps."""
        pid = os.getpid()
        unshared, tell_unshared = os.pipe()
        mapped, tell_mapped = os.pipe()
        helper = os.fork()
        if helper == 0:
            try:
                os.read(unshared, 1)
                for name, text in (("uid_map", self.uid_map), ("gid_map", self.gid_map)):
                    if text:
                        with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                            file.write(text)
                os.write(tell_mapped, b"x")
            finally:
                os._exit(0)
        os.close(tell_mapped)
        libc = ctypes.CDLL(None, use_errno=True)
        self.outer.take()
        # Else /proc/PID/uid_map belongs to root, and not to the user that the namespace is of.
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        assert libc.unshare(CLONE_NEWUSER) == 0, os.strerror(ctypes.get_errno())
        os.write(tell_unshared, b"x")
        assert os.read(mapped, 1) == b"x", "the maps could not be written"
        os.waitpid(helper, 0)
        for fd in (unshared, tell_unshared, mapped):
            os.close(fd)
        if not self.uid_map:
            return
        if set(self.groups) != set(self.outer.groups):
            os.setgroups([inside(self.gid_map, gid) for gid in self.groups])
        gid, uid = inside(self.gid_map, self.gid), inside(self.uid_map, self.uid)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def inside(text, outer_id):
    """What an id outside is called inside."""
    for line in text.splitlines():
        first, outer, count = map(int, line.split())
        if outer <= outer_id < outer + count:
            return first + outer_id - outer
    raise AssertionError(f"{outer_id} is not in {text!r}")


def subordinate(owner, uid, *, first=100000, groups=None, gid=None):
    """`owner` as the subordinate uid `uid`, in the namespace that `unshare --map-auto` or podman makes.

    groups: None keeps the owner's own, which no process of a namespace has to drop.
    """
    return InNamespace(uid, owner.gid if gid is None else gid,
                       owner.groups if groups is None else groups, owner,
                       f"0 {owner.uid} 1\n1 {first} 65536\n", f"0 {owner.gid} 1\n1 {first} 65536\n")


class Accounts:
    """The guard's /etc: that of the machine, with more accounts, in a mount namespace of the guard's own.

    users: (name, uid, gid); groups: (name, gid, members).
    """

    def __init__(self, folder, users=(), groups=(), subuid="", subgid="", nsswitch=None):
        self.etc = folder / "etc"
        shutil.copytree("/etc", self.etc, symlinks=True)
        self._append("passwd", [f"{name}:x:{uid}:{gid}::/:/bin/sh" for name, uid, gid in users])
        self._append("group", [f"{name}:x:{gid}:{','.join(members)}" for name, gid, members in groups])
        self.write("subuid", subuid)
        self.write("subgid", subgid)
        if nsswitch is not None:
            self._append("nsswitch.conf", [nsswitch])

    def _append(self, name, lines):
        with open(self.etc / name, "a", encoding="ascii") as file:
            file.writelines(line + "\n" for line in lines)

    def write(self, name, text):
        """Replaces a file whole, as those do who change it."""
        fresh = self.etc / f"{name}.new"
        fresh.write_text(text, encoding="ascii")
        fresh.rename(self.etc / name)

    @property
    def under(self):
        """Words before a command line, so that it has this /etc: for harness.Guard(under=...)."""
        return ("unshare", "-m", "--propagation", "private", "sh", "-c",
                f'mount --bind {self.etc} /etc && exec "$@"', "sh")


# Connects, then sends each line of its input, and prints each reply; ends when its input does.
CLIENT = r"""
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rb")
for line in sys.stdin.buffer:
    s.sendall(line.rstrip(b"\n") + b"\n")
    sys.stdout.buffer.write(f.readline())
    sys.stdout.flush()
"""


def setuid_interpreter(folder, uid):
    """A python3 that runs as `uid`, whoever starts it: what a user leaves behind as a subordinate uid."""
    path = folder / f"python-{uid}"
    shutil.copy(os.path.realpath(sys.executable), path)
    os.chown(path, uid, uid)  # a namespace must know both
    path.chmod(0o4755)
    return str(path)


def call_as_setuid(guard, interpreter, identity, *calls):
    """The replies to calls (bytes, as of wire.message()) of a setuid program that `identity` starts."""
    done = run_as(identity, [interpreter, "-I", "-c", CLIENT, str(guard.socket_path)],
                  input=b"".join(call + b"\n" for call in calls), text=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
