"""How many messages and system calls a run takes: bounded, whatever the machine does beside."""

import re

import pytest

from jobs import expect_no_units, run
from traced import guard_pid, recorded

pytestmark = pytest.mark.needs_root

# The manager's environment, the start, the stop; and what it has used, where its cgroup is gone before that is read
# (as it may be under strace, which makes the guard slow), with its memory from systemd 255 on.
MOST_SENT = {"bookworm": 4, "trixie": 5}
# The life of the unit: two messages for each change of it, and its jobs. systemd 252 sends 24; later ones tell of the
# execution as well.
MOST_RECEIVED = {"bookworm": 26, "trixie": 32}


def test_what_a_run_asks_of_systemd(host, suite, declare, tmp_path):
    declare(quick={"exec": ["/bin/true"]})
    for _ in range(2):
        assert run(host, "quick") == (0, "", "")
    expect_no_units(host)
    log = tmp_path / "calls"
    pid = guard_pid(host)
    # So much of each message that its path, or the unit that it names, is there.
    with recorded(pid, log, "-s", "1024"):
        assert run(host, "quick") == (0, "", "")
        expect_no_units(host)
    main = [line for line in log.read_text().splitlines() if re.match(rf"{pid} +\w+\(", line)]
    # Whatever else the guard sends goes to sessions (packets), postern-output (packets) or journald (datagrams).
    sent = [line for line in main if re.search(r" sendmsg\(\d+<UNIX-STREAM", line)]
    assert 3 <= len(sent) <= MOST_SENT[suite], "\n".join(sent)
    # PID 1 tells a private connection of all units: what becomes of others meanwhile is not the run's.
    received = [line for line in main if re.search(r" recvmsg\(\d+<UNIX-STREAM", line)
                and re.search(r"postern_2djob_2d|postern-job-", line)]
    assert len(received) <= MOST_RECEIVED[suite], "\n".join(line[:200] for line in received)
    assert len(main) <= 400, len(main)
