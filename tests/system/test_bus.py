"""How many messages and system calls a run takes: bounded, whatever the machine does beside."""

import re

import pytest

from jobs import expect_no_units, run
from traced import guard_pid, recorded

pytestmark = pytest.mark.needs_root

# The manager's environment, the start, the stop; and what it has used, where its cgroup is gone before that is read
# (as it may be under strace, which makes the guard slow), with its memory from systemd 255 on.
MOST_SENT = {"bookworm": 4, "trixie": 5}


def test_what_a_run_asks_of_systemd(host, suite, declare, tmp_path):
    declare(quick={"exec": ["/bin/true"]})
    for _ in range(2):
        assert run(host, "quick") == (0, "", "")
    expect_no_units(host)
    log = tmp_path / "calls"
    pid = guard_pid(host)
    with recorded(pid, log):
        assert run(host, "quick") == (0, "", "")
        expect_no_units(host)
    main = [line for line in log.read_text().splitlines() if re.match(rf"{pid} +\w+\(", line)]
    # Whatever else the guard sends goes to sessions (packets), postern-output (packets) or journald (datagrams).
    sent = [line for line in main if re.search(r" sendmsg\(\d+<UNIX-STREAM", line)]
    assert 3 <= len(sent) <= MOST_SENT[suite], "\n".join(sent)
    received = [line for line in main if re.search(r" recvmsg\(\d+<UNIX-STREAM", line)]
    assert len(received) <= 120, len(received)
    assert len(main) <= 400, len(main)
