#!/usr/bin/python3
"""clang-tidy 19 over the whole product: tidy.py BUILD [JOBS]

BUILD is configured, if it is not, and never built. Each wall (base/, daemon/guard/, ctl/ ...) is looked
at as one unit, since most of the time goes into reading other people's headers: an eighth of what it
takes file by file. A wall that was clean stays so while nothing has changed in it and in the folders that
it may include from: it is known by a hash in BUILD/clean/ and not looked at again.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

from sources import REPOSITORY, folder_of, sources, table

TIDY = "clang-tidy-19"
# The unit includes .cc files, which is what a unit is for. Tests are left out: GoogleTest's macros take
# long and say little.
CHECKS = "-bugprone-suspicious-include"


def configure(build):
    subprocess.run(["cmake", "-G", "Ninja", "-S", REPOSITORY, "-B", build, "-DPOSTERN_UNITY=ON",
                    "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_COMPILER=clang++-19"],
                   check=True, stdout=subprocess.DEVNULL)


def wall_of(folder):
    parts = folder.split("/")
    return "/".join(parts[:2]) if parts[0] == "daemon" else parts[0]


def write_units(build, files):
    """Wall -> its unit, and a compile_commands.json that says how to compile them: with all macros and
    folders of headers that any file of the product is compiled with."""
    commands = json.loads((build / "compile_commands.json").read_text())
    words = [word for entry in commands for word in shlex.split(entry["command"])]
    options = sorted({word for word in words if word.startswith(("-D", "-I", "-f", "-std="))})
    units = {}
    folder = build / "units"
    folder.mkdir(exist_ok=True)
    for file in files:
        if file.endswith(".cc"):
            units.setdefault(wall_of(folder_of(file)), []).append(f'#include "{file}"\n')
    database = []
    for wall, lines in units.items():
        unit = folder / f"{wall.replace('/', '_')}.cc"
        unit.write_text("".join(lines))
        database.append({"directory": str(build), "file": str(unit),
                         "arguments": ["clang++-19", *options, "-c", str(unit)]})
        units[wall] = unit
    (folder / "compile_commands.json").write_text(json.dumps(database))
    return units, " ".join(options)


def hash_of(wall, rows, files, common):
    """Of all that may have a say in what clang-tidy finds."""
    digest = hashlib.sha256(common)
    digest.update(wall.encode())
    own = {folder for folder in rows if wall_of(folder) == wall}
    known = own.union(*(rows[folder].folders for folder in own))
    for path in files:
        if folder_of(path) in known:
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
    files = sources(REPOSITORY, rows)
    units, options = write_units(build, files)
    version = subprocess.run([TIDY, "--version"], check=True, capture_output=True).stdout
    # Which other packages there are: their headers are read as well.
    packages = pathlib.Path("/var/lib/dpkg/status").read_bytes()
    common = version + packages + options.encode() + (REPOSITORY / ".clang-tidy").read_bytes()
    stamps = build / "clean"
    stamps.mkdir(exist_ok=True)

    hashes = {wall: hash_of(wall, rows, files, common) for wall in units}
    todo = [wall for wall in units if not (stamps / hashes[wall]).exists()]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = {pool.submit(tidy, build / "units", units[wall]): wall for wall in todo}
        for future in concurrent.futures.as_completed(results):
            wall, result = results[future], future.result()
            if result.returncode == 0:
                (stamps / hashes[wall]).touch()
                continue
            failed += 1
            print(f"{wall}/:\n{result.stdout}{result.stderr}", flush=True)
    print(f"clang-tidy: {len(units)} walls, {len(units) - len(todo)} unchanged since they were clean, "
          f"{failed} not clean")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
