#!/usr/bin/python3
"""build_rpm.py [SUITE]: builds the .rpm by rpmbuild inside a root file system of that suite of Debian (trixie).

It is left in build/packages/rpm-SUITE. In next/ there is the same with a higher release, for tests of upgrades.
What it links is the suite's: on Fedora build it there, by the first line of rpm/postern.spec. Needs root.
"""

import os
import shutil
import sys

import build_deb
import root_fs
from build_in_root import REPOSITORY, compile_in, copy_sources, once

# With the flags of the .deb and in the same directory: what was compiled for that is not compiled again. rpm knows
# nothing of the packages of a Debian, so it can't look for what the build requires.
SCRIPT = """
set -e
eval "$(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --export=sh)"
export CXXFLAGS="$CXXFLAGS $CPPFLAGS"
# rpm's own strip leaves the table of symbols. On Fedora find-debuginfo removes it as well.
export LDFLAGS="$LDFLAGS -s"
build() {
    rpmbuild -bb --nodeps --build-in-place --load packaging/rpm/macros.debian \\
        --define "_vpath_builddir obj-$(dpkg-architecture -qDEB_HOST_GNU_TYPE)" "$@" packaging/rpm/postern.spec
}
build --define "_topdir /build/rpm"
build --define "_topdir /build/next" --define "dist .2"
"""


def build(suite="trixie"):
    """Returns the path of the .rpm; builds it, unless it was built of the same sources already."""
    build_deb.build(suite)
    results = REPOSITORY / "build/packages" / f"rpm-{suite}"
    once(results, lambda: _build(suite, results), suite, "rpm", *build_deb.BUILD_PACKAGES)
    return next(results.glob("*.rpm"))


def next_release(package):
    """What upgrades the .rpm that build() returned: the same once more."""
    return next((package.parent / "next").glob("*.rpm"))


def _build(suite, results):
    with build_deb.root_for_builds(suite) as root:
        copy_sources(root / "build/postern")
        (root / "build/rpm.sh").write_text(SCRIPT, encoding="ascii")
        compile_in(root, suite, "sh /build/rpm.sh", results, build_deb.ENVIRONMENT)
        for folder, target in ((root / "build/rpm", results), (root / "build/next", results / "next")):
            target.mkdir(exist_ok=True)
            for file in folder.rglob("*.rpm"):
                shutil.copy2(file, target)


def main():
    suite = sys.argv[1] if len(sys.argv) > 1 else "trixie"
    if len(sys.argv) > 2 or suite not in root_fs.SUITES:
        sys.exit(f"usage: build_rpm.py [{'|'.join(root_fs.SUITES)}]")
    if os.geteuid() != 0:
        sys.exit("needs root, for debootstrap and chroot: sudo ./dev package")
    try:
        print(build(suite).relative_to(REPOSITORY))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
