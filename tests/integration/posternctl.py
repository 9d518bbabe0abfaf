"""posternctl, run against a daemon at a path that the test names."""

import harness


def command(daemon, *words):
    """The command line; `daemon` has a path, or is one."""
    return [harness.program("posternctl"), "--socket", str(getattr(daemon, "path", daemon)), *words]


def outcome(done):
    """What a finished posternctl comes down to: exit code, standard output, standard error."""
    return done.returncode, *(text.decode() if isinstance(text, bytes) else text
                              for text in (done.stdout, done.stderr))
