"""The manual pages name everything that the programs have, and nothing else.

What there is comes from the programs themselves, or from the tables in their sources. What the pages show is run
by test_manual_examples.py.
"""

import json
import re
import signal
import subprocess
import sys

import pytest

import harness
from actions import HELLO, TRUE, script
from manuals import (FOLDER, PAGES, fixed_limit, interfaces, items, limit_bounds, read, rendered, section, sections,
                     source)

sys.path.insert(0, str(harness.REPOSITORY / "tests/checks"))
from words import NOT_SAID  # noqa: E402

every_page = pytest.mark.parametrize("page", PAGES)
OPTION = r"(?<![\w-])--?[a-z][a-z-]*"
# Of other programs that the pages mention.
FOREIGN_OPTIONS = {"--kill-whom"}


def run(*command, code=0):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    return done


# ---- Form ----

@every_page
def test_mandoc_has_nothing_to_say(page):
    done = run("mandoc", "-T", "lint", "-W", "warning", FOLDER / page)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_package_has_all_of_them():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(PAGES)
    assert read("packaging/debian/postern.manpages").split() == ["packaging/man/*"]


@every_page
def test_the_words_are_those_of_administrators(page):
    # An entry of the audit, and a kind of socket.
    text = re.sub(r"packet-refused|AF_PACKET", "", re.sub(r"\s+", " ", rendered(page)))
    said = {word: match.group() for word, pattern in (NOT_SAID | {"guard": r"\bguards?\b"}).items()
            if (match := re.search(rf".{{0,40}}(?:{pattern}).{{0,40}}", text, re.IGNORECASE))}
    assert not said


def broken_references(text, page=None):
    """Pages, sections, options and keys that the text names and that do not exist. page: of which it is the text."""
    broken = []

    def hold(found, said):
        if not found:
            broken.append(said)

    pages = "|".join(f"{re.escape(name[:-2])}\\({name[-1]}\\)" for name in PAGES)

    def of(named):
        return named[:-3] + "." + named[-2]

    for named in re.findall(r"\bpostern[\w.-]*\(\d\)", text):
        hold(of(named) in PAGES, named)
    for named, heading in re.findall(rf"({pages}), ([A-Z][A-Z-]+(?: [A-Z]+)*)\b(?!\()", text):
        hold(heading in sections(of(named)), f"{named}, {heading}")
    for heading, named in re.findall(rf"\b([A-Z][A-Z-]+(?: [A-Z]+)*) in ({pages})", text):
        hold(heading in sections(of(named)), f"{heading} in {named}")
    for option, named in re.findall(rf"(?<![\w-])(--[a-z-]+)`? (?:in|of) ({pages})", text):
        hold(option in rendered(of(named)), f"{option} in {named}")
    for named, key in re.findall(rf"({pages}), `(\w+)`", text):
        hold(key in items(source(of(named))), f"{named}, {key}")
    for heading in re.findall(r"\bsee ([A-Z][A-Z-]+(?: [A-Z]+)*)\b(?! in )", text) if page else ():
        hold(heading in sections(page), f"see {heading}")
    return broken


@every_page
def test_a_page_or_section_that_a_page_names_exists(page):
    assert broken_references(re.sub(r"\s+", " ", rendered(page)), page) == []


def test_a_page_or_section_that_another_text_names_exists():
    """In documents, messages, helps, units, and the comments of the source."""
    tops = [top for top in harness.REPOSITORY.iterdir()
            if top.name not in ("build", "tests") and not top.name.startswith(".")]
    paths = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))
             if path.is_file() and path.parent != FOLDER and "__pycache__" not in path.parts]
    broken, naming = {}, 0
    for path in paths:
        # One line, without what comments and literals begin and end their lines with.
        text = re.sub(r'"\s*\n\s*"|\n\s*(?://|#) ?', " ", path.read_text(encoding="utf-8"))
        text = re.sub(r"\s+", " ", text)
        naming += bool(re.search(r"\bpostern[\w.-]*\(\d\)", text))
        if found := broken_references(text):
            broken[str(path.relative_to(harness.REPOSITORY))] = found
    assert broken == {}
    assert naming > 15


def test_a_reference_that_leads_nowhere_is_found():
    for text in ("posternd(8), LIMIT", "PACKETS in posternd(8)", "postern-session(8)", "`--none` of posternctl(1)",
                 "postern-action(5), `none`"):
        assert broken_references(text) == [text.replace("`", "").replace(" of ", " in ")], text
    assert broken_references("see PACKETS", "posternd.8") == ["see PACKETS"]


@every_page
def test_it_leads_to_the_others(page):
    others = [other for other in PAGES if other != page]
    found = set(re.findall(r"([\w.-]+)\((\d)\)", rendered(page)))
    if page == "postern.7":
        assert {tuple(other.rsplit(".", 1)) for other in others} <= found
    assert ("postern", "7") in found or page == "postern.7"


# ---- Command lines ----

