"""Whoever keeps what jobs write, or passes it on, is killed, stopped or made slow: nothing is lost or
doubled."""

import contextlib
import os
import pathlib
import random
import signal

import pytest

import harness
from counted import Client, keeper_pid, numbered, python
from jobs import record
from processes import sessions, stopped, traced

pytestmark = pytest.mark.needs_root

SIZE = 1_200_000
LITTLE = 1_400_000
# What postern-output calls while it works; its start is swept in test_output_keeper.py.
KEEPER_CALLS = ("epoll_wait", "recvmsg", "sendto", "sendmsg", "splice", "fallocate", "lseek", "fcntl", "ioctl",
                "close", "pipe2", "fchmod")
SESSION_CALLS = ("epoll_wait", "recvmsg", "sendto", "pread64", "lseek", "close", "epoll_ctl")

ACTIONS = {
    "flows": python(f"both({SIZE}); sys.exit(7)"),
    # Less is kept than the window, so that the front has to be freed.
    "little": python(f"both({LITTLE}, most=20_000); sys.exit(7)", storedOutput="4KiB"),
    "in-two": python("count(1, 100_000); open(sys.argv[1], 'w').write(str(os.getpid()))\n"
                     "till(sys.argv[1] + '.go'); count(1, 2_000_000, 100_000); sys.exit(7)"),
    "hello": python("both(8)"),
}


def with_note(path):
    """The action that notes its process there."""
    action = dict(ACTIONS["in-two"])
    action["exec"] = [*action["exec"], str(path)]
    return action


@pytest.fixture(scope="module", name="guard")
def running_guard():
    with harness.reachable_programs(), harness.Guard(ACTIONS) as guard:
        yield guard


def detach(guard, action):
    """Starts a job that nobody follows; its id."""
    with guard.connect() as client:
        client.send_call("Run", {"action": action}, more=True)
        return client.read_reply()["parameters"]["job"]


def check_kept(guard, job, size):
    """The whole of both files of a job, once it has ended; how much is missing of neither."""
    ended(guard, job)
    folder = guard.state_folder / "jobs" / job
    for name in ("stdout", "stderr"):
        data = (folder / name).read_bytes()
        assert len(data) == size and data == numbered(0, size), name


def ended(guard, job):
    harness.wait_until(lambda: record(guard, job)["state"] == "ended", what="the job has ended")
    assert record(guard, job)["result"]["status"] == 7


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def injected(call, ordinal, when):
    delay = "" if when == "before" else ":delay_exit=1"
    # So slow that there is something left in the pipe when the job ends: it then asks how much.
    slow = ("-e", "inject=splice:delay_enter=5ms") if call == "ioctl" else ()
    return ("-e", f"trace={call},splice", "-e", f"inject={call}:signal=SIGKILL:when={ordinal}{delay}", *slow)


def keeper_killed_at(guard, call, ordinal, when):
    """A job that is followed and one that is not, both with their pipes. Whether it was killed."""
    keeper = keeper_pid(guard)
    with traced(keeper, *injected(call, ordinal, when)):
        job = detach(guard, "flows")
        for _ in range(9 if call in ("pipe2", "fchmod", "sendmsg") else 0):  # until more are wanted
            detach(guard, "hello")
        with Client(guard, "run", "little") as client:
            assert client.end() == (7, LITTLE, LITTLE, ""), (call, ordinal, when)
        ended(guard, job)
        killed = not is_alive(keeper)
    check_kept(guard, job, SIZE)
    return killed


@pytest.mark.parametrize("call", KEEPER_CALLS)
def test_postern_output_is_killed_at_a_call(guard, call):
    assert any([keeper_killed_at(guard, call, ordinal, when)
                for ordinal, when in ((1, "before"), (2, "after"))])
    assert keeper_pid(guard)


@pytest.mark.long
@pytest.mark.parametrize("call", KEEPER_CALLS)
def test_postern_output_is_killed_at_each_call(guard, call):
    for ordinal in range(1, 60):
        if not any([keeper_killed_at(guard, call, ordinal, when) for when in ("before", "after")]):
            break
    assert ordinal > 1


def session_killed_at(guard, call, ordinal, when):
    """The session of one that follows. Whether it was killed."""
    guard.ctl("ping")
    [session] = harness.wait_until(lambda: sessions(guard), what="a session")
    with traced(session, *injected(call, ordinal, when)):
        with Client(guard, "run", "little") as client:
            assert client.end() == (7, LITTLE, LITTLE, ""), (call, ordinal, when)
        return not is_alive(session)


@pytest.mark.parametrize("call", SESSION_CALLS)
def test_a_session_is_killed_at_a_call(guard, call):
    assert any([session_killed_at(guard, call, ordinal, when)
                for ordinal, when in ((1, "before"), (2, "after"), (5, "before"))])


