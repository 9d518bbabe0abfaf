"""docs/client.md: its clients run as they stand, and its tables are those of the interfaces and the limits."""

import math
import re
import socket
import threading

import pytest

import guide
import harness
import scratch_machine

ROOT_ONLY = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a mount namespace and other users")

TEXT = guide.text_of("docs/client.md")
SECTIONS = guide.sections(TEXT)
INTRODUCTION = TEXT.partition("\n## ")[0]


@pytest.fixture(scope="module")
def machine(programs):
    with scratch_machine.machine(users=("alice",)) as made:
        made.follow(INTRODUCTION)
        made.follow(SECTIONS["From the shell"])  # alice becomes a member of the group
        yield made


@ROOT_ONLY
@pytest.mark.parametrize("heading", [heading for heading in SECTIONS if heading != "From the shell"])
def test_what_a_section_shows(machine, heading):
    for step in guide.steps(SECTIONS["In Python"]):  # postern.py, which others import
        if isinstance(step, guide.File):
            machine.write(step.path, step.text)
    machine.follow(SECTIONS[heading])


class Breaking:
    """A socket in front of the guard's that breaks each connection after some bytes, until `count` were broken."""

    def __init__(self, path, to, count, after):
        self._to, self._left, self._after = str(to), count, after
        self.broken = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as guard:
                guard.connect(self._to)
                guard.sendall(client.recv(65536))
                passed = 0
                while data := guard.recv(1000):
                    if self.broken < self._left and passed + len(data) > self._after:
                        self.broken += 1
                        break
                    passed += len(data)
                    client.sendall(data)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize("after", [0, 200, 3000])
def test_the_call_that_survives(start_guard, folder, tmp_path, monkeypatch, after):
    """No byte is missing or doubled, and the job ran once, wherever the connection breaks."""
    guard = start_guard({"count": {"summary": "Count", "allow": [{"everyone": True}],
                                   "exec": ["/bin/sh", "-c", "seq 20000; printf '\\377'; exit 3"]}})
    for section in ("In Python", "Keys and offsets: a call that survives"):
        for step in guide.steps(SECTIONS[section]):
            if isinstance(step, guide.File):
                (tmp_path / step.path.rpartition("/")[2]).write_text(step.text)
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace = {"__name__": "run"}
    exec(compile((tmp_path / "run.py").read_text(), "run.py", "exec"), namespace)  # noqa: S102

    class Collected(list):
        write = list.append

        def flush(self):
            pass

    out = {"stdout": Collected(), "stderr": Collected()}
    breaking = Breaking(folder / "breaking.sock", guard.socket_path, 5, after)
    result = namespace["run"]("count", {}, out, path=str(folder / "breaking.sock"))
    breaking.close()
    assert breaking.broken == 5 and result["exitCode"] == 3
    assert b"".join(out["stdout"]) == b"".join(b"%d\n" % number for number in range(1, 20001)) + b"\xff"
    assert len([entry for entry in guard.audit() if entry["event"] == "job-started"]) == 1


def test_it_names_every_error():
    named, optional = [], []
    for path in sorted((harness.REPOSITORY / "protocol").glob("*.varlink")):
        text = path.read_text(encoding="utf-8")
        interface = re.search(r"^interface (\S+)", text, re.M).group(1)
        for error, parameters in re.findall(r"^error (\w+) \((.*)\)$", text, re.M):
            named.append(f"{interface}.{error}")
            optional += re.findall(r"(\w+): \?", parameters)
    assert len(named) > 15
    assert sorted(re.findall(r"^\| `(org[\w.]+)` \| \S.* \| \S", TEXT, re.M)) == sorted(named)
    # What an error has at times only, a client would not find by looking at one.
    assert optional == ["retryable"] and "`retryable`" in TEXT and '`"retryable": true`' in TEXT


def test_the_limits_are_those_of_the_source():
    source = (harness.REPOSITORY / "base/limits.h").read_text(encoding="utf-8")
    defaults = (harness.REPOSITORY / "daemon/guard/config/limits.h").read_text(encoding="utf-8")

    def fixed(name):
        value = re.search(rf"\b{name}(?: = |\{{)([^;}}]*)", source).group(1)
        return math.prod(int(factor) for factor in value.split(" * "))

    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", TEXT.partition("## Limits")[2], re.M))
    assert rows["one message"] == f"{fixed('message_bytes') // 1024} KiB"
    assert rows["levels of nested objects and arrays"] == str(fixed("json_depth"))
    assert rows["members of an object, elements of an array"] == str(fixed("json_members"))
    assert rows["values in a message"] == str(fixed("json_values"))
    assert rows["one string"] == (f"{fixed('json_string_bytes') // 1024} KiB; `input` and arguments "
                                  f"{fixed('input_bytes') // 1024} KiB")
    assert "json_integer = std::int64_t{1} << 53;" in source and rows["integers"] == "up to 2^53"
    assert rows["silence inside a message"] == f"{fixed('mid_message_silence')} s"
    assert rows["replies that wait for a client to read them"] == f"{fixed('client_backlog_bytes') >> 20} MiB"
    assert rows["a client that reads nothing while replies wait"] == f"{fixed('unread_patience')} s"
    for label, amount in rows.items():
        if limit := re.search(r"\(`(\w+)`\)", label):
            member = re.sub("[A-Z]", lambda letter: "_" + letter.group().lower(), limit.group(1))
            default = re.search(rf"\b{member} = (\d+);", defaults).group(1)
            assert amount.split(",")[0] == default, label
