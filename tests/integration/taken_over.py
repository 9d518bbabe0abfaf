"""Programs of which one caller's session is hostile: tests/integration/hostile_session in its place."""

import contextlib
import os
import shutil
import signal

import harness
from processes import sessions


@contextlib.contextmanager
def programs(place, uid, mode):
    """Copies of the programs in the new folder `place`; guards that are started meanwhile are of them.

    The session of `uid` plays that mode, everybody else's is the real one, and so is the one that a guard
    starts before it is ready: end_tried() has the first caller get one of its own. What the hostile one
    writes down is in place/"answers".
    """
    ours = harness._programs
    place.mkdir()
    for name in ("posternd", "postern-launcher", "postern-dropper", "postern-output", "posternctl"):
        shutil.copy2(ours / name, place)
    shutil.copy2(ours / "postern-session", place / "real-session")
    shutil.copy2(ours / "tests/hostile-session", place / "postern-session")
    (place / "mode").write_text(f"{uid} {mode} {place}/real-session\n")
    harness._programs = place
    try:
        yield
    finally:
        harness._programs = ours


def end_tried(guard):
    """Ends the session that was tried, of a guard that is ready and has no caller yet."""
    [tried] = sessions(guard)
    os.kill(tried, signal.SIGKILL)
    harness.wait_until(lambda: "the session that waited for the first caller: " in guard.stderr(),
                       what="the guard lets go of the session that it tried")
    return guard