@pytest.mark.long
@pytest.mark.parametrize("call", SESSION_CALLS)
def test_a_session_is_killed_at_each_call(guard, call):
    for ordinal in range(1, 100):
        if not any([session_killed_at(guard, call, ordinal, when) for when in ("before", "after")]):
            break
    assert ordinal > 1


def test_both_are_killed_at_random(guard):
    """Seen in which order and how often does not matter: what comes is compared."""
    draw = random.Random(11)
    job = detach(guard, "flows")
    with Client(guard, "run", "flows") as client:
        for _ in range(8):
            client.out.wait_size(min(SIZE - 1, client.out.size + draw.randint(1, 150_000)))
            for pid in draw.choice([[keeper_pid(guard)], sessions(guard)[-1:],
                                    [keeper_pid(guard), *sessions(guard)]]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert client.end() == (7, SIZE, SIZE, "")
    check_kept(guard, job, SIZE)


def noted(path):
    return harness.wait_until(lambda: path.exists() and path.read_text(), what="the job is that far")


@pytest.mark.parametrize("killed", [False, True], ids=["goes-on", "is-killed"])
def test_postern_output_is_stopped_for_a_while(start_guard, folder, killed):
    """Jobs wait with a full pipe, and nothing is lost; nor if it is then killed."""
    note = folder / "note"
    guard = start_guard({**ACTIONS, "in-two": with_note(note)})
    keeper = keeper_pid(guard)
    with Client(guard, "run", "in-two") as client:
        wait_channel = pathlib.Path(f"/proc/{noted(note)}/wchan")
        client.out.wait_size(100_000)
        with stopped(keeper):
            (folder / "note.go").touch()
            harness.wait_until(lambda: "pipe_write" in wait_channel.read_text(), what="it is held back")
            # Everything else is answered meanwhile.
            assert guard.ctl("ping").returncode == 0
            if killed:
                os.kill(keeper, signal.SIGKILL)
                harness.wait_until(lambda: not is_alive(keeper), what="it is gone")
        assert client.end() == (7, 2_000_000, 0, "")
    assert (keeper_pid(guard) == keeper) != killed


@pytest.mark.parametrize("call", ["splice", "epoll_wait", "recvmsg"])
def test_postern_output_is_slow(guard, call):
    with traced(keeper_pid(guard), "-e", f"trace={call}", "-e", f"inject={call}:delay_exit=10ms"):
        job = detach(guard, "little")
        with Client(guard, "run", "little") as client:
            assert client.end() == (7, LITTLE, LITTLE, "")
        ended(guard, job)
    with Client(guard, "run", "hello") as client:
        assert client.end() == (0, 8, 8, "")


def test_a_system_call_of_its_fails(guard):
    """Now and then, as calls do that are interrupted, or find no memory."""
    for call, error in (("splice", "EINTR"), ("splice", "EAGAIN"), ("epoll_wait", "EINTR"),
                        ("recvmsg", "EINTR"), ("sendmsg", "EINTR"), ("fallocate", "EINTR"),
                        ("splice", "ENOMEM"), ("splice", "EIO")):
        with traced(keeper_pid(guard), "-e", f"trace={call}", "-e",
                    f"inject={call}:error={error}:when=2+3"):
            with Client(guard, "run", "little") as client:
                assert client.end() == (7, LITTLE, LITTLE, ""), (call, error)


@pytest.mark.long
def test_a_gigabyte_while_postern_output_is_killed_again_and_again(start_guard):
    """Two streams of a job that is followed, and two of one that is not, of which the newest bytes stay."""
    size, kept = 256 << 20, 32 << 20
    guard = start_guard({"much": python(f"both({size}, most=1_000_000); sys.exit(7)", storedOutput=kept)},
                        options=["--limit", "storedOutputTotal=1GiB"])
    draw = random.Random(5)
    job = detach(guard, "much")
    kills = 0
    with Client(guard, "run", "much") as client:
        while client.out.size < size - (8 << 20):
            client.out.wait_size(client.out.size + draw.randint(1, 8 << 20))
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper_pid(guard), signal.SIGKILL)
                kills += 1
        assert client.end(300) == (7, size, size, "")
    assert kills > 20
    harness.wait_until(lambda: record(guard, job)["state"] == "ended", seconds=300, what="the other has ended")
    for name in ("stdout", "stderr"):
        with open(guard.state_folder / "jobs" / job / name, "rb") as file:
            front = check_kept_from(file, size)
            assert size - front >= kept


def check_kept_from(file, size):
    """Where what is stored begins; all from there on is right."""
    assert os.fstat(file.fileno()).st_size == size
    front = os.lseek(file.fileno(), 0, os.SEEK_DATA)
    for start in range(front, size, 1 << 20):
        length = min(1 << 20, size - start)
        assert os.pread(file.fileno(), length, start) == numbered(start, length), start
    return front
