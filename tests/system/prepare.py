#!/usr/bin/python3
"""Makes what the system tests of both suites need and what takes long: the packages of this tree, and
the root file systems. The tests make for themselves what is not there, and report what fails here."""

import concurrent.futures
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "packaging"))

import booted_host  # noqa: E402
import build_deb  # noqa: E402
import kernel_host  # noqa: E402
import root_fs  # noqa: E402


def prepare(suite):
    try:
        package = build_deb.build(suite)
        depends = build_deb.dependencies(package)
        needed = [booted_host.packages(suite, depends),
                  booted_host.packages(suite, [*depends, *booted_host.AUTOPKGTEST])]
        if os.environ.get("POSTERN_LONG") == "1":
            needed.append(kernel_host.packages(suite, depends))
        for packages in needed:
            with root_fs.unpacked(suite, packages):
                pass
        return package
    except RuntimeError as error:
        return error


def main():
    # Side by side: much of it is waiting for the network and the disk.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for made in pool.map(prepare, root_fs.SUITES):
            print(made, flush=True)


if __name__ == "__main__":
    main()
