"""The real guard, started for a test in a private folder, and checked when it stops.

    def test_ping(start_guard):
        guard = start_guard({"hello": HELLO})
        with guard.connect(as_=ALICE) as client:
            assert client.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}

The programs are those of $POSTERN_BIN, else of build/release/bin.
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import cgroup
import identity as identities
import wire

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("posternd", "postern-session", "postern-launcher", "postern-dropper", "postern-output",
            "posternctl")
IS_ROOT = os.geteuid() == 0
# A system user that every Debian has; its processes here are nothing but sessions.
SESSION_USER = "daemon"
# What a sanitizer writes when it has found something.
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:"
                       r"|SUMMARY: \w+Sanitizer")

# How long a condition may take that holds as soon as the programs have got on: far more than they need
# on a busy machine, and less than the 30 s after which an idle session leaves, so that what should
# have come about by itself is not taken for done when it came about by that.
PATIENCE = 25

_programs = pathlib.Path(os.environ.get("POSTERN_BIN", REPOSITORY / "build/release/bin"))


def program(name):
    """The path of a program under test."""
    return str(_programs / name)


def wait_until(condition, seconds=PATIENCE, what="the condition"):
    """Polls until `condition()` is true and returns its value; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not hold within {seconds} s"
        time.sleep(0.01)
    return value


def time_of(entry):
    """When the guard made this audit entry, on the clock of time.time()."""
    return datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00")).timestamp()


@contextlib.contextmanager
def private_folder():
    """A fresh folder (0755) that no other user can write, nor any folder above it, but for /tmp."""
    base = "/run" if IS_ROOT else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    path = pathlib.Path(tempfile.mkdtemp(prefix="postern-test-", dir=base))
    path.chmod(0o755)
    try:
        yield path
    finally:
        remove_folder(path)


def remove_folder(path):
    """Removes it with all that is in it; a guard that still runs binds its socket there again, once."""
    def is_gone():
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
        return not path.exists()
    wait_until(is_gone, what=f"{path} is removed")


@contextlib.contextmanager
def in_memory():
    """A fresh folder (0700) on a tmpfs."""
    with tempfile.TemporaryDirectory(prefix="postern-test-", dir="/dev/shm") as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def reachable_programs():
    """Sees to it that other users can start the programs: copies them where they can't."""
    global _programs
    assert (_programs / "posternd").exists(), (
        f"no programs in {_programs}: run ./dev build, or set POSTERN_BIN")
    _programs = _programs.resolve()
    if not IS_ROOT or all(p.stat().st_mode & 0o001 for p in (_programs, *_programs.parents)):
        yield _programs
        return
    with private_folder() as folder:
        (folder / "tests").mkdir()
        for file in [*_programs.iterdir(), *_programs.glob("tests/*")]:
            if file.is_file() and os.access(file, os.X_OK):
                shutil.copy2(file, folder / file.relative_to(_programs))
        _programs = folder
        yield folder


