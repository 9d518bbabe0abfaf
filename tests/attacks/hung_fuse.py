"""A FUSE file system, and a server that answers what it likes: the worst that a path can lead to.

As an ordinary user mounts one with fusermount3, seen by everybody (allow_other). Its server speaks the
kernel's own protocol (include/uapi/linux/fuse.h), and ends with its process.
"""

import contextlib
import ctypes
import os
import signal
import stat
import struct
import subprocess

IN = struct.Struct("<IIQQIIIHH")
OUT = struct.Struct("<IiQ")
(LOOKUP, FORGET, GETATTR, SETATTR, MKNOD, OPEN, READ, WRITE, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR,
 INTERRUPT, BATCH_FORGET) = (1, 2, 3, 4, 8, 14, 15, 16, 17, 18, 25, 26, 27, 28, 36, 42)
WRITEBACK_CACHE = 1 << 16  # of INIT: what is written is kept, and asked to be stored later
ENOENT = 2
ENOSPC = 28
ENOSYS = 38
ROOT = 1
# How long the kernel may believe what it was told: seconds.
VALID = 3600


KINDS = {"f": stat.S_IFREG | 0o666, "s": stat.S_IFSOCK | 0o777, "n": stat.S_IFSOCK | 0o777}


def attributes(node, mode, uid, size=0):
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, uid, uid, 0, 4096, 0)


def entry(node, mode, uid, size=0):
    return struct.pack("<QQQQII", node, 0, VALID, VALID, 0, 0) + attributes(node, mode, uid, size)


class Server:
    """Every name is a folder, those that begin with `f` a file, with `s` a socket of `uid`; those with
    `n` are not there until they are made, as sockets.

    Below a folder whose name begins with `h` nothing is ever found nor not found. No file is ever flushed;
    or, where it is `unwritten`, nothing that was written is ever stored, for which the kernel waits as soon
    as any of its descriptors is dropped, be it without a flush. Where it is `full`, all is taken, and only
    the flush says that there was no room, as NFS does. Where it is `unread`, files have a page each, and
    nothing of it is ever read.
    """

    def __init__(self, device, uid, unwritten, full, unread):
        self.device = device
        self.uid = uid
        self.full = full
        self.size = 4096 if unread else 0
        self.flags = WRITEBACK_CACHE if unwritten else 0
        self.never = ((FORGET, BATCH_FORGET, INTERRUPT, RELEASE) +
                      ((READ,) if unread else (SETATTR, WRITE) if unwritten else () if full else (FLUSH,)))
        self.nodes = {ROOT: (stat.S_IFDIR | 0o755, "")}

    def serve(self):
        while True:
            request = os.read(self.device, 1 << 17)
            _, operation, unique, node = IN.unpack_from(request)[:4]
            if operation in self.never:
                continue
            answer = self.answer(operation, node, request[IN.size:])
            if answer is None:
                continue  # never
            error, body = (answer, b"") if isinstance(answer, int) else (0, answer)
            os.write(self.device, OUT.pack(OUT.size + len(body), -error, unique) + body)

    def answer(self, operation, node, body):
        mode, name = self.nodes.get(node, (0, ""))  # INIT concerns none
        if operation == INIT:
            return struct.pack("<IIIIHHIIHHI", 7, 31, 0, self.flags, 12, 9, 4096, 1, 0, 0, 0) + bytes(28)
        if self.full and operation == FLUSH:
            return ENOSPC
        if self.full and operation == WRITE:
            return struct.pack("<II", struct.unpack_from("<QQI", body)[2], 0)
        if operation == GETATTR or (self.full and operation == SETATTR):
            return struct.pack("<QII", VALID, 0, 0) + attributes(node, mode, self.uid, self.size)
        if operation in (LOOKUP, MKNOD):
            if name.startswith("h"):
                return None
            made = (body if operation == LOOKUP else body[16:]).rstrip(b"\0").decode()
            if operation == LOOKUP and made.startswith("n"):
                return ENOENT
            kind = KINDS.get(made[0], stat.S_IFDIR | 0o755)
            number = len(self.nodes) + 1
            self.nodes[number] = (kind, made)
            return entry(number, kind, self.uid, self.size)
        if operation in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, 0, 0)
        return ENOSYS


class Files(Server):
    """Shows the files of one directory of the machine, as they are now: nothing of it may be believed for longer.
    `asked`: shared memory, which counts the requests. What the file system has room for is not told where
    `counted` is not set, as by a server that knows nothing of it."""

    def __init__(self, folder, asked, counted, device):
        super().__init__(device, 0, False, False, False)
        self.folder = folder
        self.asked = asked
        self.counted = counted
        self.never = (FORGET, BATCH_FORGET, INTERRUPT)
        self.names = {ROOT: "."}

    def attributes_of(self, node):
        at = os.stat(os.path.join(self.folder, self.names[node]))
        times = (at.st_atime_ns, at.st_mtime_ns, at.st_ctime_ns)
        return struct.pack("<6Q10I", node, at.st_size, 0, *(t // 10**9 for t in times), *(t % 10**9 for t in times),
                           at.st_mode, at.st_nlink, at.st_uid, at.st_gid, 0, 4096, 0)

    def answer(self, operation, node, body):
        struct.pack_into("<I", self.asked, 0, struct.unpack_from("<I", self.asked)[0] + 1)
        try:
            return self.real_answer(operation, node, body)
        except OSError as error:
            return error.errno

    def real_answer(self, operation, node, body):
        if operation == LOOKUP:
            name = body.rstrip(b"\0").decode()
            number = os.stat(os.path.join(self.folder, name)).st_ino
            self.names[number] = name
            return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + self.attributes_of(number)
        if operation == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self.attributes_of(node)
        if operation in (READ, READDIR):
            _, offset, size = struct.unpack_from("<QQI", body)
            if operation == READDIR:
                return self.listing()[offset:]
            with open(os.path.join(self.folder, self.names[node]), "rb") as file:
                return os.pread(file.fileno(), size, offset)
        if operation == STATFS and self.counted:
            return bytes(80)
        if operation in (OPEN, OPENDIR, INIT):
            return super().answer(operation, node, body)
        return 0 if operation in (RELEASE, FLUSH) else ENOSYS

    def listing(self):
        """Offsets are those of bytes."""
        listing = b""
        for name in map(str.encode, sorted(os.listdir(self.folder))):
            padded = name + bytes(-len(name) % 8)
            listing += struct.pack("<QQII", 1, len(listing) + 24 + len(padded), len(name), 0) + padded
        return listing


class Mount:
    def __init__(self, path, server):
        self.path = path
        self._server = server

    @property
    def pid(self):
        return self._server

    def end(self):
        """Ends the server, and the waiting of all who wait for it."""
        if self._server:
            os.kill(self._server, signal.SIGKILL)
            os.waitpid(self._server, 0)
            self._server = 0


@contextlib.contextmanager
def mounted(path, uid=0, unwritten=False, full=False, unread=False, server_of=Server):
    """The file system at this path, until the end of the block or of its server. `server_of`: makes another one
    than Server, of the same arguments."""
    path.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"hung", bytes(path), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    server = os.fork()
    if server == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with contextlib.suppress(BaseException):
            server_of(device, uid, unwritten, full, unread).serve()
        os._exit(1)
    os.close(device)
    mount = Mount(path, server)
    try:
        yield mount
    finally:
        mount.end()
        subprocess.run(["umount", "-l", path], check=True)


def available():
    return os.geteuid() == 0 and os.path.exists("/dev/fuse")
