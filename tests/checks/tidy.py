#!/usr/bin/python3
"""clang-tidy 19 over every folder of the product: tidy.py BUILD [JOBS]

BUILD is configured, if it is not, and never built. Each folder is looked at as the one unit that a
release build compiles, since most of the time goes into reading headers: a quarter of what it takes
file by file. A folder that was clean stays so while nothing has changed in it and in the folders that
it may include from: it is known by a hash in BUILD/clean/ and not looked at again.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

from sources import REPOSITORY, folder_of, sources, table

TIDY = "clang-tidy-19"
# The unit includes .cc files, which is what a unit is for.
CHECKS = "-bugprone-suspicious-include"
# Tests are left out: GoogleTest's macros take long and say little.
PROGRAMS = {"posternd": "daemon/guard", "postern-session": "daemon/session",
            "postern-launcher": "daemon/launcher", "posternctl": "ctl"}


def configure(build):
    subprocess.run(["cmake", "-G", "Ninja", "-S", REPOSITORY, "-B", build, "-DPOSTERN_UNITY=ON",
                    "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_COMPILER=clang++-19"],
                   check=True, stdout=subprocess.DEVNULL)


def units_of(build, rows):
    """(file, command, folder) of everything that is compiled: a unit each folder, main.cc each program."""
    targets = {"postern_" + folder.replace("/", "_"): folder for folder in rows} | PROGRAMS
    units = []
    for unit in json.loads((build / "compile_commands.json").read_text()):
        target = re.search(r"CMakeFiles/([^/]+)\.dir/", unit["command"]).group(1)
        units.append((unit["file"], unit["command"], targets[target]))
    seen = {folder for _, _, folder in units}
    wanted = {folder_of(path) for path in sources(REPOSITORY, rows) if path.endswith(".cc")}
    assert seen == wanted, f"not every folder is looked at: {sorted(seen ^ wanted)}"
    return units


def hash_of(unit, rows, files, common):
    """Of all that may have a say in what clang-tidy finds."""
    file, command, folder = unit
    digest = hashlib.sha256(common)
    digest.update(f"{file}\0{command}\0".encode())
    for path in files:
        if folder_of(path) in rows[folder].folders | {folder}:
            digest.update(path.encode() + b"\0" + (REPOSITORY / path).read_bytes())
    return digest.hexdigest()


def tidy(build, file):
    return subprocess.run([TIDY, "--quiet", f"--checks={CHECKS}", "--warnings-as-errors=*", "-p",
                           str(build), file], capture_output=True, text=True, check=False)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    configure(build)
    rows = table(REPOSITORY)
    units = units_of(build, rows)
    files = sources(REPOSITORY, rows)
    version = subprocess.run([TIDY, "--version"], check=True, capture_output=True).stdout
    # Which other packages there are: their headers are read as well.
    packages = pathlib.Path("/var/lib/dpkg/status").read_bytes()
    common = version + packages + (REPOSITORY / ".clang-tidy").read_bytes()
    stamps = build / "clean"
    stamps.mkdir(exist_ok=True)

    hashes = {unit[0]: hash_of(unit, rows, files, common) for unit in units}
    todo = [unit for unit in units if not (stamps / hashes[unit[0]]).exists()]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = {pool.submit(tidy, build, file): (file, folder) for file, _, folder in todo}
        for future in concurrent.futures.as_completed(results):
            (file, folder), result = results[future], future.result()
            if result.returncode == 0:
                (stamps / hashes[file]).touch()
                continue
            failed += 1
            print(f"{folder}/:\n{result.stdout}{result.stderr}", flush=True)
    print(f"clang-tidy: {len(units)} units, {len(units) - len(todo)} unchanged since they were clean, "
          f"{failed} not clean")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
