"""The installed package on Debian's own kernel (kernel_host.py): what each check saw there."""

import hashlib
import os

import pytest

import kernel_host
from jobs import WAITS

pytestmark = [
    pytest.mark.needs_root, pytest.mark.long,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="boots a kernel for x86_64"),
]

KERNEL = {"bookworm": "6.1.", "trixie": "6.12."}
# SO_PEERPIDFD is Linux 6.5: only where it is can the daemon tell a caller's unit.
TELLS_UNITS = {"bookworm": False, "trixie": True}
NO_CAPABILITY = "0" * 16


@pytest.fixture(scope="module")
def report(suite, package, dependencies):
    made = kernel_host.run(suite, package, dependencies)
    print(f"{suite}: seconds inside: {made.seconds()}")
    return made


def test_it_is_the_kernel_that_is_meant(report, suite):
    seen = report.saw("kernel")
    assert seen.pop("release").startswith(KERNEL[suite])
    assert seen == {"SO_PEERPIDFD": "yes" if TELLS_UNITS[suite] else "ENOPROTOOPT",
                    "SO_PASSRIGHTS": "ENOPROTOOPT"}


# ---- The product's own way ----

def test_the_first_call_wakes_the_guard(report):
    seen = report.saw("start")
    # The first start takes an emulated processor longer than posternctl waits without a word.
    seen["hello"]["err"] = seen["hello"]["err"].replace(WAITS, "")
    assert seen == {
        "before": "inactive", "hello": {"code": 0, "out": "Hi, g1\n", "err": ""}, "after": "active",
        "failed": ""}


def test_exit_codes(report):
    assert report.saw("exit-codes") == {
        "seven": {"code": 7, "out": "out\n", "err": "err\n"}, "killed": 137, "ungranted": 126}


