"""The numbers in the manual pages and in the schema's texts are those of the sources and of the programs."""

import json
import re
import subprocess

import pytest

import harness
from manuals import fixed_limit, items, limit_bounds, plain, read, section

KIB, MIB = 1024, 1024 * 1024
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# Page, section, what it says with # for the number, and the name in base/limits.h; the number is in these units.
FIXED = [
    ("posternd.json.5", "FORMAT", "at most # KiB long", "action_file_bytes", KIB),
    ("posternd.json.5", "Records", "for at least # minutes after its job has ended", "key_memory", 1),
    ("posternd.json.5", "Records", "There may be # times as many of these", "keys_per_record", 1),
    ("posternd.json.5", "Records", "a user with fewer than # of them", "keys_of_everybody", 1),
    ("posternd.json.5", "Output", "Keys younger than # minutes", "key_memory", 1),
    ("posternd.json.5", "Fixed limits", ".B # KiB, 1024 Size of an action file", "action_file_bytes", KIB),
    ("posternd.json.5", "Fixed limits", ".B 64 KiB, # Size of an action file", "actions", 1),
    ("posternd.json.5", "Fixed limits", ".B # MiB Replies that wait in one session", "session_backlog_bytes", MIB),
    ("posternd.json.5", "Fixed limits", "for one client # MiB.", "client_backlog_bytes", MIB),
    ("posternd.json.5", "Fixed limits", ".B # minute A client that reads nothing", "unread_patience", 60),
    ("posternd.json.5", "Fixed limits", ".B # MiB Memory of a session", "session_data_bytes", MIB),
    ("posternd.json.5", "Fixed limits", ".B # MiB Records that are not on the disk", "uncopied_record_bytes", MIB),
    ("posternd.json.5", "Fixed limits", ".B # KiB, 16 KiB How much the audit records", "audit_argument_bytes", KIB),
    ("posternd.json.5", "Fixed limits", ".B 1 KiB, # KiB How much the audit records", "audit_arguments_bytes", KIB),
    ("posternd.8", "Names and arguments", "an argument longer than # KiB", "audit_argument_bytes", KIB),
    ("posternd.8", "Names and arguments", "take at most # KiB", "audit_arguments_bytes", KIB),
    ("posternd.8", "Records", "If more than # MiB of records wait", "uncopied_record_bytes", MIB),
    ("postern-action.5", "DESCRIPTION", "has at most # characters", "action_name_bytes", 1),
    ("postern-action.5", "DESCRIPTION", "At most # files are read", "actions", 1),
    ("postern-action.5", "FORMAT", "at most # KiB long", "action_file_bytes", KIB),
    ("postern-action.5", "Description", "One line of at most # bytes", "action_summary_bytes", 1),
    ("postern-action.5", "Program", "Up to # bytes of any kind", "input_bytes", 1),
    ("postern-action.5", "Arguments", "in a string, and up to # bytes", "multiline_bytes", 1),
    ("postern-action.5", "Arguments", "length in bytes of UTF-8. Default: from 1 to #,", "json_string_bytes", 1),
    ("postern-action.5", "Arguments", ".B multiline string #.", "multiline_bytes", 1),
    ("postern-action.5", "Arguments", "number of elements. Default: from 1 to #,", "json_members", 1),
    ("postern-protocol.7", "org.postern.Jobs", "newest first; at most # in a reply", "jobs_per_page", 1),
    ("postern-protocol.7", "org.postern.Jobs", "in a reply, # if", "jobs_listed", 1),
    ("postern-protocol.7", "org.postern.Jobs.List", "from 1 to #.", "jobs_per_page", 1),
    ("postern-protocol.7", "org.postern.Actions.Argument", "and up to # bytes", "multiline_bytes", 1),
    ("postern-protocol.7", "Keys", "for at least # minutes after the job", "key_memory", 1),
    ("postern-protocol.7", "DATAGRAMS", "one call, at most # bytes long", "message_bytes", 1),
    ("postern-protocol.7", "Load", "Up to # datagrams of one user", "datagrams_waiting_of_user", 1),
    ("postern-protocol.7", "Load", "or # MiB of them", "datagram_bytes_waiting_of_user", MIB),
    ("postern-protocol.7", "Load", "does not answer a datagram for # seconds", "datagram_patience", 1),
    ("posternctl.1", "VERBS", "gets at most # bytes, which are read", "input_bytes", 1),
    ("posternctl.1", "OPTIONS", "at most # bytes. May be given several times", "multiline_bytes", 1),
]
# The same of other sources, where # stands for the same number.
ELSEWHERE = [
    ("postern-action.5", "DESCRIPTION", "name each of them, up to # in a directory",
     "daemon/policy/file/folder_listing.cc", "most_told = #;"),
    ("postern-action.5", "Program", "More than 0 and at most #d.",
     "daemon/policy/file/action_parser.cc", "longest_timeout = std::chrono::days(#);"),
    ("postern-action.5", "Program", "at most #TiB.",
     "daemon/policy/file/action_parser.cc", "most_stored = std::uint64_t{#} << 40;"),
    ("postern-action.5", "Arguments", "has at most # characters.", "daemon/policy/template.cc", "most = #;"),
    ("postern-action.5", "SAFETY", "Symbolic links are followed, up to # of them", "host/safe_file.cc", "max_links = #;"),
    ("postern-action.5", "SAFETY", "its interpreter too, up to #.", "host/safe_program.cc", "most_interpreters = #;"),
    ("postern-action.5", "WHEN FILES TAKE EFFECT", "nothing has changed for # milliseconds",
     "daemon/policy/file/settling.h", "quiet_time{#};"),
    ("postern-action.5", "WHEN FILES TAKE EFFECT", "at most # seconds; then they are refused",
     "daemon/guard/calls/current_policy.h", "patience{#};"),
    ("postern-action.5", "WHEN FILES TAKE EFFECT", "A file that keeps changing for # seconds",
     "daemon/policy/file/settling.h", "patience{#};"),
    ("postern-action.5", "WHEN FILES TAKE EFFECT", "are compared at most every # seconds",
     "daemon/guard/policy_store.h", "look_time{#};"),
    ("postern-action.5", "WHEN FILES TAKE EFFECT", "are refused after # seconds",
     "daemon/guard/calls/current_policy.h", "patience{#};"),
    ("posternd.8", "In a file", "each with at most # names", "daemon/guard/audit/audit_change.h",
     "most_actions_told = #;"),
    ("posternd.8", "In a file", "at most # groups are listed", "daemon/guard/audit/audit.cc", "most_groups_told = #;"),
    ("posternd.8", "AUDIT", "of one user within # seconds", "daemon/guard/audit/denial_window.h", "length{#};"),
    ("posternd.8", "READY", "systemd tries again every # seconds", "systemd/posternd.service", "RestartSec=#s"),
    ("posternd.8", "EXIT STATUS", ".B # The daemon has no socket", "daemon/guard/main.cc", "has_no_socket = #;"),
    ("posternd.8", "EXIT STATUS", ".B # The daemon has no socket", "systemd/posternd.service",
     "RestartPreventExitStatus=#\n"),
]


