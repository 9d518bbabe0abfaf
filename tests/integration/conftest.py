"""Fixtures of the integration tests: the programs, private folders, guards."""

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
