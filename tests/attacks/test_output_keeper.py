"""postern-output: killed at each of its system calls, and jobs that do with their streams what they like."""

import errno
import fcntl
import itertools
import mmap
import os
import select
import signal
import threading

import pytest

import harness
import hung_fuse
import keeper as keepers
from keeper import Keeper, check_numbered, numbered

pytestmark = pytest.mark.needs_root

# Of both its start and its work, of its loop and its threads. The number: that often each is made at least
# (strace counts those of each thread alone).
CALLS = {"epoll_wait": 4, "epoll_ctl": 4, "recvmsg": 4, "sendto": 2, "sendmsg": 2, "newfstatat": 2, "fcntl": 4,
         "lseek": 2, "pipe2": 2, "fchmod": 2, "futex": 2, "close": 2, "splice": 1, "fallocate": 1, "ioctl": 1}
STRANGER = 64002


def write_numbered(pipe, length):
    """Writes so much from a thread, in pieces of all sizes; the thread."""
    def work():
        sizes = itertools.cycle((8, 4096, 65536, 24, 12_000))
        sent = 0
        while sent < length:
            piece = numbered(sent, min(next(sizes), length - sent))
            sent += os.write(pipe, piece)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def killed_at(folder, call, ordinal, when):
    """Two streams of one job, one kept whole and one with little kept, are moved by a keeper that is
    killed at this call (`when`: before it, or after it) and by the next one. Whether it was killed."""
    length = 600_000
    pipes = [os.pipe(), os.pipe()]
    delay = "" if when == "before" else ":delay_exit=1"
    strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
              f"inject={call}:signal=SIGKILL:when={ordinal}{delay}"]
    with keepers.files(folder, 2) as files:
        writers = [write_numbered(write, length) for _, write in pipes]

        def keep_both(keeper):
            keeper.say("hello", window=65536, stall=1_000_000)
            for stream, ((read, _), file) in enumerate(zip(pipes, files)):
                keeper.say("keep", read, file, stream=stream, stored=(1 << 30, 0)[stream])

        with Keeper(strace) as first:
            try:
                keep_both(first)
                while (first.hear() or (None,))[0] not in ("all_kept", None):
                    pass
                first.pipe()
                first.pipe()
                for writer in writers:
                    while writer.is_alive() and first.process.poll() is None:
                        writer.join(0.01)
                assert first.finish() == (length, length)
                killed = False
            except (ConnectionError, TypeError):  # the channel has ended
                killed = True
                assert first.process.wait(harness.PATIENCE) == -signal.SIGKILL
        with Keeper() as second:
            keep_both(second)
            assert second.hear()[0] == "all_kept"
            for writer in writers:
                writer.join(harness.PATIENCE)
                assert not writer.is_alive()
            assert second.finish() == (length, length), (call, ordinal, when)
        assert check_numbered(files[0], length) == length
        check_numbered(files[1], length)
    for ends in pipes:
        for end in ends:
            os.close(end)
    return killed


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_its_system_calls_nothing_is_lost_or_doubled(folder, call):
    assert killed_at(folder, call, 1, "before")
    assert killed_at(folder, call, CALLS[call], "after")


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_each_of_its_system_calls(folder, call):
    for ordinal in range(1, 60):
        killed = [killed_at(folder, call, ordinal, when) for when in ("before", "after")]
        assert all(killed) or ordinal > CALLS[call]
        if not any(killed):
            break


def as_stranger(write, work):
    """work(descriptor) in a process of another user whose standard output is this; its exit status,
    0 where the work has come to its end."""
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(write, 1)
            os.closerange(3, 65536)  # read ends are the keeper's alone
            os.setgroups([])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
            work(1)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001: it is to be seen, and nothing else is to run here
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    return pid


def stands_still(pid):
    """In a system call that nothing interrupts, or that only its end does."""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read().split()[0] == "1"  # write(2)


def ended(pid):
    """Its wait status, once it has ended."""
    [_, status] = harness.wait_until(lambda: (done := os.waitpid(pid, os.WNOHANG))[0] and done)
    return status


def test_a_job_opens_its_output_again_in_every_mode_and_nothing_is_cut(folder):
    texts = [f"line {number}\n".encode() for number in range(12)]

    def work(out):
        lines = iter(texts)
        os.write(out, next(lines))
        for path in ("/proc/self/fd/1", "/dev/stdout", "/dev/fd/1"):
            for flags in (0, os.O_TRUNC, os.O_APPEND):
                again = os.open(path, os.O_WRONLY | flags)
                os.write(again, next(lines))
                os.close(again)
        # It may write, and not read what others wrote.
        for flags in (os.O_RDONLY, os.O_RDWR):
            try:
                os.open("/proc/self/fd/1", flags)
            except PermissionError as error:
                assert error.errno == errno.EACCES
            else:
                raise AssertionError("it can be read")
        # However the pipe is: of one page, of packets, not blocking.
        fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, 4096)
        os.write(out, next(lines))
        fcntl.fcntl(out, fcntl.F_SETFL, os.O_DIRECT | os.O_NONBLOCK)
        os.write(out, next(lines))

    with Keeper() as keeper, keepers.files(folder, 1) as [file]:
        keeper.greet()
        read, write = keeper.pipe()
        keeper.say("keep", read, file, stored=1 << 20)
        assert ended(as_stranger(write, work)) == 0
        expected = b"".join(texts)
        assert keeper.finish() == (len(expected), 0)
        assert os.pread(file, 1 << 20, 0) == expected


