"""What traced programs did, as a security module sees it: files, by how they were used, and capabilities.

    with start(under=accesses.strace(folder)) ...:
        ...
    seen = accesses.read(folder, pid)           (pid: by its number outside of containers)
    seen.files          {("posternd", "/etc/passwd"): {"r"}, ...}
    seen.capabilities   {("posternd", "setuid"), ...}

What fails is left out: nothing has been used then. (So is O_PATH, stat(2) and readlink(2): AppArmor lets
everybody do these.)
"""

import collections
import os.path
import re

import harness

# By the descriptor that is their first argument.
USES = {"read": "r", "pread64": "r", "readv": "r", "preadv": "r", "getdents64": "r", "write": "w", "pwrite64": "w",
        "writev": "w", "ftruncate": "w", "fallocate": "w", "fchmod": "w", "fchown": "w", "flock": "k"}
OPENS = ("open", "openat", "openat2", "creat")
STARTS = ("clone", "clone3", "fork", "vfork")
EXECUTES = ("execve", "execveat")
# By the names that they are given. (The old name of a rename is read as well.)
CHANGES = {"mkdir": "w", "mkdirat": "w", "mknod": "w", "mknodat": "w", "symlink": "w", "symlinkat": "w", "unlink": "w",
           "unlinkat": "w", "rmdir": "w", "rename": "rw", "renameat": "rw", "renameat2": "rw", "link": "l",
           "linkat": "l", "truncate": "w", "chmod": "w", "fchmodat": "w", "chown": "w", "lchown": "w",
           "fchownat": "w", "utimensat": "w"}
CAPABILITIES = {"setuid": "setuid", "setreuid": "setuid", "setresuid": "setuid", "setfsuid": "setuid",
                "setgid": "setgid", "setregid": "setgid", "setresgid": "setgid", "setfsgid": "setgid",
                "setgroups": "setgid", "kill": "kill", "tgkill": "kill", "pidfd_send_signal": "kill",
                "chroot": "sys_chroot", "chown": "chown", "lchown": "chown", "fchown": "chown", "fchownat": "chown",
                "mount": "sys_admin", "umount2": "sys_admin", "setns": "sys_admin", "mknod": "mknod",
                "mknodat": "mknod", "reboot": "sys_boot", "init_module": "sys_module"}
OTHERS = ("mmap", "splice", "sendfile", "copy_file_range", "fcntl", "socket", "bind", "connect", "sendto", "sendmsg", "prctl",
          "unshare")

# What a clone gives back; of a process in a container strace tells the number outside as well, if it is told to.
_CHILD = re.compile(r"(\d+)(?: /\* (\d+) in strace's PID NS \*/)?")
_LINE = re.compile(r"(\w+)\((.*)\) += (.*)$")
_DESCRIPTOR = re.compile(r"\b\d+<(/[^>]*)>")
# A name, with the folder that it is seen from where one is given.
_NAME = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_SOCKET_NUMBER = re.compile(r"\d+<(socket:\[\d+\])>")
_SOCKET = re.compile(r'sun_path="(/[^"]*)"')


def strace(folder):
    """The words before a command that has all it starts traced, each thread into a file of its own."""
    return ["strace", *options(folder), "--"]


def options(folder):
    calls = sorted({*USES, *OPENS, *STARTS, *EXECUTES, *CHANGES, *CAPABILITIES, *OTHERS})
    return ["-ff", "-y", "-o", str(folder / "trace"), "-e", "signal=none",
            "-e", "trace=" + ",".join(f"?{call}" for call in calls)]


def programs_at():
    """Where programs are once the package is installed: path here -> path there."""
    paths = {"posternd": "/usr/sbin/posternd", "posternctl": "/usr/bin/posternctl"}
    return {harness.program(name): paths.get(name, f"/usr/libexec/postern/{name}") for name in harness.PROGRAMS}


def installed(path, at):
    """Where it is once the package is installed; `at` leads from folders here to those."""
    for here, there in at.items():
        if path == here or path.startswith(here + "/"):
            return there + path[len(here):]
    return path


class Accesses:
    def __init__(self):
        self.files = collections.defaultdict(set)
        self.capabilities = set()
        self.datagram_sockets = set()

    def use(self, program, path, how):
        if path.startswith("/") and not path.startswith("/memfd:"):
            self.files[program, path.removesuffix(" (deleted)")].update(how)

    def add(self, other, at):
        """What another has seen, at the paths of the package (installed())."""
        for (program, path), how in other.files.items():
            self.files[program, installed(path, at)] |= how
        self.capabilities |= other.capabilities


