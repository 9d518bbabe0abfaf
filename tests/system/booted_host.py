"""A real systemd, booted in a container by systemd-nspawn, for as long as a test needs it.

Needs root and a writable cgroup v2. What is changed inside is gone when the host is: the root file
system is only the lower layer of an overlay.
"""

import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import time

# What a host needs to boot, and what tests use in it.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", "dbus-user-session", "procps",
            "iproute2", "netcat-openbsd")


# What tests an installed package as distributions do. It unpacks the source package for that.
AUTOPKGTEST = ("autopkgtest", "dpkg-dev")


def packages(suite, dependencies):
    """All that a host of the suite has, with what the package under test needs."""
    return [*PACKAGES, *dependencies, *(["python3-varlink", "rpm"] if suite == "trixie" else [])]


def _cgroup_root():
    for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(f"{path}/cgroup.controllers"):
            return pathlib.Path(path)
    raise RuntimeError("this machine has no cgroup v2, and systemd in a container needs one")


# How much longer anything may take: the builds run beside, and other hosts.
BUSY = 5


def wait_until(condition, seconds, what):
    """Polls until `condition()` is true and returns its value; AssertionError after a long while: what takes
    `seconds` on an idle machine."""
    seconds *= BUSY
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not hold within {seconds} s"
        time.sleep(0.02)
    return value


class BootedHost:
    """`with BootedHost(ROOT) as host:` boots ROOT; binds: (folder here, folder inside), read-only; keeps: the
    same, but what is written there inside outlives the host."""

    def __init__(self, root, binds=(), keeps=()):
        self._root = root
        self._binds = binds
        self._keeps = keeps
        # A cgroup of its own: containers in a common one would see each other's systemd.
        self._name = f"postern-host-{secrets.token_hex(4)}"
        self._folder = pathlib.Path("/run", self._name)
        self._folder.mkdir(mode=0o700)
        self._cgroup = _cgroup_root() / self._name
        self._nspawn = None
        self._pid1 = None

    def __enter__(self):
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_):
        self._end()

    def _boot(self):
        self._cgroup.mkdir()
        command = ["systemd-nspawn", "-q", "-D", str(self._root), "--boot", "--register=no",
                   "--keep-unit", f"--machine={self._name}", "--private-network",
                   "--volatile=overlay"]
        command += [f"--bind-ro={here}:{inside}" for here, inside in self._binds]
        command += [f"--bind={here}:{inside}" for here, inside in self._keeps]
        with open(self._folder / "console", "wb") as console:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                start_new_session=True,
                preexec_fn=lambda: (self._cgroup / "cgroup.procs").write_text("0"))
        self._pid1 = self._wait(self._find_pid1, "a systemd inside")
        self._wait(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip()
                   in ("running", "degraded"), "is-system-running: running")
        failed = self.failed_units()
        assert not failed, f"the host booted, but units have failed:\n{failed}"

    def _wait(self, condition, what):
        def alive():
            assert self._nspawn.poll() is None, f"systemd-nspawn ended:\n{self.console()}"
            return condition()
        try:
            return wait_until(alive, 60, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.console()}") from None

    def _find_pid1(self):
        for task in pathlib.Path(f"/proc/{self._nspawn.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for child in (task / "children").read_text().split():
                    if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                        return int(child)
        return None

    def _end(self):
        if self._pid1 is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid1, signal.SIGRTMIN + 4)  # power off
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(20)
        if self._cgroup.exists():
            (self._cgroup / "cgroup.kill").write_text("1")
            # Zombies do not count here, unlike for kill(pid, 0).
            wait_until(lambda: "populated 0" in (self._cgroup / "cgroup.events").read_text(), 20,
                       "an empty cgroup")
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                os.rmdir(folder)
        if self._nspawn is not None:
            self._nspawn.wait(10)
        shutil.rmtree(self._folder)

    # ---- Inside ----

    def console(self):
        return (self._folder / "console").read_text(errors="replace")

    def run(self, *command, user=None, check=True, timeout=60 * BUSY):
        """Runs a command inside, as a user if one is named; text in, text out, exact exit code."""
        done = subprocess.run(self._words(user, command), capture_output=True, timeout=timeout,
                              check=False, **self._surroundings())
        if check and done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}:\n"
                                 f"{done.stdout}{done.stderr}\n{self.journal()}")
        return done

    def spawn(self, *command, user=None):
        """Starts a command inside: the subprocess.Popen, to be communicated with."""
        return subprocess.Popen(self._words(user, command), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **self._surroundings())

    def _words(self, user, command):
        words = ["nsenter", "-t", str(self._pid1), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        if user is not None:
            words += ["runuser", "-u", user, "--"]
        return [*words, *command]

    @staticmethod
    def _surroundings():
        return {"stdin": subprocess.DEVNULL, "text": True, "cwd": "/", "umask": 0o022,
                "env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
                        "DEBIAN_FRONTEND": "noninteractive"}}

    def write(self, path, text, mode=0o644):
        """Writes a file inside, owned by root."""
        subprocess.run(["nsenter", "-t", str(self._pid1), "-m", "--", "sh", "-c",
                        f'cat >"$0" && chmod {mode:o} "$0"', path],
                       input=text.encode(), check=True)

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def outer_pid(self, inner):
        """The number outside of a process that has this number inside."""
        for listing in self._cgroup.rglob("cgroup.procs"):
            for pid in listing.read_text().split():
                with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii") as lines:
                    numbers = next(line.split()[1:] for line in lines if line.startswith("NSpid:"))
                    if len(numbers) > 1 and int(numbers[-1]) == inner:
                        return int(pid)
        raise AssertionError(f"no process {inner} inside")

    @staticmethod
    def kill_outside(pid):
        """SIGKILL to a process, by its number outside; returns when it is gone."""
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, f"process {pid} is gone")

    def property(self, unit, name):
        """One property of a unit, as systemctl show prints it."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def failed_units(self):
        return self.run("systemctl", "--failed", "--no-legend", "--plain").stdout.strip()

    def journal(self):
        """The end of the journal, for messages about failures."""
        return self.run("journalctl", "--no-pager", "-n", "40", check=False).stdout