class Guard:
    """One posternd.

    actions: name -> action file, as a dict (written as JSON) or as text.
    options: further command-line options, after ours.
    as_: the Identity it runs as (default: ourselves).
    socket_mode: default 0666, so that every test user may connect; None leaves it to the guard.
    env: variables on top of a small clean environment.
    under: words before the command line, e.g. ("strace", "-f", "-o", FILE).
    datagrams: whether it has a datagram socket too, at `datagram_path`.
    audit_file, state_folder: elsewhere than in the guard's own private folder.
    runtime: whether it has a directory in memory for its records, `runtime_folder`.
    """

    def __init__(self, actions=None, *, options=(), as_=None, socket_mode="0666", env=None,
                 session_user=SESSION_USER, under=(), audit_file=None, state_folder=None,
                 datagrams=False, runtime=True):
        self._stack = contextlib.ExitStack()
        self.folder = self._stack.enter_context(private_folder())
        self._as = as_
        self.actions_folder = self.folder / "actions"
        self.state_folder = state_folder or self.folder / "state"
        self.socket_path = self.folder / "postern.sock"
        self.datagram_path = self.folder / "postern.dgram"
        self._datagrams = datagrams
        self.audit_file = audit_file or self.folder / "audit.jsonl"
        self.stderr_file = self.folder / "stderr"
        self.process = None
        self._options = list(options)
        self._under = list(under)
        self._session_user = session_user
        self._socket_mode = socket_mode
        self._env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **(env or {})}
        self.runtime_folder = self._stack.enter_context(in_memory()) if runtime else None
        if runtime:
            self._env["RUNTIME_DIRECTORY"] = str(self.runtime_folder)
        for name, value in os.environ.items():
            if name.endswith("SAN_OPTIONS"):
                self._env.setdefault(name, value)
        if self._under:
            # The search for leaks traces the process, which a tracer has already.
            self._env.setdefault("ASAN_OPTIONS", "detect_leaks=0")
        self._notify = None
        self.actions_folder.mkdir(mode=0o755)
        if as_ is not None and IS_ROOT:
            os.chown(self.folder, as_.uid, as_.gid)
            if runtime:
                os.chown(self.runtime_folder, as_.uid, as_.gid)
        for name, content in (actions or {}).items():
            self.write_action(name, content)
        self._cgroup = cgroup.Cgroup(self.folder.name)
        self._stack.callback(self._cgroup.kill_and_remove)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.close(check=kind is None)

    # ---- Starting and stopping ----

    def command(self):
        argv = [*self._under, program("posternd"),
                "--socket", str(self.socket_path),
                "--actions", str(self.actions_folder),
                "--state", str(self.state_folder),
                "--audit", str(self.audit_file),
                "--jobs", "direct"]
        if self._datagrams:
            argv += ["--datagram", str(self.datagram_path)]
        if self._socket_mode is not None:
            argv += ["--socket-mode", self._socket_mode]
        if IS_ROOT and (self._as is None or self._as.uid == 0) and self._session_user:
            argv += ["--session-user", self._session_user]
        return argv + self._options

    def launch(self):
        """Starts the process and does not wait for it to be ready."""
        notify = str(self.folder / "notify.sock")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify)
        self._notify.bind(notify)
        os.chmod(notify, 0o777)

        def become():
            self._cgroup.enter()
            if self._as is not None:
                self._as.take()

        with open(self.stderr_file, "ab") as stderr:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, cwd="/",
                env={**self._env, "NOTIFY_SOCKET": notify}, preexec_fn=become,
                start_new_session=True)
        return self

    def start(self):
        """Starts the guard and returns when it is ready."""
        try:
            self.launch()
            self._wait_notified("READY=1", 30)
        except BaseException:
            self.close(check=False)
            raise
        return self

    def _wait_notified(self, word, seconds):
        """Waits for a message to the service manager; the guard must not end before."""
        end = time.monotonic() + seconds
        self._notify.settimeout(0.05)
        while time.monotonic() < end:
            try:
                if word in self._notify.recv(4096).decode().split("\n"):
                    return
            except TimeoutError:
                assert self.process.poll() is None, (
                    f"the guard ended with {self.process.returncode} before {word}:\n"
                    f"{self.stderr()}")
        raise AssertionError(f"no {word} within {seconds} s:\n{self.stderr()}")

    def wait_status(self, is_right, seconds=PATIENCE):
        """Waits until the service manager was told a STATUS= of which this is true; returns it."""
        end = time.monotonic() + seconds
        self._notify.settimeout(0.05)
        told = None
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                for line in self._notify.recv(4096).decode().split("\n"):
                    name, _, text = line.partition("=")
                    told = text if name == "STATUS" else told
                    if name == "STATUS" and is_right(text):
                        return text
        raise AssertionError(f"the last status is {told!r}:\n{self.stderr()}")

    def reload(self):
        """SIGHUP; returns when the new action files are in force."""
        self._notify.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while self._notify.recv(4096):
                pass
        self.process.send_signal(signal.SIGHUP)
        self._wait_notified("READY=1", 30)

    def kill(self):
        """kill -9 of the guard alone: what it had started is left as it is."""
        self.process.kill()
        self.process.wait(60)

    def wait(self, seconds=60):
        """Waits for the end and returns the exit code."""
        return self.process.wait(seconds)

    def restart(self):
        """Starts it again after kill() or stop(), on the same folder."""
        self._notify.close()
        return self.start()

    def stop(self, expect=0):
        """SIGTERM, and everything that a clean end means."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the guard did not stop on SIGTERM:\n{self.stderr()}") from None
        assert code == expect, f"the guard ended with {code}:\n{self.stderr()}"
        assert self._cgroup.wait_empty(), (
            f"the guard left processes behind: {self._cgroup.processes()}\n{self.stderr()}")
        assert not self.socket_path.exists(), "the guard left its socket behind"
        assert not self.datagram_path.exists(), "the guard left its datagram socket behind"

    def close(self, check=True):
        """Stops it if it runs, and removes everything. `check`: whatever is amiss fails."""
        try:
            if self.process is not None and self.process.poll() is None and check:
                self.stop()
            if check:
                report = SANITIZER.search(self.stderr())
                assert not report, f"a sanitizer reports:\n{self.stderr()}"
        finally:
            if self.process is not None and self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
            if self._notify is not None:
                self._notify.close()
            self._stack.close()

    # ---- What it was given, and what it wrote ----

    @property
    def pid(self):
        return self.process.pid

    @property
    def cgroup_path(self):
        """The cgroup the guard was started in, or None."""
        return self._cgroup.path

    def write_action(self, name, content):
        """Writes NAME.json whole (renamed into place), owned by whom the guard runs as."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2)
        path = self.actions_folder / f"{name}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        if self._as is not None and IS_ROOT:
            os.chown(fresh, self._as.uid, self._as.gid)
        fresh.rename(path)
        return path

    def remove_action(self, name):
        (self.actions_folder / f"{name}.json").unlink()

    def stderr(self):
        if not self.stderr_file.exists():
            return ""
        return self.stderr_file.read_text(encoding="utf-8", errors="replace")

    def doing(self):
        """What it is at, in one line: for the message of a test that has waited in vain."""
        threads = []
        for task in sorted(pathlib.Path(f"/proc/{self.pid}/task").iterdir()):
            with contextlib.suppress(OSError):
                state = (task / "stat").read_text().rpartition(")")[2].split()[0]
                threads.append(f"{task.name} {state} {(task / 'wchan').read_text()} "
                               f"{(task / 'syscall').read_text().split()[0]}")
        return f"threads: {threads}; audit: {self.audit()[-5:]}; it said: {self.stderr()[-1000:]!r}"

    def audit(self):
        """All audit entries so far, in order."""
        if not self.audit_file.exists():
            return []
        lines = self.audit_file.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]  # what follows the last newline is not all there

    def wait_audit(self, seconds=PATIENCE, count=1, **fields):
        """Waits for `count` entries in which all these fields have these values; returns them."""

        def matching():
            entries = [e for e in self.audit() if all(e.get(k) == v for k, v in fields.items())]
            return entries if len(entries) >= count else None

        try:
            return wait_until(matching, seconds)
        except AssertionError:
            raise AssertionError(f"no {count} audit entries with {fields} in {self.audit()}") from None

    # ---- Callers ----

    def connect(self, as_=None, **kwargs):
        """A wire.WireClient, connected as another user if `as_` is given."""
        return wire.WireClient(self.socket_path, as_=as_, **kwargs)

    def ctl(self, *arguments, as_=None, **kwargs):
        """Runs posternctl; kwargs as of identity.run_as."""
        kwargs.setdefault("env", {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
        kwargs["env"]["POSTERN_SOCKET"] = str(self.socket_path)
        return identities.run_as(as_, [program("posternctl"), *arguments], **kwargs)
