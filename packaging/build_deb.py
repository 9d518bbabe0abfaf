#!/usr/bin/python3
"""build_deb.py SUITE [--before]: builds the Debian package inside a root file system of that suite.

The result is left in build/packages/SUITE. With --before it is the package of the version before
this one, which is built once and kept in root_fs.cache(). Needs root, for debootstrap and chroot.
"""

import email.utils
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import root_fs
from build_in_root import REPOSITORY, compile_in, copy_sources, git, once, version

BUILD_PACKAGES = (
    "build-essential", "ccache", "cmake", "debhelper", "libcli11-dev", "libre2-dev",
    "libseccomp-dev", "libspdlog-dev", "libsystemd-dev", "nettle-dev", "ninja-build",
    "nlohmann-json3-dev", "pkg-config",
)
# Has systemd.pc, which says where units go.
SYSTEMD_PC = {"bookworm": "systemd", "trixie": "systemd-dev"}
# What upgrades start from.
VERSION_BEFORE = "0.1.0"
COMMIT_BEFORE = "f252a7944b209ca2ba7d30e5bcdc194f55090e22"
# Without debugging information, which would be stripped again and takes a quarter of the time.
ENVIRONMENT = {"DEB_CXXFLAGS_STRIP": "-g",
               "DEB_BUILD_OPTIONS": f"nocheck noautodbgsym parallel={os.cpu_count()}"}


def extract_before(target):
    """The sources of the version before, from the history."""
    archive = git("-c", "tar.umask=022", "archive", COMMIT_BEFORE)
    if archive is None:
        raise RuntimeError(
            f"{REPOSITORY} does not have commit {COMMIT_BEFORE}, which is version {VERSION_BEFORE}; "
            "it needs a clone with its history: in a shallow one run git fetch --unshallow")
    target.mkdir(parents=True)
    subprocess.run(["tar", "-C", target, "-x"], input=archive, check=True)


def write_changelog(path, suite, commit):
    date = git("log", "-1", "--format=%ct", commit)
    stamp = int(date) if date and date.strip() else int(time.time())
    maintainer = re.search(r"^Maintainer: (.*)$", (path.parent / "control").read_text("utf-8"), re.M)
    number = version(path.parents[1])
    path.write_text(
        f"postern ({number}) {suite}; urgency=medium\n\n  * Version {number}.\n\n"
        f" -- {maintainer.group(1)}  {email.utils.formatdate(stamp)}\n", encoding="utf-8")


def root_for_builds(suite):
    """The one that the .rpm is built in too."""
    return root_fs.unpacked(suite, [*BUILD_PACKAGES, SYSTEMD_PC[suite], "rpm"])


def build(suite):
    """Returns the path of the .deb; builds it, unless it was built of the same sources already."""
    results = REPOSITORY / "build/packages" / suite
    once(results, lambda: _build(suite, results, copy_sources, "HEAD"), suite, *BUILD_PACKAGES)
    return next(results.glob("*.deb"))


def build_before(suite):
    """The .deb of the version before: the one in the cache, else it is built, which takes minutes."""
    key = root_fs.key(suite, COMMIT_BEFORE, *BUILD_PACKAGES)
    kept = root_fs.cache() / f"postern-{VERSION_BEFORE}-{suite}-{key}.deb"
    if not kept.exists():
        results = REPOSITORY / "build/packages" / f"{suite}-{VERSION_BEFORE}"
        built = _build(suite, results, extract_before, COMMIT_BEFORE)
        with tempfile.TemporaryDirectory(prefix="making-", dir=root_fs.cache()) as folder:
            pathlib.Path(shutil.copy2(built, folder)).rename(kept)
    return kept


def _build(suite, results, put_sources, commit):
    with root_for_builds(suite) as root:
        sources = root / "build/postern"
        put_sources(sources)
        shutil.copytree(sources / "packaging/debian", sources / "debian")
        write_changelog(sources / "debian/changelog", suite, commit)
        compile_in(root, suite, "dpkg-buildpackage -b -us -uc", results, ENVIRONMENT)
        for file in (root / "build").glob("postern_*"):
            shutil.copy2(file, results)
    return next(results.glob("*.deb"))


def dependencies(package):
    """The packages that a .deb depends on: the first alternative of each."""
    depends = subprocess.run(["dpkg-deb", "-f", package, "Depends"], check=True,
                             capture_output=True, text=True).stdout
    return [item.split("|")[0].split("(")[0].strip() for item in depends.split(",")]


def main():
    before = sys.argv[2:] == ["--before"]
    if len(sys.argv) != 2 + before or sys.argv[1] not in root_fs.SUITES:
        sys.exit(f"usage: build_deb.py {'|'.join(root_fs.SUITES)} [--before]")
    suite = sys.argv[1]
    if os.geteuid() != 0:
        sys.exit(f"needs root, for debootstrap and chroot: sudo ./dev package {suite}")
    try:
        print(build_before(suite) if before else build(suite).relative_to(REPOSITORY))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
