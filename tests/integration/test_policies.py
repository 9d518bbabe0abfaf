"""packaging/apparmor/ and packaging/selinux/: profiles that nobody has loaded here, held against what programs do.

On Debian's own kernels the profiles of AppArmor are enforced: tests/system/test_kernel.py.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

import accesses
import apparmor_profiles
import harness
from actions import EVERYONE, script
from identity import ALICE

TOP = harness.REPOSITORY
PROFILES = TOP / "packaging/apparmor/postern"
PARSE = ["/sbin/apparmor_parser", "-Q", "-K", "--skip-kernel-load"]
SERVICES = ("posternd", "postern-output")
# What a guard does besides that has no systemd; under the profiles there is none.
# It makes its sockets, follows jobs by their cgroups, and starts two more programs, which become other users.
ALONE = """
profile posternd {
  /run/postern{,-admin}/* rwk,
  /sys/fs/cgroup/** rw,
  /usr/libexec/postern/postern-{launcher,output} x,
}
profile postern-output {
  capability setuid,
  capability setgid,
}
"""
ACTIONS = {
    "hello": script("echo hi"),
    "take": {"summary": "Takes input", "exec": ["/bin/cat"], "input": "text", "allow": EVERYONE},
    "direct": script("cat", input="direct", output="direct"),
}


def parsed(text):
    """(exit code, what apparmor_parser says)"""
    done = subprocess.run(PARSE, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def test_the_parser_takes_the_profiles():
    code, said = parsed(PROFILES.read_text(encoding="utf-8"))
    assert code == 0, said


def test_the_document_loads_what_there_is():
    shown = (TOP / "docs/security.md").read_text(encoding="utf-8")
    load, undo = [block for block in re.findall(r"^```console\n(.*?)^```$", shown, re.M | re.S) if "apparmor" in block]
    for name in sorted(path.name for path in PROFILES.parent.iterdir()):
        assert re.search(rf"^root# install .*\b{re.escape(name)}\b", load, re.M), name
    restart = f"systemctl daemon-reload && systemctl try-restart {SERVICES[0]}.service {SERVICES[1]}.service\n"
    assert restart in load and restart in undo
    made = {"/etc/apparmor.d/postern", *(f"/etc/systemd/system/{name}.service.d/apparmor.conf" for name in SERVICES)}
    assert set(re.findall(r"^root# rm (.*)$", undo, re.M)) == made
    for path in made:
        folder, _, name = path.rpartition("/")
        assert re.search(rf"^root# install .* (-t {folder} {name}|{name} {folder}/)$", load, re.M), path


def test_the_parser_takes_no_broken_one():
    code, said = parsed(PROFILES.read_text(encoding="utf-8").replace("capability kill,", "capability kil,"))
    assert code == 1 and "kil" in said


@pytest.fixture(scope="module")
def profiles():
    return apparmor_profiles.Profiles(PROFILES.read_text(encoding="utf-8"))


def unit_of(service):
    return (TOP / f"systemd/{service}.service").read_text(encoding="utf-8")


def capabilities_of(service):
    """CapabilityBoundingSet= of its unit."""
    given = re.search(r"^CapabilityBoundingSet=(.*)$", unit_of(service), re.M).group(1)
    return set(given.lower().replace("cap_", "").split())


def test_each_service_has_a_profile_of_its_name_and_its_capabilities(profiles):
    assert "\nAppArmorProfile=%N\n" in (TOP / "packaging/apparmor/apparmor.conf").read_text(encoding="utf-8")
    for service in SERVICES:
        allowed = {rule.capability for rule in profiles.rules[service] if rule.own and rule.capability}
        assert allowed - {"sys_resource"} == capabilities_of(service)
        # With it no exec leaves a profile, as the comment in the file says.
        assert "\nNoNewPrivileges=yes\n" in unit_of(service)


# ---- What programs do ----

@pytest.fixture(scope="module")
def alone():
    return apparmor_profiles.Profiles(ALONE)


@pytest.fixture(scope="module")
def seen(programs, tmp_path_factory):
    found = accesses.Accesses()
    for made, at in (trace_guard(tmp_path_factory.mktemp("guard")), trace_keeper(tmp_path_factory.mktemp("keeper"))):
        found.add(made, at)
    return found


def bounded(*capabilities):
    return ["/usr/bin/setpriv", "--bounding-set", ",".join(["-all", *(f"+{name}" for name in capabilities)])]


def trace_guard(folder):
    """What a guard and its programs do that has the capabilities of its unit; where its folders would be."""
    under = [*accesses.strace(folder), *bounded("setuid", "setgid", "kill"), "--"]
    with harness.private_folder() as admin:
        guard = harness.Guard(ACTIONS, datagrams=True, under=under, options=["--admin-socket", f"{admin}/admin.sock"])
        with guard:
            call_it(guard)
            told = subprocess.run([*accesses.strace(folder), harness.program("posternctl"), "--socket",
                                   f"{admin}/admin.sock", "reload"], check=True, capture_output=True, text=True)
            assert told.stdout == "4 actions are loaded, 0 files are bad\n"
            pid = child_of(guard.pid)
            os.kill(pid, signal.SIGTERM)  # strace hands nothing on by itself
            assert guard.wait() == 0
        at = {str(guard.actions_folder): "/etc/postern/actions.d", str(guard.state_folder): "/var/lib/postern",
              str(guard.runtime_folder): "/run/posternd", str(guard.audit_file): "/var/log/postern/audit.log",
              str(guard.stderr_file): "/dev/null", str(guard.folder / "notify.sock"): "/run/systemd/notify",
              str(guard.folder): "/run/postern", str(admin): "/run/postern-admin", **accesses.programs_at()}
        return accesses.read(folder, pid), at


def child_of(pid):
    """Of strace: what it has started."""
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])


def call_it(guard):
    def run(*words, **kwargs):
        done = guard.ctl(*words, as_=ALICE, **kwargs)
        assert done.returncode == 0, done
        return done.stdout

    assert run("run", "hello") == "hi\n"
    assert run("run", "take", input="given") == "given"
    assert run("run", "direct", input="given") == "given"
    assert "hello" in run("jobs")
    assert "answered in" in run("--socket", str(guard.datagram_path), "--datagram", "ping")
    guard.write_action("more", script("true"))
    assert run("run", "more") == ""


def trace_keeper(folder):
    """What postern-output does as the service."""
    with harness.private_folder() as runtime, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        os.chown(runtime, ALICE.uid, ALICE.gid)
        notified.bind(f"{runtime}/notify")
        os.chmod(f"{runtime}/notify", 0o666)
        notified.settimeout(harness.PATIENCE)
        keeper = subprocess.Popen(
            [*accesses.strace(folder), *bounded("sys_chroot"), "--inh-caps", "-all,+sys_chroot", "--ambient-caps",
             "-all,+sys_chroot", "--reuid", str(ALICE.uid), "--regid", str(ALICE.gid), "--clear-groups", "--",
             harness.program("postern-output"), "--service"],
            env={"RUNTIME_DIRECTORY": str(runtime), "NOTIFY_SOCKET": f"{runtime}/notify"})
        with keeper:
            assert b"READY=1" in notified.recv(4096)
            pid = child_of(keeper.pid)
            os.kill(pid, signal.SIGTERM)
            notified.settimeout(0.1)
            while keeper.poll() is None:  # it waits until all that it says is read
                with contextlib.suppress(TimeoutError):
                    notified.recv(4096)
        assert keeper.returncode == 0
        return accesses.read(folder, pid), {f"{runtime}/notify": "/run/systemd/notify",
                                            str(runtime): "/run/postern-output", **accesses.programs_at()}


@pytest.mark.needs_root
@pytest.mark.shipped_build
def test_what_programs_do_is_allowed(seen, profiles, alone):
    assert profiles.denied(seen, alone) == set()


@pytest.mark.needs_root
@pytest.mark.shipped_build
def test_what_is_allowed_is_used_or_says_what_it_is_for(seen, profiles, alone):
    used = set()
    for which in (profiles, alone):
        for _, profile, what, how in profiles.asked(seen):
            used |= {(id(rule), letter) for rule in which.allow(profile, what, how) for letter in how}
    unused = [(profile, rule.text, letter) for which in (profiles, alone) for profile, rules in which.rules.items()
              for rule in rules for letter in rule.how or [""]
              if rule.own and not rule.reason and (id(rule), letter) not in used]
    assert unused == [], unused


# ---- SELinux ----

MODULE = TOP / "packaging/selinux"


def compiled(text, folder):
    """(exit code, what checkmodule says)"""
    (folder / "postern.te").write_text(text, encoding="utf-8")
    done = subprocess.run(["checkmodule", "-M", "-m", "-o", "postern.mod", "postern.te"], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def test_the_module_compiles(tmp_path):
    text = (MODULE / "postern.te").read_text(encoding="utf-8")
    assert compiled(text, tmp_path) == (0, "")
    subprocess.run(["semodule_package", "-o", "postern.pp", "-m", "postern.mod", "-f", MODULE / "postern.fc"],
                   cwd=tmp_path, check=True)
    assert (tmp_path / "postern.pp").stat().st_size > 1000
    code, said = compiled(text.replace(":capability sys_chroot;", ":capability sys_chrot;"), tmp_path)
    assert code == 1 and "sys_chrot" in said


def test_the_module_knows_each_program_and_each_capability():
    text = (MODULE / "postern.te").read_text(encoding="utf-8")
    files = (MODULE / "postern.fc").read_text(encoding="utf-8")
    contexts = dict(re.findall(r"^(\S+)\t(?:--\t)?system_u:object_r:(\w+):s0$", files, re.M))
    assert set(contexts.values()) == set(re.findall(r"^type (\w+), file_type", text, re.M))
    # Where /usr/sbin is no directory of its own.
    assert contexts["/usr/bin/posternd"] == contexts["/usr/sbin/posternd"] == "postern_exec_t"
    names = {"posternd": "postern_t", "postern-output": "postern_output_t"}
    for service in SERVICES:
        given = re.search(rf"^allow {names[service]} self:capability (.*);$", text, re.M).group(1)
        assert set(given.strip("{ }").split()) == capabilities_of(service)
    paths = {path for path in accesses.programs_at().values() if path in contexts}
    assert set(accesses.programs_at().values()) - paths == {"/usr/bin/posternctl", "/usr/libexec/postern/postern-launcher"}
