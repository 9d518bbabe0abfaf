"""The AppArmor profiles, held against what the services of the installed package do under systemd.

tests/integration/test_policies.py does so without it. Traced is PID 1 of the host with all that it starts, from outside.
"""

import sys

import pytest

import booted_host
import guard
from conftest import REPOSITORY
from jobs import UNTIL_LET, finished, run, shell, spawn
from traced import meanwhile

sys.path.append(str(REPOSITORY / "tests/integration"))

import accesses  # noqa: E402
import apparmor_profiles  # noqa: E402

pytestmark = pytest.mark.needs_root

PROFILES = (REPOSITORY / "packaging/apparmor/postern").read_text(encoding="utf-8")
SERVICES = ("posternd.service", "postern-output.service")


def use_it(host):
    """From the first call until both services have stopped."""
    # A traced PID 1 may take longer for the start of the daemon than posternctl waits without a word.
    assert finished(spawn(host, "talks")) == (3, "out\n", "err\n")
    for action in ("takes", "direct"):
        done = host.run("sh", "-c", f"echo given | posternctl run {action}", user="member")
        assert done.stdout == "given\n"
    code, job, _ = run(host, "--detach", "waits")
    assert code == 0
    host.run("posternctl", "cancel", job.strip(), user="member")
    booted_host.wait_until(
        lambda: host.property(f"postern-job-{job.strip()}.service", "LoadState") == "not-found", 30, "it is cancelled")
    host.run("systemctl", "reload", SERVICES[0])
    assert "answered in" in host.run("posternctl", "ping", "--datagram", user="member").stdout
    host.run("systemctl", "stop", *SERVICES)


def test_what_the_services_do_is_allowed(host, declare, let, tmp_path):
    declare(talks=shell("echo out; echo err >&2; exit 3"), takes=shell("cat", input="text"),
            direct=shell("cat", input="direct", output="direct"), waits=shell(UNTIL_LET))
    host.run("systemctl", "stop", *SERVICES)
    pid1 = host.outer_pid(1)
    try:
        with meanwhile(pid1, *accesses.options(tmp_path), "--decode-pids=pidns"):
            use_it(host)
    finally:
        guard.stop(host)
    seen = accesses.Accesses()
    seen.add(accesses.read(tmp_path, pid1), accesses.programs_at())

    # It did see them, from their start until they stopped.
    assert {program for program, _ in seen.files} & set(apparmor_profiles.CONFINED) >= {
        "posternd", "postern-session", "postern-output", "posternctl"}
    for program, path, how in (("posternd", "/usr/libexec/postern/postern-session", "x"),
                               ("posternd", "/run/systemd/private", "rw"),
                               ("posternctl", "/run/postern-admin/admin.sock", "rw"),
                               ("postern-output", "/run/systemd/notify", "w")):
        assert set(how) <= seen.files[program, path], (program, path)
    assert {("posternd", "setuid"), ("postern-session", "setuid"), ("postern-output", "sys_chroot")} <= seen.capabilities

    assert apparmor_profiles.Profiles(PROFILES).denied(seen) == set()
    # Nor is everything allowed.
    for rule, denied in (("  @{run}/systemd/private rw,", ("posternd", "posternd", "/run/systemd/private", "rw")),
                         ("  capability sys_chroot,", ("postern-output", "postern-output", "sys_chroot", ""))):
        assert PROFILES.count(rule) == 1
        assert apparmor_profiles.Profiles(PROFILES.replace(rule, "")).denied(seen) == {denied}
