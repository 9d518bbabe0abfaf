"""Fixtures of the integration tests."""

from guard_fixtures import bound, box, folder, programs, start_guard  # noqa: F401
