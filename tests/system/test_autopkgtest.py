"""The test that distributions run of the installed package (debian/tests), as they run it."""

import re

import pytest

import booted_host
import build_deb
from conftest import unpacked_root

pytestmark = pytest.mark.needs_root


@pytest.fixture
def machine(suite, package, dependencies):
    with (unpacked_root(suite, [*dependencies, *booted_host.AUTOPKGTEST]) as root,
          booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as host):
        yield host


def test_the_first_action(machine, suite, package):
    source = f"/packages/postern_{build_deb.package_version(suite)}.dsc"
    done = machine.run("autopkgtest", "--ignore-restrictions=isolation-machine", source,
                       f"/packages/{package.name}", "--", "null", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^first-action +PASS$", done.stdout + done.stderr, re.M)
    # It was the package that was given.
    version = machine.run("dpkg-query", "-W", "-f", "${Version}", "postern").stdout
    assert version == build_deb.package_version(suite)