def number_in(page, name, said):
    text = " ".join(plain(section(page, name)).split())
    found = re.findall(re.escape(said).replace(r"\#", rf"(\d+|{'|'.join(WORDS)})"), text)
    assert len(found) == 1, (page, said)
    return WORDS.index(found[0]) if found[0] in WORDS else int(found[0])


@pytest.mark.parametrize("page, name, said, limit, unit", FIXED)
def test_a_fixed_limit(page, name, said, limit, unit):
    assert number_in(page, name, said) * unit == fixed_limit(limit)


@pytest.mark.parametrize("page, name, said, path, source", ELSEWHERE)
def test_a_number_of_another_source(page, name, said, path, source):
    assert source.replace("#", str(number_in(page, name, said))) in read(path)


def test_every_fixed_limit_of_the_daemon_is_compared():
    shown = items(section("posternd.json.5", "Fixed limits"))
    numbers = [number for tag in re.findall(r"^\.TP\n\.B (.*)$", section("posternd.json.5", "Fixed limits"), re.M)
               for number in re.findall(r"\d+", tag)]
    rows = [said for _, name, said, _, _ in FIXED if name == "Fixed limits" and said.startswith(".B ")]
    assert shown and len(numbers) == len(rows)


def test_exit_codes_of_the_daemon(tmp_path):
    texts = items(section("posternd.8", "EXIT STATUS"))
    assert set(texts) == {"0", "1", "2", "3"}
    actions = tmp_path / "actions"
    actions.mkdir()
    (tmp_path / "bad.json").write_text("{")

    def holds(code, text, *words):
        done = subprocess.run([harness.program("posternd"), *map(str, words)], capture_output=True, text=True,
                              check=False, timeout=60)
        assert (done.returncode, text in texts[str(code)]) == (code, True), (words, done)

    holds(0, "found nothing wrong", "--check", "--actions", actions)
    holds(1, "found a bad file", "--lint", tmp_path / "bad.json")
    holds(1, "can't start", "--actions", actions, "--state", tmp_path / "none/state", "--jobs", "direct",
          "--socket", tmp_path / "none/socket")
    holds(2, "command line is wrong", "--none")
    holds(3, "no socket to listen on", "--actions", actions, "--state", tmp_path / "state", "--jobs", "direct")


def schema_texts():
    limits = json.loads(read("daemon/guard/config/posternd.schema.json"))["properties"]["limits"]["properties"]
    return [pytest.param(name, about, id=name) for name, about in sorted(limits.items())]


@pytest.mark.parametrize("name, about", schema_texts())
def test_the_schema_says_the_bounds_of_a_limit(name, about):
    """A number has them in keys of the schema, anything else in its text."""
    least, most = (bound.replace(" ", "") for bound in limit_bounds(name))
    if "minimum" in about:
        assert (str(about["minimum"]), str(about["maximum"])) == (least, most)
        return
    text = about["description"]
    bounds = f"up to {most}" if least in ("0", "0s") else f"from {least} to {most}"
    assert re.search(rf"\b{bounds}\b(?!\d)", text), (text, bounds)
    # And no others.
    assert len(re.findall(r"\b(?:up to|from \w+ to) \w+", text)) == 1
