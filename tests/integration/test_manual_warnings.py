"""posternctl(1), WARNINGS, explains each warning that lint and --check have, by a part of its text."""

import re

import harness
from manuals import plain, read, rendered, section

LITERAL = r'"(?:[^"\\\n]|\\.)*"'
# Where warnings are said that no call of warn() says, and how each begins there.
ELSEWHERE = {
    "daemon/guard/config/unit_warnings.cc": r"warnings_\.push_back\(",
    "daemon/guard/config/check.cc": r"add_good\(std::move\(entry\),\s+\{",
    "daemon/policy/file/closed_socket.cc": r"return (?=who|\"members)",
    "daemon/policy/file/folder_listing.cc": r"told\.push_back\(",
    "daemon/policy/file/loader.cc": r"missing\.message = ",
    # What command_reader.cc warns of with this function's text.
    "host/safe_program.cc": r"return (?=printable\(path\) \+\s+\" is neither)",
}


def text_of(code):
    """What an expression says: its literals, with ... for what is only known when it runs."""
    text = re.sub(rf"({LITERAL})\s+(?={LITERAL})", lambda found: found.group(1)[:-1] + "\0", code)
    pieces = re.findall(LITERAL, text.replace('\0"', ""))
    return "...".join(re.sub(r"\\(.)", r"\1", piece[1:-1]) for piece in pieces)


def expression(code, start):
    """From there to the end of its statement."""
    return re.match(rf"(?:{LITERAL}|[^;\"])*", code[start:]).group()


def warnings():
    """(path, text)"""
    found = []
    for path in sorted(source for top in ("base", "ctl", "daemon", "host", "model")
                       for source in (harness.REPOSITORY / top).rglob("*.cc")):
        name = str(path.relative_to(harness.REPOSITORY))
        code = read(name)
        begins = [match.end() for match in re.finditer(r"(?<!spdlog::)(?<!void )(?<!void Document::)\bwarn\(", code)]
        if name in ELSEWHERE:
            more = [match.end() for match in re.finditer(ELSEWHERE[name], code)]
            assert more, name
            begins += more
        found += [(name, text_of(expression(code, begin))) for begin in begins]
    return found


def tags():
    return [plain(tag) for tag in re.findall(r"^\.TP\n\.I (.*)$", section("posternctl.1", "WARNINGS"), re.M)]


def test_every_warning_is_explained():
    found = warnings()
    assert len(found) > 20
    # The one whose text is a function's, see above.
    assert [path for path, text in found if not text] == ["daemon/policy/file/command_reader.cc"]
    assert [(path, text) for path, text in found if text and not any(tag in text for tag in tags())] == []


def test_no_other_is():
    texts = [text for _, text in warnings()]
    assert len(tags()) > 15
    assert [tag for tag in tags() if not any(tag in text for text in texts)] == []


def test_the_other_page_leads_there():
    for page in ("posternd.8", "postern-action.5"):
        assert "posternctl(1), WARNINGS" in re.sub(r"\s+", " ", rendered(page)), page
