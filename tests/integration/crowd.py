"""Many clients at once, each user's in a process of its own."""

import contextlib
import json
import os
import signal
import time
import traceback

import wire


class Process:
    """Runs function(*arguments) as `identity` in a process of its own.

    join() returns what it returned (as JSON), or raises AssertionError with its traceback.
    """

    def __init__(self, identity, function, *arguments):
        self._result, child_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._result)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                identity.take()
                answer = {"value": function(*arguments)}
            except BaseException:  # whatever it is, the parent shall know
                answer = {"failure": traceback.format_exc()}
            with contextlib.suppress(BaseException):
                with open(child_end, "w", encoding="utf-8") as pipe:
                    json.dump(answer, pipe)
            os._exit(0)
        os.close(child_end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def join(self):
        with open(self._result, encoding="utf-8") as pipe:
            text = pipe.read()
        self._result = None
        self._reap()
        assert text, "the process of a client died"
        answer = json.loads(text)
        assert "failure" not in answer, answer["failure"]
        return answer["value"]

    def kill(self):
        """kill -9, if it still runs."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()
        if self._result is not None:
            os.close(self._result)
            self._result = None

    def _reap(self):
        os.waitpid(self.pid, 0)
        self.pid = 0


def together(*calls):
    """Runs each (identity, function, arguments...) in a process of its own; the results, in order."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(Process(*call)) for call in calls]
        return [process.join() for process in processes]


def timed(function, *arguments):
    """The seconds that it took, and what it returned."""
    began = time.monotonic()
    value = function(*arguments)
    return time.monotonic() - began, value


def keep_up(guard, quiet, *calls):
    """Runs each (identity, function, arguments...) as function(PATH OF THE SOCKET, arguments...) on both
    guards at once, and returns the results of the first. On that one something is going on, on the
    other nothing; it must not take much longer there.

    How fast the machine is, and what else it has to do, is the same for both.
    """
    results = together(*((identity, timed, function, str(which.socket_path), *arguments)
                         for which in (guard, quiet) for identity, function, *arguments in calls))
    for (busy, value), (idle, expected) in zip(results, results[len(calls):]):
        assert value == expected
        assert busy < 10 * idle + 2, f"{busy:.2f} s, and {idle:.2f} s where nothing is going on"
    return [value for _, value in results[:len(calls)]]


def pings(path, count, text="x"):
    """One connection, one Ping after the other; every reply must be exact."""
    with wire.WireClient(path) as client:
        for number in range(count):
            reply = client.call("Ping", {"ping": f"{text}{number}"})
            assert reply == {"parameters": {"pong": f"{text}{number}"}}, reply
    return count


def flood(path, connections, methods):
    """Calls on all connections for as long as the other side takes it, and reads nothing; for ever."""
    parameters = {"Ping": {"ping": "f" * 1000}, "Check": {"action": "nowhere"}}
    calls = [wire.message(method, parameters.get(method, {}), b"\0") for method in methods]
    junk = (b"".join(calls) + b"no message at all\n") * 50
    clients = [None] * connections
    while True:
        for number, client in enumerate(clients):
            try:
                if client is None:
                    client = clients[number] = wire.WireClient(path)
                    client.socket.setblocking(False)
                client.socket.send(junk)
            except BlockingIOError:
                pass
            except OSError:  # turned away: once more
                client.close()
                clients[number] = None
