"""What packaging/name-running-jobs says when the package is removed, with stand-ins for systemctl and posternctl.

With the real ones: tests/system/removal.py.
"""

import subprocess

import pytest

import harness

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a mount namespace")

# is-active says yes to the units in the environment; list-units knows one.
SYSTEMCTL = """#!/bin/sh
case $1 in
--quiet) [ "$2" = is-active ] && case " $ACTIVE " in *" $3 "*) exit 0 ;; esac; exit 3 ;;
list-units) [ "$2 $3 $4" = "--plain --no-legend postern-job-*.service" ] && echo "postern-job-5fab.service loaded" ;;
esac
"""
POSTERNCTL = """#!/bin/sh
[ "$*" = "jobs --all --state running --limit 0" ] || exit 2
printf "$JOBS"
exit "$ENDS_WITH"
"""
UNITS, DAEMON = "postern-job-*.service", "posternd.service"
CONTINUE = ("postern: these jobs are still running; they will probably end at their next output, because nothing reads "
            "it (SIGPIPE); to end one and remove its unit, run: systemctl stop postern-job-JOB.service\n")
ENDED = "postern: these jobs are being ended, because the daemon itself runs them\n"
TWO = "5fab web.restart 1000 (alice)\n6fab backup 1001 (bob)\n"


def said(folder, active, jobs="", ends_with=0, systemd=True):
    for name, text in (("systemctl", SYSTEMCTL), ("posternctl", POSTERNCTL)):
        (folder / name).write_text(text, encoding="ascii")
        (folder / name).chmod(0o755)
    script = ("mount -t tmpfs tmpfs /run && " + ("mkdir -p /run/systemd/system && " if systemd else "") +
              'exec "$0"')
    done = subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", script, harness.REPOSITORY / "packaging/name-running-jobs"],
        capture_output=True, text=True, check=True, timeout=60,
        env={"PATH": f"{folder}:/usr/bin:/bin:/usr/sbin:/sbin", "ACTIVE": active, "JOBS": jobs,
             "ENDS_WITH": str(ends_with)})
    assert done.stdout == ""
    return done.stderr


def test_jobs_of_systemd_continue(tmp_path):
    assert said(tmp_path, f"{UNITS} {DAEMON}", TWO) == CONTINUE + (
        "  5fab web.restart 1000 (alice)\n  6fab backup 1001 (bob)\n")


def test_where_the_daemon_can_not_answer_systemd_names_them(tmp_path):
    assert said(tmp_path, UNITS, ends_with=125) == f"{CONTINUE}  postern-job-5fab.service loaded\n"


def test_jobs_of_the_daemon_itself_are_ended(tmp_path):
    assert said(tmp_path, DAEMON, TWO) == ENDED + (
        "  5fab web.restart 1000 (alice)\n  6fab backup 1001 (bob)\n")


@pytest.mark.parametrize("systemd, active, jobs", [(True, DAEMON, ""), (True, "", TWO), (False, UNITS, TWO)])
def test_without_a_job_nothing_is_said(tmp_path, systemd, active, jobs):
    assert said(tmp_path, active, jobs, systemd=systemd) == ""
