#!/usr/bin/python3
"""Measures the rows of rows.json and prints them with their goals beside.

    bench.py PROGRAMS TOOLS here [ROW...]      those that need no booted host
    bench.py PROGRAMS TOOLS booted [WORD...]   the installed package on booted hosts; a WORD is a row or a suite
    --rounds N     how often each way takes its turn (7, and at least 5 for what is kept)
    --json FILE    keeps all that was measured; of what the file has, only the same rows are replaced

PROGRAMS and TOOLS are folders: of a release build, and of what was built for this.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / folder) for folder in ("tests/system", "packaging", "tests/integration")]

import harness  # noqa: E402
import root_fs  # noqa: E402
import rounds  # noqa: E402
import rows_booted  # noqa: E402
import rows_here  # noqa: E402

TOOLS = ("bench_load", "bench_records", "bench_cold_server", "bench_unit_start", "tests/datagram-load")


def kernel():
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", platform.release()).groups()))


def machine():
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return {"processors": os.cpu_count(), "model": model.group(1) if model else platform.machine(),
            "kernel": ".".join(map(str, kernel()))}


def git(*words):
    return subprocess.run(["git", "-C", REPOSITORY, *words], check=False, capture_output=True, text=True).stdout.strip()


def commit():
    # The documents are no part of what is measured, and one of them is written meanwhile.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def measure(row, where, function):
    """One entry of the file."""
    entry = {"id": row["id"], "on": where, "commit": commit(), "date": time.strftime("%Y-%m-%d", time.gmtime()),
             "load": [round(os.getloadavg()[0], 1)]}
    try:
        samples = function()
    except rounds.NotMeasured as reason:
        entry["not_measured"] = str(reason)
    else:
        entry["samples"] = samples
        entry["goals"] = [rounds.judge(goal, samples, kernel()) for goal in row["goals"]]
    entry["load"].append(round(os.getloadavg()[0], 1))
    return entry


def show(row, entry):
    print(f"\n{row['what']} ({entry['on']})")
    if reason := entry.get("not_measured"):
        print(f"    not measured: {reason}", flush=True)
        return
    for name, metrics in rounds.medians(entry["samples"]).items():
        print(f"    {name:<36} " + ", ".join(f"{rounds.figure(value)} {metric}" for metric, value in metrics.items()))
    for goal in entry["goals"]:
        print(f"  {'-' if goal.get('met', True) else '!'} {rounds.said(goal)}", flush=True)


def keep(entries, path):
    """Whole or not at all, after each row: what was measured stays, whatever comes of the next."""
    kept = {"version": 1, "machine": machine(), "rows": []}
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["machine"] != machine():
            sys.exit(f"{path} is of another machine: {kept['machine']}; this one is {machine()}")
    order = [(row["id"], where) for row in rounds.ROWS for where in row["on"]]
    fresh = {(entry["id"], entry["on"]): entry for entry in [*kept["rows"], *entries]}
    kept["rows"] = [fresh[key] for key in order if key in fresh]
    unfinished = path.with_suffix(".new")
    lines = ",\n".join(json.dumps(entry) for entry in kept["rows"])
    unfinished.write_text(f'{{"version": 1, "machine": {json.dumps(kept["machine"])}, "rows": [\n{lines}\n]}}\n',
                          encoding="utf-8")
    unfinished.rename(path)


def measure_here(chosen, count):
    for row in chosen:
        yield row, measure(row, "here", lambda: rows_here.ROWS[row["id"]](count))


def measure_booted(chosen, suites, count):
    for suite in suites:
        with rows_booted.installed(suite) as on:
            for row in chosen:
                yield row, measure(row, suite, lambda: rows_booted.ROWS[row["id"]](on, count))


def main():
    # Ended from outside, guards and hosts still end as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("tools", type=pathlib.Path)
    parser.add_argument("where", choices=["here", "booted"])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=pathlib.Path)
    given = parser.parse_intermixed_args()
    booted = given.where == "booted"
    if booted and not harness.IS_ROOT:
        sys.exit("needs root, for booting a host: sudo ./dev bench system")
    rows = [row for row in rounds.ROWS if (row["on"] == ["here"]) != booted]
    suites = [word for word in given.words if booted and word in root_fs.SUITES] or root_fs.SUITES
    wanted = [word for word in given.words if word not in suites]
    if unknown := set(wanted) - {row["id"] for row in rows}:
        sys.exit(f"no row is called {', '.join(sorted(unknown))}; there are: {', '.join(row['id'] for row in rows)}")
    chosen = [row for row in rows if row["id"] in wanted or not wanted]
    harness._programs = given.programs.resolve()
    with harness.reachable_programs(), harness.private_folder() as folder:
        (folder / "tests").mkdir()
        for name in TOOLS:
            shutil.copy2(given.tools / name, folder / name)
        rows_here.tools = rows_booted.tools = folder
        print(f"{machine()}, load {os.getloadavg()[0]:.1f}")
        found = measure_booted(chosen, suites, given.rounds) if booted else measure_here(chosen, given.rounds)
        for row, entry in found:
            show(row, entry)
            if given.json:
                keep([entry], given.json)


if __name__ == "__main__":
    main()