def options_of_help(text):
    """The options in the lists of a --help."""
    rows = re.findall(r"^  (-.*?)(?: [A-Z]|  |$)", text, re.M)
    return set(re.findall(OPTION, " ".join(row.replace(",", " ") for row in rows)))


def daemon_options():
    return options_of_help(run(harness.program("posternd"), "--help").stdout)


def verbs():
    text = run(harness.program("posternctl"), "--help").stdout
    return re.findall(r"^  ([a-z-]+) ", text[text.index("Verbs:"):text.index("Options")], re.M)


def client_options():
    texts = [run(harness.program("posternctl"), *words, "--help").stdout
             for words in ([], *([verb] for verb in verbs()))]
    return set().union(*map(options_of_help, texts))


def test_every_option_of_the_daemon():
    found = daemon_options()
    assert len(found) > 20
    assert set(items(section("posternd.8", "OPTIONS"))) == found


def test_every_verb_and_option_of_the_client():
    assert len(verbs()) > 15
    assert set(items(section("posternctl.1", "VERBS"))) == set(verbs())
    assert set(items(section("posternctl.1", "OPTIONS"))) == client_options()


@every_page
def test_no_other_option(page):
    text = rendered(page)
    known = daemon_options() | client_options() | FOREIGN_OPTIONS
    assert {word for word in re.findall(OPTION, text) if word.startswith("--")} <= known
    # Of the right program.
    assert set(re.findall(rf"\bposternd ({OPTION})", text)) <= daemon_options()
    for line in re.findall(r"\bposternctl ([^;,.()|\n]*)", text):
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)) <= client_options() | {"--check"}, line


def test_every_exit_code_of_the_client():
    codes = set(re.findall(r"constexpr int \w+ = (\d+);", read("ctl/text/exit_codes.h")))
    section_text = section("posternctl.1", "EXIT STATUS")
    assert len(codes) > 10 and codes - set(re.findall(r"\d+", section_text)) == set()
    # 1 is for what is wrong with files.
    assert set(items(section_text)) == codes - {"128"} | {"1", "128+N"}


def test_exit_codes_are_those_of_the_page(start_guard, folder, tmp_path):
    """Calls of each kind end with a code whose text in EXIT STATUS says this."""
    texts = items(section("posternctl.1", "EXIT STATUS"))
    admin = folder / "admin.sock"
    guard = start_guard({"good": {**HELLO, "arguments": {}}, "exits": script("exit 3"), "late": script("sleep 60", timeout=1),
                         "killed": script("kill -HUP $$"), "denied": TRUE | {"allow": []}},
                        options=["--admin-socket", str(admin)])
    bad = tmp_path / "bad.json"
    bad.write_text("{")

    def holds(code, text, *words):
        done = guard.ctl(*words)
        assert (done.returncode, text in texts[str(code)]) == (code, True), (words, done)

    holds(0, "Success", "ping")
    holds(0, "Success", "--socket", str(admin), "reload")
    holds(1, "a file is bad", "lint", str(bad))
    (guard.actions_folder / "bad.json").write_text("{")
    holds(1, "a file is bad", "--socket", str(admin), "reload")
    holds(2, "command line is wrong", "--none")
    holds(2, "command line is wrong", "run")
    holds(122, "are not valid", "run", "good", "none=1")
    holds(124, "timed out", "run", "late")
    holds(125, "can't be reached", "--socket", str(folder / "none.sock"), "ping")
    holds(126, "no such action", "run", "denied")
    holds(126, "no such action or job", "show", "0000")
    holds(126, "socket for callers", "--socket", str(guard.socket_path), "status")
    assert guard.ctl("run", "exits").returncode == 3
    assert guard.ctl("run", "killed").returncode == 128 + signal.SIGHUP


# ---- posternd.json ----

def keys_that_lint_names(folder, text):
    """The keys that there are, from the message about one that there is not."""
    path = folder / "posternd.json"
    path.write_text(text)
    said = run(harness.program("posternctl"), "lint", path, code=1).stderr
    return re.search(r"unknown key; remove it, or use one of (.*)", said).group(1).split(", ")


def test_every_key_of_the_configuration(tmp_path):
    known = keys_that_lint_names(tmp_path, '{"none": 1}')
    assert "limits" in known
    assert set(items(section("posternd.json.5", "KEYS"))) == set(known) - {"$schema"}
    assert "$schema" in section("posternd.json.5", "EDITORS")


def test_every_limit_with_its_default_and_its_bounds(tmp_path):
    known = keys_that_lint_names(tmp_path, '{"limits": {"none": 1}}')
    assert len(known) > 15
    shown = {}
    for name in ("Connections and sessions", "Jobs", "Output", "Records"):
        shown |= items(section("posternd.json.5", name))
    assert set(shown) == set(known)
    with harness.private_folder() as folder:
        config = folder / "posternd.json"
        config.write_text("{}")
        defaults = json.loads(run(harness.program("posternd"), "--check", "--json", "--config", config,
                                  "--actions", folder / "none").stdout)["limits"]
    for name, text in shown.items():
        least, most = limit_bounds(name)
        said = f"Default: {defaults[name]}; from {least} to {most}.\n"
        assert re.split(r"^\.IP$", text, flags=re.M)[-1].endswith(said), name


