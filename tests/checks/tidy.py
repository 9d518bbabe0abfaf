#!/usr/bin/python3
"""clang-tidy 19 over every translation unit of the product: tidy.py BUILD [JOBS]

A unit that was clean stays so while nothing that it includes has changed: such a unit is known by a
hash in BUILD/tidy/ and not looked at again.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
TIDY = "clang-tidy-19"
# What is shipped. Tests are left out: GoogleTest's macros take long and say little.
FOLDERS = ("base", "protocol", "daemon", "ctl")


def inputs_of_units(build):
    """Object file -> what it was made from, as ninja recorded it."""
    text = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True,
                          text=True).stdout
    inputs, current = {}, None
    for line in text.splitlines():
        if line and not line[0].isspace():
            current = inputs.setdefault(line.split(":")[0], [])
        elif line.strip():
            current.append(line.strip())
    return inputs


def hash_of(build, unit, inputs, common):
    digest = hashlib.sha256(common)
    digest.update(unit["command"].encode())
    for name in sorted(inputs):
        path = build / name
        digest.update(str(path).encode())
        if path.resolve().is_relative_to(REPOSITORY):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        else:
            digest.update(str(path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


def tidy(build, file):
    return subprocess.run([TIDY, "--quiet", "--warnings-as-errors=*", "-p", str(build), file],
                          capture_output=True, text=True, check=False)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    units = [unit for unit in json.loads((build / "compile_commands.json").read_text())
             if any(pathlib.Path(unit["file"]).is_relative_to(REPOSITORY / folder)
                    for folder in FOLDERS)]
    assert units, f"no translation units in {build}"
    version = subprocess.run([TIDY, "--version"], check=True, capture_output=True).stdout
    common = version + (REPOSITORY / ".clang-tidy").read_bytes()
    inputs = inputs_of_units(str(build))
    stamps = build / "tidy"
    stamps.mkdir(exist_ok=True)

    todo = {}
    known = 0
    for unit in units:
        made_from = inputs.get(unit.get("output"), None)
        digest = hash_of(build, unit, made_from, common) if made_from else None
        if digest and (stamps / digest).exists():
            known += 1
        else:
            todo[unit["file"]] = digest
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = {pool.submit(tidy, build, file): file for file in todo}
        for future in concurrent.futures.as_completed(results):
            file, result = results[future], future.result()
            if result.returncode == 0:
                if todo[file]:
                    (stamps / todo[file]).touch()
                continue
            failed += 1
            print(f"{os.path.relpath(file, REPOSITORY)}:\n{result.stdout}{result.stderr}", flush=True)
    print(f"clang-tidy: {len(units)} units, {known} unchanged since they were clean, {failed} not clean")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
