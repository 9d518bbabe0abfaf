"""Fixtures of the tests with the real programs: the programs, private folders, guards."""

import os
import socket

import pytest

import harness


@pytest.fixture(scope="session", autouse=True)
def programs():
    """The folder of the programs under test, where every user can start them."""
    with harness.reachable_programs() as folder:
        yield folder


@pytest.fixture
def folder():
    """A private folder below /run that only root (or the user) may write, removed afterwards."""
    with harness.private_folder() as path:
        yield path


@pytest.fixture
def box(folder):
    """Where clients make the addresses of their sockets; at the end nothing may be left in it."""
    path = folder / "box"
    path.mkdir()
    path.chmod(0o1777)
    yield path
    assert os.listdir(path) == []


@pytest.fixture
def bound(folder):
    """Makes sockets that nobody serves, and returns each with its path; they stay until the test's end."""
    sockets = []

    def make(*, kind=socket.SOCK_STREAM, mode=0o666, uid=-1, gid=-1, listen=True, parent=folder):
        path = str(parent / "s.sock")
        made = socket.socket(socket.AF_UNIX, kind)
        sockets.append(made)
        made.bind(path)
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        if listen and kind == socket.SOCK_STREAM:
            made.listen(4)
        return made, path

    yield make
    for made in sockets:
        made.close()


@pytest.fixture
def start_guard():
    """Starts guards (arguments as of harness.Guard); each is stopped and checked at the end."""
    guards = []

    def start(*args, **kwargs):
        guard = harness.Guard(*args, **kwargs)
        guards.append(guard)
        return guard.start()

    yield start
    errors = []
    for guard in reversed(guards):
        try:
            guard.close()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)
