#!/usr/bin/python3
"""What a job writes and reads, measured: bytes a second, and how soon a byte is there.

    output.py BUILD [ROUNDS [WAY...]]    the folder of a build; 9 rounds of all ways

Each way moves 200 MB into `cat >/dev/null`, beside a pipe and sudo. The ways take turns in each
round, so that whatever else the machine does is shared; what is shown are medians of the rounds, of
each round's ratio to its own bare pipe, and of the processor time of all that took part: client,
job and daemon. As an ordinary user all is done as oneself.
"""

import os
import pathlib
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/integration"))

import harness  # noqa: E402
from actions import EVERYONE, script  # noqa: E402

BYTES = 200_000_000
# In pieces of 4 KiB, as many programs write; `cat` writes 128 KiB.
SMALL = ["/usr/bin/head", "-c", str(BYTES), "/dev/zero"]
PIECES = {"zeros": lambda: bytes(1_000_000),
          "random": lambda: os.urandom(1_000_000),
          "lines": lambda: (b"a line of a log, as they are\n" * 34_483)[:1_000_000]}
# Lines that say when they were written.
STAMPS = 1000
STAMPER = f"""
import os, time
for _ in range({STAMPS}):
    time.sleep(0.003)
    os.write(1, b"%d\\n" % time.monotonic_ns())
"""
PYTHON = ["/usr/bin/python3", "-c"]


def write_data(folder):
    """The commands that write the data, by its name. What is in files is in memory."""
    folder.chmod(0o755)
    for name, piece in PIECES.items():
        with open(folder / name, "wb") as file:
            for _ in range(BYTES // 1_000_000):
                file.write(piece())
    return {**{name: ["/usr/bin/cat", str(folder / name)] for name in PIECES}, "small": SMALL}


def actions(commands):
    made = {"sink": script("exec cat > /dev/null", input="direct")}
    stamper = [*PYTHON, STAMPER.replace("{", "{{").replace("}", "}}")]
    for way, keys in ("stored", {}), ("direct", {"output": "direct"}):
        for name, command in {**commands, "stamps": stamper}.items():
            made[f"{name}-{way}"] = {"summary": "Write", "exec": command, "allow": EVERYONE, **keys}
    return made


def ways(run):
    """What a shell runs; NAME is the data, COMMAND writes it."""
    found = {"bare pipe": "COMMAND | cat >/dev/null"}
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], check=False).returncode == 0:
        found["sudo"] = "sudo -n COMMAND | cat >/dev/null"
    else:
        print("sudo: not measured, because `sudo -n true` does not run here")
    found["stored"] = f"{run} NAME-stored | cat >/dev/null"
    found["direct output"] = f"{run} NAME-direct | cat >/dev/null"
    found["direct input"] = f"COMMAND | {run} sink"
    return found


def processor_seconds(guard):
    """Of ended children, and of the guard and all below it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    if guard.cgroup_path:
        usage = (guard.cgroup_path / "cpu.stat").read_text().split()[1]
        seconds += int(usage) / 1e6
    return seconds


def measure(guard, command, environment):
    """Megabytes a second, and milliseconds of processor time."""
    time.sleep(0.3)  # what the way before leaves to be tidied up is no part of it
    before, began = processor_seconds(guard), time.perf_counter()
    subprocess.run(["/bin/bash", "-o", "pipefail", "-c", command], env=environment, check=True)
    took = time.perf_counter() - began
    return BYTES / 1e6 / took, (processor_seconds(guard) - before) * 1000


def throughput(guard, name, command, chosen, rounds, environment):
    rows = {way: [] for way in chosen}
    for _ in range(rounds):
        for way, line in chosen.items():
            line = line.replace("NAME", name).replace("COMMAND", shlex.join(command))
            rows[way].append(measure(guard, line, environment))
    bare = rows["bare pipe"]
    for way, measured in rows.items():
        speed, used = (statistics.median(column) for column in zip(*measured))
        ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in zip(measured, bare))
        print(f"{name:<8} {way:<15} {speed:6.0f} MB/s {ratio:6.2f} {used:6.0f} ms", flush=True)


def first_bytes(way, argv, environment):
    late = []
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, bufsize=0,
                          stdin=subprocess.DEVNULL) as process:
        while lines := process.stdout.read(65536):
            now = time.monotonic_ns()
            late += [(now - int(line)) / 1000 for line in lines.split()]
    assert len(late) == STAMPS and process.returncode == 0
    late.sort()
    print(f"a line until it is there: {way:<10} p50 {late[STAMPS // 2]:5.0f} us, "
          f"p99 {late[STAMPS * 99 // 100]:5.0f} us", flush=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.environ["POSTERN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve() / "bin")
    harness._programs = pathlib.Path(os.environ["POSTERN_BIN"])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    with (harness.reachable_programs(),
          tempfile.TemporaryDirectory(dir="/dev/shm", prefix="postern-bench-") as folder):
        commands = write_data(pathlib.Path(folder))
        with harness.Guard(actions(commands), options=["--limit", "startsPerUser=10000"]) as guard:
            environment = {"PATH": "/usr/bin:/bin", "POSTERN_SOCKET": str(guard.socket_path)}
            run = [str(harness.program("posternctl")), "run"]
            chosen = ways(shlex.join(run))
            if len(sys.argv) > 3:
                chosen = {way: chosen[way] for way in ["bare pipe", *sys.argv[3:]]}
            print(f"{'data':<8} {'way':<15} {'':>11} {'ratio':>6} {'processor':>9}")
            for name, command in commands.items():
                throughput(guard, name, command, chosen, rounds, environment)
            first_bytes("bare pipe", [*PYTHON, STAMPER], environment)
            for way in "stored", "direct":
                first_bytes(way, [*run, f"stamps-{way}"], environment)


if __name__ == "__main__":
    main()