def test_floods_keep_no_stream_waiting(folder, request):
    floods = 30

    def flood(out):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, 1 << 20)
        block = b"x" * (1 << 20)
        while True:
            os.write(out, block)

    with Keeper() as keeper, keepers.files(folder, floods + 2) as files:
        keeper.greet(window=65536)
        pipes = [keeper.pipe() for _ in files]
        for job, ((read, _), file) in enumerate(zip(pipes, files)):
            keeper.say("keep", read, file, job=job, stored=0, floor=0 if job == floods else keepers.NONE)
        flooders = [as_stranger(write, flood) for _, write in pipes[:floods]]
        request.addfinalizer(lambda: [os.kill(pid, signal.SIGKILL) for pid in flooders if pid])
        # A follower's stream is held back, and a quiet one is moved all the while.
        held = write_numbered(pipes[floods][1], 400_000)
        harness.wait_until(lambda: os.fstat(files[floods]).st_size == 65536)
        for line in range(50):
            os.write(pipes[floods + 1][1], b"quiet\n")
            harness.wait_until(lambda size=6 * (line + 1): os.fstat(files[floods + 1]).st_size == size)
        assert os.fstat(files[floods]).st_size == 65536
        keeper.say("watch", job=floods)
        held.join(harness.PATIENCE)
        assert keeper.finish(floods) == (400_000, 0)
        check_numbered(files[floods], 400_000)
        for job, flooder in enumerate(flooders):
            # Nobody ends them: what they have written so far is taken, and they get SIGPIPE.
            os.close(pipes[job][0])
            size, _ = keeper.finish(job)
            assert os.waitstatus_to_exitcode(ended(flooder)) == -signal.SIGPIPE
            flooders[job] = None
            assert os.fstat(files[job]).st_size == size
            # Little is kept of each, however much it was.
            assert os.fstat(files[job]).st_blocks * 512 <= 65536 + 65536 // 8 + 2 * 4096 + (1 << 18)


def test_whoever_still_writes_after_the_end_is_no_part_of_the_job(folder):
    """A daemon of the job's that outlives it: not waited for, and not kept."""
    with Keeper() as keeper, keepers.files(folder, 1) as [file]:
        keeper.greet()
        read, write = keeper.pipe()
        keeper.say("keep", read, file, stored=1 << 20)
        os.close(read)
        os.write(write, b"of the job\n")
        assert keeper.finish() == (11, 0)
        # The pipe is closed by a thread, which may come to it after that was said.
        closed = select.poll()
        closed.register(write, 0)
        assert closed.poll(harness.PATIENCE * 1000) == [(write, select.POLLERR)]
        with pytest.raises(BrokenPipeError):
            os.write(write, b"of its daemon\n")
        assert os.pread(file, 100, 0) == b"of the job\n"
        # Nor does it come to another job.
        read, other = keeper.pipe()
        keeper.say("keep", read, file, job=1, stored=1 << 20)
        with pytest.raises(BrokenPipeError):
            os.write(write, b"of its daemon\n")
        os.write(other, b"of another\n")
        assert keeper.finish(1) == (22, 0)


def test_who_holds_the_locks_of_his_pipes_stops_nobody_else(folder, tmp_path, request):
    """He writes out of a file that never answers: nothing can end what waits for that pipe."""
    if not hung_fuse.available():
        pytest.skip("needs /dev/fuse")
    request.addfinalizer(lambda: [os.kill(pid, signal.SIGKILL) for pid in writers])
    writers = []
    count = 6

    # What stands still ends with the mount: that comes last, and goes first.
    with Keeper() as keeper, keepers.files(folder, count + 1) as files, \
            hung_fuse.mounted(tmp_path / "mount", unread=True) as mount:
        keeper.greet()
        pipes = [keeper.pipe() for _ in files]
        for job, ((read, _), file) in enumerate(zip(pipes, files)):
            keeper.say("keep", read, file, job=job, owner=job // 2, stored=1 << 30)
        with open(tmp_path / "mount" / "file", "rb") as file:
            never = mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ)
        writers += [as_stranger(write, lambda out: os.write(out, never)) for _, write in pipes[:count]]
        harness.wait_until(lambda: all(stands_still(pid) for pid in writers))
        for job in range(count):
            keeper.say("finish", job=job)
        # Of its owner there are no others.
        write_numbered(pipes[count][1], 2_000_000).join(harness.PATIENCE)
        assert keeper.finish(count) == (2_000_000, 0)
        assert check_numbered(files[count], 2_000_000) == 2_000_000
        assert keeper.process.poll() is None
        mount.end()
        finished = {keeper.hear()[:3] for _ in range(count)}
        assert finished == {("finished", job, (0, 0)) for job in range(count)}
        while writers:
            ended(writers.pop())