# ---- Action files ----

def test_every_key_of_an_action_file():
    schema = json.loads(read("daemon/policy/file/action.schema.json"))
    definitions = schema["definitions"]
    expected = {"Description": {"summary", "description"}, "Who may run it": {"allow", "deny"},
                "User and groups": {"user", "group", "groups"}, "Sandbox": {"sandbox"},
                "Arguments": {"arguments"}}
    placed = set().union(*expected.values()) | {"$schema"}
    expected["Program"] = set(schema["properties"]) - placed | {'"text"', '"direct"'}
    expected["Who may run it"] |= set(definitions["subject"]["properties"])
    expected["Arguments"] |= set(definitions["argument"]["properties"])
    shown = {name: set(items(section("postern-action.5", name))) for name in expected}
    assert shown == expected
    assert '"$schema"' in section("postern-action.5", "EDITORS")


# ---- The protocol ----

def test_every_method():
    assert len(interfaces()) == 4
    for name, text in interfaces().items():
        methods = set(re.findall(r"^method (\w+)", text, re.M))
        assert set(items(section("postern-protocol.7", name))) == methods, name


def test_every_error_with_its_exit_code():
    codes = dict(re.findall(r"constexpr int (\w+) = (\d+);", read("ctl/text/exit_codes.h")))
    rows = dict(re.findall(r'ErrorRow\{"([\w.]+)", exit_code::(\w+)\}', read("ctl/text/exit_codes.cc")))
    assert len(rows) > 10
    expected = {f"{name}.{error}": codes[rows.get(f"{name}.{error}", "broken")]
                for name, text in interfaces().items() for error in re.findall(r"^error (\w+)", text, re.M)}
    shown, interface = {}, None
    for line in section("postern-protocol.7", "ERRORS").split("\n"):
        if line in interfaces():
            interface = line
        elif row := re.fullmatch(r"(\w+):.*:(\d+)", line):
            shown[f"{interface}.{row.group(1)}"] = row.group(2)
    assert shown == expected


def test_the_limits_of_a_message():
    text = section("postern-protocol.7", "LIMITS")
    for name, shown in (("message_bytes", ".B {} bytes\nin all"),
                        ("json_string_bytes", ".B {} bytes\nin a string"),
                        ("input_bytes", "\nUp to {} bytes:\n"), ("multiline_bytes", "\nUp to {} bytes:\n"),
                        ("json_depth", ".B {}\nlevels"), ("json_members", ".B {}\nmembers"),
                        ("json_values", ".B {}\nvalues")):
        assert shown.format(fixed_limit(name)) in text, name
    assert fixed_limit("json_integer") == 2**53 and "2^53" in text
    assert (fixed_limit("mid_message_silence"), fixed_limit("unread_patience")) == (10, 60)
    assert "ten seconds" in section("postern-protocol.7", "FRAMING") and "for a minute" in text


# ---- The audit ----

def test_every_kind_of_entry_of_the_audit():
    kinds = set(re.findall(r'\{?"([a-z-]+)", "[0-9a-f]{32}"\}', read("daemon/guard/audit/audit.cc")))
    assert len(kinds) == 19
    assert set(items(section("posternd.8", "AUDIT").split(".SS ")[0])) == kinds


def test_every_field_of_the_journal():
    fields = {field for path in (harness.REPOSITORY / "daemon/guard/audit").glob("*.[ch]*")
              for field in re.findall(r'"(POSTERN_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    assert {"POSTERN_ARGUMENTS", "POSTERN_UNIT", "POSTERN_ADDED"} < fields
    assert set(items(section("posternd.8", "In the journal"))) == fields


def test_every_key_of_the_audit_file():
    text = read("daemon/guard/audit/audit.cc")
    body = text[text.index("std::string audit_json("):text.index("AuditFields audit_fields(")]
    keys = set(re.findall(r'(?:json\[|put\()"(\w+)"', body))
    keys |= set(re.findall(r'json\["(group\w*)"\]', text))
    assert {"time", "arguments", "groupCount", "cancelledBy"} < keys
    named = set(re.findall(r"\w+", section("posternd.8", "In a file")))
    assert keys <= named


def test_every_source_is_one_style():
    for page in PAGES:
        assert re.match(r"(?:'\\\" t\n)?\.TH ", source(page)) and "\n.Sh " not in source(page)


def test_it_leads_those_who_come_from_sudo_to_their_guide():
    text = re.sub(r"\s+", " ", rendered("postern.7"))
    assert "/usr/share/doc/postern/from-sudoers.md" in text
    assert (harness.REPOSITORY / "docs/from-sudoers.md").is_file()
    assert "docs/*" in read("packaging/debian/postern.docs").split()


def test_the_changelog_names_every_page_that_is_new():
    text = read("CHANGELOG.md")
    assert [page for page in PAGES if f"{page[:-2]}({page[-1]})" not in text] == []
