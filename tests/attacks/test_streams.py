"""A job's output on its last way: what its caller's own standard output does with it."""

import os
import subprocess

import pytest

import harness
import hung_fuse
from actions import script
from posternctl import command


@pytest.mark.skipif(not hung_fuse.available(), reason="needs root and /dev/fuse")
@pytest.mark.parametrize("words", [[], ["--json"]], ids=["plain", "json"])
def test_a_file_that_is_full_only_when_it_is_closed(start_guard, folder, words):
    guard = start_guard({"much": script("head -c 10000 /dev/zero; exit 3")})
    with hung_fuse.mounted(folder / "disk", full=True):
        out = os.open(folder / "disk/file", os.O_WRONLY)
        done = subprocess.run(command(guard.socket_path, "run", "much", *words), stdout=out,
                              stderr=subprocess.PIPE, check=False, timeout=harness.PATIENCE)
        with pytest.raises(OSError):  # as everybody is told
            os.close(out)
    assert (done.returncode, done.stderr.decode()) == (
        125, "posternctl: much: standard output: No space left on device\n"
        "posternctl: much: not all of its output is there, so the exit code is 125; the job's own is 3\n")
