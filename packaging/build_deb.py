#!/usr/bin/python3
"""build_deb.py SUITE [--before]: builds the Debian package inside a root file system of that suite.

The result is left in build/packages/SUITE: source package, .deb, its -dbgsym, and what lintian says of
all of them in lintian.txt. With --before it is the package of the version before this one, which is built
once and kept in root_fs.cache(). Needs root, for debootstrap and chroot.
"""

import email.utils
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

import root_fs
from build_in_root import REPOSITORY, compile_in, git, once, source_names, version

BUILD_PACKAGES = (
    "build-essential", "ccache", "cmake", "debhelper", "libcli11-dev", "libre2-dev",
    "libseccomp-dev", "libspdlog-dev", "libsystemd-dev", "nettle-dev", "ninja-build",
    "nlohmann-json3-dev", "pkg-config",
)
# Has systemd.pc, which says where units go.
SYSTEMD_PC = {"bookworm": "systemd", "trixie": "systemd-dev"}
# What the version in debian/changelog gets, so that the package of each suite replaces that of the one before.
SUFFIX = {"bookworm": "~deb12u1", "trixie": "~deb13u1"}
# What upgrades start from.
VERSION_BEFORE = "0.1.0"
COMMIT_BEFORE = "f252a7944b209ca2ba7d30e5bcdc194f55090e22"

BUILD = "dpkg-buildpackage -us -uc"
LINT = "lintian -EviIL +pedantic --allow-root ../postern_*.changes >../lintian.txt 2>&1 || true"
# Line numbers for backtraces, and no more: full debug information takes a quarter of the build.
ENVIRONMENT = {"DEB_CXXFLAGS_STRIP": "-g", "DEB_CXXFLAGS_APPEND": "-g1",
               "DEB_BUILD_OPTIONS": f"nocheck parallel={os.cpu_count()}"}


def root_for_builds(suite):
    """The one that everything is built in, with what checks it."""
    return root_fs.unpacked(suite, [*BUILD_PACKAGES, SYSTEMD_PC[suite], "lintian", "rpm"])


def changelog():
    return (REPOSITORY / "packaging/debian/changelog").read_text(encoding="utf-8")


def changelog_for(suite):
    """With the suite and its version in the first line."""
    return re.sub(r"^postern \((\S+)\) \S+;", rf"postern (\1{SUFFIX[suite]}) {suite};", changelog(), count=1)


def package_version(suite):
    return re.match(r"postern \((\S+)\)", changelog_for(suite)).group(1)


def write_orig(path, moment):
    """The sources as one archive. Nothing of this machine is in it: the same files make the same bytes."""
    def as_everywhere(member):
        member.mtime, member.mode = moment, 0o755 if member.mode & 0o100 else 0o644
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    with tarfile.open(path, "w:xz", format=tarfile.GNU_FORMAT) as archive:
        for name in source_names():
            if (REPOSITORY / name).is_file():
                archive.add(REPOSITORY / name, f"postern-{version(REPOSITORY)}/{name}", filter=as_everywhere)


def put_sources(suite, folder):
    """As they come out of a source package, with the time of the changelog on every file."""
    sources = folder / "postern"
    sources.mkdir(parents=True)
    moment = email.utils.parsedate_to_datetime(re.search(r"^ -- .*>  (.*)$", changelog(), re.M).group(1))
    orig = folder / f"postern_{version(REPOSITORY)}.orig.tar.xz"
    write_orig(orig, int(moment.timestamp()))
    subprocess.run(["tar", "-C", sources, "--strip-components=1", "--no-same-owner", "-xf", orig], check=True)
    shutil.copytree(sources / "packaging/debian", sources / "debian")
    stated = sources / "debian/changelog"
    stated.write_text(changelog_for(suite), encoding="utf-8")
    os.utime(stated, (moment.timestamp(),) * 2)


def put_sources_before(folder):
    """The sources of the version before, from the history."""
    archive = git("-c", "tar.umask=022", "archive", COMMIT_BEFORE)
    if archive is None:
        raise RuntimeError(
            f"{REPOSITORY} does not have commit {COMMIT_BEFORE}, which is version {VERSION_BEFORE}; "
            "it needs a clone with its history: in a shallow one run git fetch --unshallow")
    sources = folder / "postern"
    sources.mkdir(parents=True)
    subprocess.run(["tar", "-C", sources, "-x"], input=archive, check=True)
    shutil.copytree(sources / "packaging/debian", sources / "debian")
    stated = changelog()
    (sources / "debian/changelog").write_text(stated[stated.index(f"postern ({VERSION_BEFORE})"):],
                                              encoding="utf-8")


def package_in(results):
    return next(results.glob("postern_*.deb"))


def results_of(suite):
    return REPOSITORY / "build/packages" / suite


def build(suite):
    """Returns the path of the .deb; builds it, unless it was built of the same sources already."""
    results = results_of(suite)
    once(results, lambda: make(suite, results, f"{BUILD} && {LINT}"), suite, "lintian", *BUILD_PACKAGES)
    return package_in(results)


def build_before(suite):
    """The .deb of the version before: the one in the cache, else it is built, which takes minutes."""
    key = root_fs.key(suite, COMMIT_BEFORE, *BUILD_PACKAGES)
    kept = root_fs.cache() / f"postern-{VERSION_BEFORE}-{suite}-{key}.deb"
    if not kept.exists():
        results = REPOSITORY / "build/packages" / f"{suite}-{VERSION_BEFORE}"
        with root_for_builds(suite) as root:
            put_sources_before(root / "build")
            compile_in(root, suite, f"{BUILD} -b", results, ENVIRONMENT)
            take(root, results)
        with tempfile.TemporaryDirectory(prefix="making-", dir=root_fs.cache()) as folder:
            pathlib.Path(shutil.copy2(package_in(results), folder)).rename(kept)
    return kept


def make(suite, results, command, environment=None):
    """Builds by the shell command; what it leaves in /build is then in `results`."""
    with root_for_builds(suite) as root:
        put_sources(suite, root / "build")
        compile_in(root, suite, command, results, {**ENVIRONMENT, **(environment or {})})
        take(root, results)


def take(root, results):
    for file in (root / "build").iterdir():
        if file.is_file():
            shutil.copy2(file, results)


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
    # The tests are in the source package, but have no say in whether it is built again for them.
    (results_of(suite) / "sources.sha256").unlink(missing_ok=True)
    try:
        print(build_before(suite) if before else build(suite).relative_to(REPOSITORY))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
