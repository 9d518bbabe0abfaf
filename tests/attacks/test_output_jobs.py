"""Jobs that do with their streams whatever they like: nothing is lost or doubled, and nobody else waits."""

import struct
import subprocess

import pytest

import cgroup
import harness
from actions import script
from counted import Client, python
from posternctl import command

OTHER = "games"  # a user that every Debian has
USERS = ["root", OTHER]

# Each by a shell, in the order in which it is to come.
BY_NAME = r"""
echo one; echo two >/dev/stdout; echo three >>/dev/stdout; echo four >/proc/self/fd/1
echo e1 >&2; echo e2 >/dev/stderr; echo e3 >>/dev/stderr; echo e4 >/dev/fd/2
(exec 3>/dev/stdout; echo five >&3; exec 3>&-; echo six)
echo seven | tee /dev/stdout; echo eight | tee -a /dev/stderr
printf 'of a file\n' | cp /dev/stdin /dev/stdout
for flag in append nonblock direct sync; do
    echo "dd $flag" | dd of=/dev/stdout oflag=$flag status=none
done
echo excl | dd of=/dev/stderr conv=notrunc,fsync status=none 2>/dev/null
echo sparse | dd of=/dev/stdout seek=0 status=none
sh -c 'echo of a child >/dev/stdout; exec >/dev/stderr; echo turned'
exec 1>&-; echo nowhere 2>/dev/null; exec 1>&2; echo to the other
exit 5
"""
READ_AND_WRITE = "echo one; echo two 1<>/dev/stdout; echo three; echo four 2<>/dev/stderr >&2; exit 6"

