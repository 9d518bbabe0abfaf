#!/usr/bin/python3
"""What one user's flood costs another user: as root.

    attacks.py BUILD [SECONDS [ROW]]    the folder of a build; how long each figure is measured; only
                                        the rows whose names have this in them

One guard for each flood. Beside it another user, who has been there before, measures a Check on an old
connection, a new connection with its first reply, and a Run of /bin/true. The first row has no flood.
"""

import os
import pathlib
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests/attacks"), str(REPOSITORY / "tests/integration")]

import crowd  # noqa: E402
import floods  # noqa: E402
import harness  # noqa: E402
import taken_over  # noqa: E402
import wire  # noqa: E402
from identity import ALICE, BOB  # noqa: E402

PATIENCE = 30
PAUSE = 0.005


def check(path, client):
    assert client.call("Check", {"action": "true"}) == {"parameters": {}}


def connection(path, client):
    with wire.WireClient(path, timeout=PATIENCE) as fresh:
        assert fresh.call("Ping", {"ping": "x"}) == {"parameters": {"pong": "x"}}


def run(path, client):
    assert client.call("Run", {"action": "true"})["parameters"]["result"]["exitCode"] == 0


def victim(path, seconds, ready, go):
    """For each of the three: milliseconds, in ascending order."""
    figures = []
    with wire.WireClient(path, timeout=PATIENCE) as client:
        run(path, client)
        os.write(ready, b"x")
        os.read(go, 1)
        for what in (check, connection, run):
            times = []
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                began = time.monotonic()
                try:
                    what(path, client)
                except (TimeoutError, BlockingIOError):  # of a reply, of connect(2)
                    # Replies would come out of order: the connection is lost as well.
                    times.append(PATIENCE * 1000)
                    client.close()
                    client = wire.WireClient(path, timeout=PATIENCE)
                else:
                    times.append((time.monotonic() - began) * 1000)
                time.sleep(PAUSE)
            figures.append(sorted(times))
        client.close()
    return figures


def cells(times):
    at = [times[int(share * (len(times) - 1))] for share in (0.5, 0.99, 1)]
    return " ".join(f"{value:8.1f}" for value in at)


def measure(name, seconds, who, *flood):
    with harness.Guard(floods.ACTIONS) as guard:
        path = str(guard.socket_path)
        ready, ready_end = os.pipe()
        go_end, go = os.pipe()
        with crowd.Process(BOB, victim, path, seconds, ready_end, go_end) as process:
            os.read(ready, 1)
            with floods.flooding(path, who, *flood):
                time.sleep(1)  # until it is in full flow
                before, began = guard_seconds(guard), time.monotonic()
                os.write(go, b"x")
                figures = process.join()
                used = (guard_seconds(guard) - before) / (time.monotonic() - began)
        for end in (ready, ready_end, go_end, go):
            os.close(end)
        print(f"{name:<46}" + "  |".join(cells(times) for times in figures) + f"  | {used:4.0%}",
              flush=True)


def guard_seconds(guard):
    fields = pathlib.Path(f"/proc/{guard.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_taken_over(mode, name, seconds):
    """ALICE's session is tests/integration/hostile_session."""
    with harness.private_folder() as folder, taken_over.programs(folder / "bin", ALICE.uid, mode):
        measure(name, seconds, floods.identities(1), floods.hold)


def main():
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    if not harness.IS_ROOT:
        sys.exit("needs root, for callers of other uids: sudo ./dev bench attacks")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    os.environ["POSTERN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve() / "bin")
    harness._programs = pathlib.Path(os.environ["POSTERN_BIN"])
    columns = "  |".join(f"{'p50':>8} {'p99':>8} {'max':>8}" for _ in range(3))
    print(f"{'another user, in ms':<46}{'Check':<28}{'new connection':<28}{'Run':<28} guard's")
    print(f"{'':<46}{columns}  |  CPU")
    with harness.reachable_programs():
        measure("no flood", seconds, [], None)
        for name, *flood in floods.FLOODS:
            if wanted in name:
                measure(name, seconds, *flood)
        for mode, name in floods.TAKEN_OVER:
            if wanted in name:
                measure_taken_over(mode, name, seconds)


if __name__ == "__main__":
    main()
