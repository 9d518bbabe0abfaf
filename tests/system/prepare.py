#!/usr/bin/python3
"""Makes what the system tests of both suites need and what takes long: the packages of this tree, and
the root file systems. The tests make for themselves what is not there, and report what fails here."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "packaging"))

import booted_host  # noqa: E402
import build_deb  # noqa: E402
import root_fs  # noqa: E402


def main():
    for suite in root_fs.SUITES:
        try:
            package = build_deb.build(suite)
            with root_fs.unpacked(suite, booted_host.packages(suite, build_deb.dependencies(package))):
                print(package)
        except RuntimeError as error:
            print(error)


if __name__ == "__main__":
    main()
