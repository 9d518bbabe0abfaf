"""What all tests in Python share: where they may run, and what a skipped test means."""

import os
import signal

import pytest

IN_CI = os.environ.get("CI") == "true"
# What ctest takes for "skipped": nothing could run here.
EXIT_SKIPPED = 77


def _end(number, _):
    pytest.exit(f"ended by signal {number}", 128 + number)


def pytest_configure(config):
    # Ended from outside, the fixtures still clean up.
    signal.signal(signal.SIGTERM, _end)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", default=os.environ.get("POSTERN_LONG") == "1",
                     help="run what is marked long as well; so does POSTERN_LONG=1")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        # Not skipped: in CI nothing may be.
        config.hook.pytest_deselected(
            items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("needs_root"):
            item.add_marker(pytest.mark.skip(reason="needs root: acts as several users"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a test that can't run has failed."""
    outcome = yield
    report = outcome.get_result()
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI=true: {report.longrepr}"


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter is not None:
        ran = set(reporter.stats) - {"skipped", "deselected", "", "warnings"}
        if "skipped" in reporter.stats and not ran:
            session.exitstatus = EXIT_SKIPPED