def read(folder, pid):
    """What strace has written of process `pid` and of all that it started."""
    seen = Accesses()
    _read(folder, pid, "", seen)
    for program, path in list(seen.files):  # of a descriptor strace does not tell that it is a directory
        if (program, path + "/") in seen.files:
            seen.use(program, path + "/", seen.files.pop((program, path)))
    return seen


def _read(folder, pid, program, seen):
    for line in (folder / f"trace.{pid}").read_text(encoding="utf-8", errors="replace").splitlines():
        found = _LINE.match(line)
        if not found or found.group(3).startswith(("-1 ", "?")):
            continue
        call, arguments, result = found.groups()
        if call in STARTS:
            child = _CHILD.match(result)
            _read(folder, int(child.group(2) or child.group(1)), program, seen)
        elif call in EXECUTES:
            path = _executed(arguments)
            seen.use(program, path, "x")
            program = os.path.basename(path)
            seen.use(program, path, "rm")
        elif program and not program.startswith("systemd"):  # what PID 1 does is not the program's
            _note(program, call, arguments, result, seen)


def _executed(arguments):
    descriptor = _DESCRIPTOR.match(arguments)
    if descriptor:
        return descriptor.group(1)
    path = _NAME.match(arguments).group(2)
    # The guard's own, of which it says the name alone.
    return harness.program(re.search(r'\["([^"]*)"', arguments).group(1)) if path.startswith("/proc/self/fd/") else path


def _note(program, call, arguments, result, seen):
    if call in CAPABILITIES:
        seen.capabilities.add((program, CAPABILITIES[call]))
    if (call, "PR_CAPBSET_DROP" in arguments) == ("prctl", True):
        seen.capabilities.add((program, "setpcap"))
    if call == "unshare" and arguments != "CLONE_FILES":
        seen.capabilities.add((program, "sys_admin"))

    descriptors = _DESCRIPTOR.findall(arguments)
    if call in OPENS and "O_PATH" not in arguments:
        seen.use(program, _opened(result, arguments), _how_opened(call, arguments))
    elif call in USES and _DESCRIPTOR.match(arguments):
        seen.use(program, descriptors[0], USES[call])
    elif call == "mmap" and "PROT_EXEC" in arguments and descriptors:
        seen.use(program, descriptors[0], "m")
    elif call == "fcntl" and re.search(r"F_(OFD_)?SETLK|F_SETLEASE", arguments) and descriptors:
        seen.use(program, descriptors[0], "k")
    elif call in ("splice", "sendfile", "copy_file_range"):
        _note_copy(program, call, arguments, seen)
    elif call in CHANGES:
        for number, name in enumerate(_names(call, arguments)):
            seen.use(program, name, "w" if number > 0 else CHANGES[call])
    elif call == "socket" and "SOCK_DGRAM" in arguments:
        seen.datagram_sockets.update(_SOCKET_NUMBER.findall(result))
    elif (socket := _SOCKET.search(arguments)) and not socket.group(1).startswith("/proc/"):
        # Who connects a datagram socket is to send by it alone.
        is_stream = not seen.datagram_sockets.intersection(_SOCKET_NUMBER.findall(arguments))
        seen.use(program, socket.group(1), "rw" if call == "connect" and is_stream else "w")


def _opened(result, arguments):
    path = _DESCRIPTOR.match(result)
    return path.group(1) + "/" * ("O_DIRECTORY" in arguments) if path else ""


def _how_opened(call, arguments):
    if call == "creat":
        return "w"
    how = {"O_RDONLY": "r", "O_WRONLY": "w", "O_RDWR": "rw"}[re.search(r"O_RDONLY|O_WRONLY|O_RDWR", arguments).group()]
    return how + "w" if re.search(r"O_CREAT|O_TRUNC", arguments) else how


def _note_copy(program, call, arguments, seen):
    """From one descriptor to another; sendfile names the target first."""
    parts = re.findall(r"(?:^|, )(\d+<[^>]*>|\w+)", arguments)
    ends = {"splice": (0, 2), "copy_file_range": (0, 2), "sendfile": (1, 0)}[call]
    for number, how in zip(ends, "rw"):
        if found := _DESCRIPTOR.match(parts[number]):
            seen.use(program, found.group(1), how)


def _names(call, arguments):
    names = [os.path.normpath(os.path.join(folder or "/", name)) for folder, name in _NAME.findall(arguments)]
    if call.startswith(("symlink", "link")):
        names = names[1:]
    folder = call.startswith("mkdir") or call == "rmdir" or "AT_REMOVEDIR" in arguments
    return [name + "/" * folder for name in names]