FLAGS = """
for name in ("/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"):
    for flags in (0, os.O_TRUNC, os.O_APPEND, os.O_NONBLOCK, os.O_SYNC, os.O_TRUNC | os.O_CREAT):
        again = os.open(name, os.O_WRONLY | flags, 0o600)
        count(again, at + 5000, at, most=3000)
        at += 5000
        os.close(again)
"""
CTYPES = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
class Span(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
def vmsplice(fd, data):
    whole = ctypes.create_string_buffer(data, len(data))
    done = 0
    while done < len(data):
        span = Span(ctypes.addressof(whole) + done, len(data) - done)
        got = libc.vmsplice(fd, ctypes.byref(span), ctypes.c_ulong(1), 0)
        if got < 0: sys.exit("vmsplice")
        done += got
    while left(fd): time.sleep(0.001)  # its pages are in the pipe, and must not change
def left(fd):
    number = ctypes.c_int()
    libc.ioctl(fd, 0x541B, ctypes.byref(number))
    return number.value
"""
KINDS = {
    "floods both at once": ("both(3_000_000); sys.exit(7)", 3_000_000, 3_000_000),
    "closes one": ("os.close(1); count(2, 300_000); sys.exit(7)", 0, 300_000),
    "closes the other while it writes": (
        "thread = threading.Thread(target=count, args=(1, 500_000)); thread.start()\n"
        "count(2, 100_000); os.close(2); thread.join(); os._exit(7)", 500_000, 100_000),
    "opens by name": ("at = 0" + FLAGS + "sys.exit(7)", 90_000, 0),
    "sets O_NONBLOCK": ("os.set_blocking(1, False); both(1_000_000); sys.exit(7)", 1_000_000, 1_000_000),
    "sets O_DIRECT": (
        "fcntl.fcntl(1, fcntl.F_SETFL, os.O_DIRECT); count(1, 300_000, most=5000); sys.exit(7)", 300_000, 0),
    "of one page": ("fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096); both(400_000); sys.exit(7)",
                    400_000, 400_000),
    "of a mebibyte": (
        "fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20); both(3_000_000, most=1_000_000); sys.exit(7)",
        3_000_000, 3_000_000),
    "changes sizes": (
        "thread = threading.Thread(target=count, args=(1, 2_000_000)); thread.start()\n"
        "while thread.is_alive():\n"
        "    for size in (4096, 1 << 20, 65536):\n"
        "        try: fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, size)\n"
        "        except OSError: pass\n"
        "sys.exit(7)", 2_000_000, 0),
    "vmsplice": (CTYPES + "vmsplice(1, numbered(0, 300_000)); count(1, 400_000, 300_000); sys.exit(7)",
                 400_000, 0),
    "splice and tee": (CTYPES + """
read, write = os.pipe()
for at in range(0, 400_000, 40_000):
    put(write, numbered(at, 40_000))
    done = 0
    while done < 40_000:
        if at % 80_000:
            done += os.splice(read, 1, 40_000 - done)
        else:
            got = libc.tee(read, 1, 40_000 - done, 0)
            os.read(read, got)
            done += got
sys.exit(7)""", 400_000, 0),
    "sendfile": ("""
file = os.memfd_create("x")
put(file, numbered(0, 500_000))
at = 0
while at < 500_000: at += os.sendfile(1, file, at, 500_000 - at)
sys.exit(7)""", 500_000, 0),
}


@pytest.fixture(scope="module", name="guard")
def running_guard():
    if not harness.IS_ROOT:
        pytest.skip("needs root: jobs of several users")
    actions = {}
    for user in USERS:
        actions |= {f"k{number}-{user}": python(text, user=user)
                    for number, (text, _, _) in enumerate(KINDS.values())}
        actions[f"names-{user}"] = script(BY_NAME, user=user)
    actions["read-and-write-root"] = script(READ_AND_WRITE)
    actions["read-and-write-" + OTHER] = script(READ_AND_WRITE, user=OTHER)
    actions["hello"] = script("echo hello")
    with harness.reachable_programs(), harness.Guard(actions) as guard:
        yield guard
        assert "postern-output" not in guard.stderr()  # it was never ended, and never wrong


def ctl(guard, action):
    done = subprocess.run(command(guard.socket_path, "run", action), capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=60)
    return done.returncode, done.stdout, done.stderr


def piped(text):
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, cwd="/", check=False,
                          stdin=subprocess.DEVNULL, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("number, name", enumerate(KINDS), ids=KINDS)
def test_every_byte_comes_once(guard, number, name, user):
    _, out, err = KINDS[name]
    with Client(guard, "run", f"k{number}-{user}") as client:
        assert client.end() == (7, out, err, "")


@pytest.mark.parametrize("user", USERS)
def test_a_shell_that_opens_them_by_name(guard, user):
    expected = piped(BY_NAME)
    assert expected[0] == 5 and expected[1].count(b"\n") == 15
    assert ctl(guard, f"names-{user}") == expected


def test_opened_to_read_and_write(guard):
    assert ctl(guard, "read-and-write-root") == piped(READ_AND_WRITE)
    # Who is not root may not read what others wrote; the rest of his comes all the same.
    code, out, err = ctl(guard, "read-and-write-" + OTHER)
    assert (code, out) == (6, b"one\nthree\n")
    assert err.count(b"ermission denied") == 2


# Detached twice, in a session of its own, and deaf to SIGTERM; notes how much it has written so far.
DAEMON = """
def daemon(work):
    if os.fork(): return
    os.setsid()
    if os.fork(): os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    at = 0
    note = os.open(NOTE, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        while True:
            put(1, numbered(at, 4000))
            at += 4000
            os.pwrite(note, b"%20d" % at, 0)
            work(at)
    except BrokenPipeError:
        os.rename(NOTE, NOTE + ".end")
        os._exit(0)
"""


def test_a_daemon_of_the_job_s_own_is_a_part_of_it(start_guard, folder):
    """It writes until the daemon ends it, and all of that is kept."""
    note = str(folder / "note")
    guard = start_guard({"leaves": python(
        f"NOTE = {note!r}{DAEMON}\ndaemon(lambda at: time.sleep(0.0005))\ntill(NOTE)\nsys.exit(7)")},
        options=["--limit", "killGrace=1s"])
    with Client(guard, "run", "leaves") as client:
        code, out, err, more = client.end()
        assert (code, err, more) == (
            7, 0, "posternctl: leaves: 1 background process was ended with the job\n")
        noted = int((folder / "note").read_text())
        assert out % 4000 == 0 and noted <= out <= noted + 4000 and noted > 4000


@pytest.mark.needs_root
def test_a_daemon_that_outlives_it_is_no_part_of_it(start_guard, folder):
    """In a cgroup that is not the job's, it goes on writing as fast as it can. The job ends with what
    there was at that moment; the daemon gets SIGPIPE; and the next job has nothing of it."""
    note = str(folder / "note")
    outside = cgroup.Cgroup("outside-" + folder.name)
    if outside.path is None:
        pytest.skip("no cgroup can be had")
    away = f"open({str(outside.path)!r} + '/cgroup.procs', 'w').write('0')\n"
    guard = start_guard({"leaves": python(
        f"NOTE = {note!r}{DAEMON}\ndef go():\n    {away}\n    daemon(lambda at: None)\n    os._exit(0)\n"
        "if os.fork() == 0: go()\nos.wait()\ntill(NOTE)\nsys.exit(7)"),
        "counts": python("both(200_000)")})
    try:
        for _ in range(3):
            with Client(guard, "run", "leaves") as client:
                code, out, err, more = client.end()
                assert (code, err, more) == (7, 0, "") and out > 0
            harness.wait_until(lambda: (folder / "note.end").exists(), what="it has got SIGPIPE")
            assert int((folder / "note.end").read_text()) + 4000 >= out
            (folder / "note.end").unlink()
            with Client(guard, "run", "counts") as client:
                assert client.end() == (0, 200_000, 200_000, "")
    finally:
        outside.kill_and_remove()


@pytest.mark.needs_root
def test_a_job_that_reads_its_own_output(start_guard):
    """What it takes is not there for anybody else; what it leaves is, once and in its order."""
    guard = start_guard({"steals": python("""
stolen = 0
def steal():
    global stolen
    mine = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
    while not done:
        try: stolen += len(os.read(mine, 4096))
        except BlockingIOError: pass
done = False
thief = threading.Thread(target=steal)
thief.start()
for at in range(0, 2_000_000, 4000): put(1, numbered(at, 4000))
done = True
thief.join()
print(stolen, file=sys.stderr)
sys.exit(7)"""), "counts": python("both(200_000)")})
    for _ in range(3):
        done = guard.ctl("run", "steals", text=False)
        assert done.returncode == 7
        numbers = struct.unpack(f"<{len(done.stdout) // 8}Q", done.stdout)
        assert all(b > a and a % 8 == 0 for a, b in zip(numbers, numbers[1:]))
        assert len(done.stdout) + int(done.stderr) == 2_000_000
        with Client(guard, "run", "counts") as client:
            assert client.end() == (0, 200_000, 200_000, "")


def test_a_job_that_holds_the_lock_of_its_pipe_keeps_nobody_else_waiting(start_guard, folder):
    """splice(2) into a pipe from a socket that nothing comes out of has the pipe's lock all the while
    (Linux 6.18): whoever else would move what is in there waits, and no signal ends that wait."""
    guard = start_guard({"locks": python("""
ours, theirs = socket.socketpair()
def feed():
    for _ in range(200):
        time.sleep(0.001)
        theirs.send(b"x" * 8)
threading.Thread(target=feed).start()
open(NOTE, "w").close()
while True:
    os.write(1, b"y" * 8)
    os.splice(ours.fileno(), 1, 4096)
""".replace("NOTE", repr(str(folder / "note"))), timeout="8s"), "counts": python("both(200_000)")})
    with Client(guard, "run", "locks") as locks:
        harness.wait_until(lambda: (folder / "note").exists(), what="it runs")
        for _ in range(5):
            with Client(guard, "run", "counts") as client:
                assert client.end(harness.PATIENCE) == (0, 200_000, 200_000, "")
                assert locks.process.poll() is None, "others had to wait until it was ended"
