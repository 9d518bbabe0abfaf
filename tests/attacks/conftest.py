"""Fixtures of the attacks: those of the integration tests, whose helpers they use as well."""

import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from guard_fixtures import bound, box, folder, programs, start_guard  # noqa: E402, F401
