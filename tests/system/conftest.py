"""Fixtures of the system tests: the real package, and hosts that boot."""

import json
import pathlib
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CONFIGURATION = "/etc/postern/posternd.json"
HELLO = (REPOSITORY / "examples/demo/hello.json").read_text(encoding="utf-8")
sys.path.insert(0, str(REPOSITORY / "packaging"))

import booted_host  # noqa: E402
import build_deb  # noqa: E402
import guard  # noqa: E402
import root_fs  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--suite", choices=root_fs.SUITES, default="trixie",
                     help="the Debian that is booted: bookworm (systemd 252) or trixie (257)")


def pytest_collection_modifyitems(config, items):
    """@pytest.mark.suite("trixie"): needs what only that one has; for the other it is no test."""
    mine = config.getoption("--suite")
    for item in list(items):
        marker = item.get_closest_marker("suite")
        if marker and mine not in marker.args:
            items.remove(item)
            config.hook.pytest_deselected(items=[item])


@pytest.fixture(scope="session")
def suite(request):
    return request.config.getoption("--suite")


@pytest.fixture(scope="session")
def package(suite):
    """The .deb of this tree, built in a root of the suite."""
    try:
        return build_deb.build(suite)
    except RuntimeError as error:
        pytest.exit(str(error), 1)  # once, and not for each test that needs it


@pytest.fixture(scope="session")
def package_before(suite):
    """The .deb of the version before, built from the history once for a machine: for long tests."""
    try:
        return build_deb.build_before(suite)
    except RuntimeError as error:
        pytest.exit(str(error), 1)


@pytest.fixture(scope="session")
def dependencies(package):
    return build_deb.dependencies(package)


def unpacked_root(suite, dependencies):
    """A root file system with what a host needs, and with what packages need."""
    return root_fs.unpacked(suite, booted_host.packages(suite, dependencies))


@pytest.fixture(scope="session")
def root(suite, dependencies):
    with unpacked_root(suite, dependencies) as path:
        yield path


@pytest.fixture
def fresh_host(root, package):
    """A host that has just booted; the package lies in /packages."""
    with booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as host:
        yield host


@pytest.fixture
def host_before(suite, package, package_before):
    """A host that has just booted; the package lies in /packages, the one before as /before.deb."""
    needed = {*build_deb.dependencies(package), *build_deb.dependencies(package_before)}
    binds = [(package.parent, "/packages"), (package_before, "/before.deb")]
    with unpacked_root(suite, needed) as path, booted_host.BootedHost(path, binds=binds) as host:
        yield host


@pytest.fixture(scope="session")
def host(root, package):
    """A host with the package installed, one example action, and two users; one for all files."""
    with booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as booted:
        install(booted, package)
        # The package does not enable it: test_sockets_off.py has a host without.
        booted.run("systemctl", "enable", "--now", "posternd-datagram.socket")
        booted.write("/etc/postern/actions.d/hello.json", HELLO)
        booted.run("useradd", "member")
        booted.run("usermod", "-a", "-G", "postern", "member")
        booted.run("useradd", "stranger")
        yield booted


@pytest.fixture(scope="module")
def quick_restarts(host):
    """For tests that kill the guard again and again: as shipped, each would wait ten seconds."""
    folder = "/run/systemd/system/posternd.service.d"
    host.run("mkdir", "-p", folder)
    host.write(f"{folder}/quick.conf", "[Service]\nRestartSec=1s\n")
    host.run("systemctl", "daemon-reload")
    yield
    host.run("rm", f"{folder}/quick.conf")
    host.run("systemctl", "daemon-reload")


@pytest.fixture
def configure(host):
    """configure({...}) writes the configuration and stops the guard; the socket waits."""
    def put(configuration):
        host.write(CONFIGURATION, json.dumps(configuration))
        guard.stop(host)

    yield put
    host.run("rm", CONFIGURATION)
    guard.stop(host)


@pytest.fixture
def declare(host):
    """Puts actions in force: declare(name={...}); they go at the end."""
    names = set()

    def put(**actions):
        for name, action in actions.items():
            names.add(name)
            host.write(f"{guard.ACTIONS}/{name}.json", json.dumps(
                {"summary": name, "allow": [{"group": "postern"}], **action}))
        guard.restart(host)

    yield put
    for name in names:
        host.run("rm", f"{guard.ACTIONS}/{name}.json")


@pytest.fixture
def let(host):
    """let() lets the jobs go that wait for it (jobs.UNTIL_LET); let(False) holds the next ones."""
    def allow(go=True):
        host.run(*(("touch", "/run/let") if go else ("rm", "-f", "/run/let")))

    allow(False)
    yield allow
    allow(False)


def install(host, package):
    """Installs the package as apt would, without a network."""
    host.run("dpkg", "-i", f"/packages/{package.name}")