def test_a_megabyte_of_output(report):
    whole = "".join(f"{number}\n" for number in range(1, 180001)).encode()
    assert len(whole) > 1 << 20
    assert report.saw("much-output") == {
        "code": 0, "bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest(), "err": ""}


# ---- Who callers are ----

def test_users_and_their_groups(report):
    seen = report.saw("whoami")
    postern = seen.pop("postern")
    assert seen == {"member": {"uid": 4001, "gid": 4001, "groups": sorted([4000, 4001, postern])},
                    "other": {"uid": 4002, "gid": 4002, "groups": sorted([4002, postern])}}


def test_rules_that_name_a_unit(report, suite):
    seen = report.saw("units")
    rule = r'deny unit \"runner.service\"'
    if TELLS_UNITS[suite]:
        assert seen == {
            "codes": {"runner.service": {"runner": 0, "others": 126},
                      "else.service": {"runner": 126, "others": 0}},
            "whoami": "runner.service", "said": [],
            "denials": [["runner.service", rule]]}
        return
    # An allow rule never holds, a deny rule always does, and the daemon says so.
    (said,) = seen.pop("said")
    assert "this kernel (before 6.5) can't tell a caller's" in said
    assert seen == {"codes": {unit: {"runner": 126, "others": 126}
                              for unit in ("runner.service", "else.service")},
                    "whoami": None, "denials": [["", rule]]}


# ---- What a sandbox does ----

BOXED = {"etc": "EROFS", "usr": "EROFS", "tmp": "done", "outside": False, "personality": "ENOANO",
         "chown": "EPERM", "children": 7, "oom": -500, "CapBnd": NO_CAPABILITY,
         "CapEff": NO_CAPABILITY, "Seccomp": "2"}


def test_each_part_of_a_sandbox_has_its_effect(report):
    assert report.saw("sandbox") == BOXED


def test_without_it_all_of_that_can_be_done(report):
    seen = report.saw("no-sandbox")
    for kind in ("CapBnd", "CapEff"):
        assert int(seen.pop(kind), 16) & 0x1ffffffffff == 0x1ffffffffff
    assert seen == {"etc": "done", "usr": "done", "tmp": "done", "outside": True,
                    "personality": "done", "chown": "done", "children": 20, "oom": 0, "Seccomp": "0"}


def test_a_job_that_uses_more_memory_than_it_may(report):
    assert report.saw("memory") == {
        "few": {"code": 0, "outcome": "exited", "exitCode": 0, "signal": None},
        "many": {"code": 137, "outcome": "out-of-memory", "exitCode": None, "signal": 9}}


def test_a_session_has_nothing(report):
    assert report.saw("session") == {
        "answer": {"parameters": {"pong": "x"}},
        "sessions": [{"NoNewPrivs": "1", "Seccomp": "2", "Groups": "",
                      **{kind: NO_CAPABILITY for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")}}]}


def test_a_profile_of_apparmor_is_enforced(report):
    assert report.saw("apparmor") == {
        "free": {"profile": "unconfined", "file": "it was read\n"},
        "confined": {"profile": "postern-test (enforce)", "file": "EACCES"},
        "unknown": 127}


# ---- The services under their own profiles ----

def test_they_do_all_that_they_do_without(report):
    seen = report.saw("confined")
    assert seen["codes"] == {"reload": 0, "status": 0, "datagram": 0, "another keeper": 0}
    assert seen["direct"] == "straight\n"
    assert seen["again"] == {name: report.saw(name) for name in seen["again"]}
    assert len(seen["again"]) == 5


def test_each_program_is_confined_and_no_job_is(report):
    seen = report.saw("confined")
    assert seen["job"] == "unconfined\n"
    assert seen["labels"].pop("postern-dropper") in ([], [[["postern-dropper", "posternd"], ["enforce"]]])
    assert seen["labels"] == {"posternd": [[["posternd"], ["enforce"]]],
                              "postern-session": [[["postern-session", "posternd"], ["enforce"]]],
                              "postern-output": [[["postern-output"], ["enforce"]]]}


def test_the_kernel_denied_them_nothing(report):
    assert report.saw("denials") == []


def test_a_program_elsewhere_needs_a_rule(report):
    seen = report.saw("elsewhere")
    assert (seen["before"], seen["after"]) == (126, 0)
    assert seen["said"].splitlines()[-1] == (
        "posternctl: not loaded: /etc/postern/actions.d/elsewhere.json:1:68: exec[0]: /home/backup/bin/true can't be "
        "read to see whether it is a script: Permission denied, although its mode allows it; AppArmor or SELinux "
        "denies it: see journalctl -k")


def test_what_the_document_undoes_leaves_no_trace(report):
    seen = report.saw("removed")
    assert seen.pop("lost") == 231  # EXIT_APPARMOR_PROFILE, as the document says
    free = [[["unconfined"], []]]
    assert seen["labels"].pop("postern-dropper") in ([], free)
    assert "apparmor.conf" not in "".join(seen.pop("drop-ins").values())
    assert seen == {"labels": dict.fromkeys(("posternd", "postern-session", "postern-output"), free),
                    "hello": "Hi, g1\n", "profile": False}


# ---- Descriptors of strangers ----

@pytest.mark.parametrize("way", ["datagram", "stream"])
@pytest.mark.parametrize("kind", ["lingering", "hung"])
class TestStrangersDescriptors:
    """One user sends descriptors that are slow to close (kernel/attack.py)."""

    def test_others_are_served(self, report, kind, way):
        seen = report.saw(f"{kind} by {way}")["served"]
        more = seen.pop("more descriptors")[-1]
        assert seen == {"installed": 0, "run": 0, "datagram": 0, "answered": 40, "newcomer": 0}
        # Of 40 connections that have ended none stays open behind the stranger's. What there is
        # besides is of sessions.
        assert more < 10

    def test_a_guard_that_is_killed_has_a_successor(self, report, kind, way):
        assert report.saw(f"{kind} by {way}")["killed"] == {"again": True, "run": 0, "datagram": 0}

    def test_the_guard_ends_within_its_time(self, report, kind, way):
        assert report.saw(f"{kind} by {way}")["stopped"] == {
            "result": "success", "state": "inactive", "left": []}
