"""All documents: their links lead somewhere, their words are those of HACKING.md, and what they name exists."""

import re
import shutil
import sys
import xml.etree.ElementTree

import pytest

import harness

sys.path.insert(1, str(harness.REPOSITORY / "tests/checks"))

import words  # noqa: E402

TOP = harness.REPOSITORY
GUIDES = sorted(path.relative_to(TOP).as_posix() for path in (TOP / "docs").glob("*.md"))
DOCUMENTS = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "packaging/README.md", *GUIDES]
DRAWINGS = sorted(path.name for path in (TOP / "docs").glob("*.svg"))
# What the audit and fields of JSON are called, code that is shown, and names of tests are not for this check.
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`|^- \S+::\S+$", re.M | re.S)
# A reader of these knows no guard; HACKING.md and the source do.
FURTHER = {"guard": r"\bthe guard\b", "keeper": r"\bkeepers?\b", "letter slot": r"\bletter slot\b"}


def text_of(document):
    return (TOP / document).read_text(encoding="utf-8")


def anchors(text):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.M)}


def broken_links(file):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = file.parent / path if path else file
        if not there.is_file() or anchor and anchor not in anchors(there.read_text(encoding="utf-8")):
            broken.append(target)
    return broken


@pytest.mark.parametrize("document", [document for document in (*DOCUMENTS, "CHANGELOG.md", "HACKING.md")
                                      if document != "packaging/README.md"])
def test_links_lead_somewhere(document):
    assert broken_links(TOP / document) == []


def documents_of_the_deb():
    return text_of("packaging/debian/postern.docs").split()


def documents_of_the_rpm():
    words = re.search(r"^cp -R \S+ (.*?) \\\n +%\{buildroot\}%\{_docdir\}/%\{name\}$",
                      text_of("packaging/rpm/postern.spec"), re.M).group(1).split()
    assert "CHANGELOG.md" in words  # debhelper puts it there by itself
    return [word for word in words if word != "CHANGELOG.md"]


def test_links_lead_somewhere_where_the_packages_install_the_documents(tmp_path):
    assert documents_of_the_deb() == documents_of_the_rpm()
    for pattern in documents_of_the_deb():
        for path in TOP.glob(pattern):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    installed = sorted(tmp_path.glob("*.md"))
    assert [path.name for path in installed] == sorted(
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", *(guide.partition("/")[2] for guide in GUIDES)])
    assert {path.name: broken for path in installed if (broken := broken_links(path))} == {}


def test_the_readme_of_the_packages_leads_to_every_guide_and_manual_page():
    text = text_of("packaging/README.md")
    assert [guide for guide in GUIDES if f"]({guide.partition('/')[2]})" not in text] == []
    pages = {f"{path.stem}({path.suffix[1:]})" for path in (TOP / "packaging/man").iterdir()} - {"postern(7)"}
    assert set(re.findall(r"\bpostern[a-z.-]*\(\d\)", text)) == pages and "`man postern`" in text


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_words(document):
    text = re.sub(r"\s+", " ", CODE.sub("", text_of(document)))
    for word, pattern in {**words.NOT_SAID, **FURTHER}.items():
        found = [text[max(match.start() - 40, 0):match.end() + 40] for match in re.finditer(pattern, text, re.IGNORECASE)]
        assert not found or word == "door" and document == "README.md", (word, found)


def test_the_readme_is_short_and_leads_to_every_guide():
    readme = text_of("README.md")
    assert len(readme.splitlines()) < 100
    for guide in GUIDES:
        assert f"]({guide})" in readme, guide


def test_the_readme_names_every_manual_page():
    pages = {f"{path.stem}({path.suffix[1:]})" for path in (TOP / "packaging/man").iterdir()}
    assert len(pages) > 5
    assert set(re.findall(r"\bpostern[a-z.-]*\(\d\)", text_of("README.md"))) == pages


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_drawing_is_whole_and_shown(drawing):
    root = xml.etree.ElementTree.parse(TOP / "docs" / drawing).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert any(drawing in line and "![" in line for document in DOCUMENTS
               for line in text_of(document).splitlines())


def test_the_tests_that_the_reviewer_is_told_of_exist():
    table = re.search(r"^\| what \| where \|\n(.*?)\n\n", text_of("docs/security.md"), re.M | re.S).group(1)
    named = re.findall(r"`(tests/[^`]+)`", table)
    assert len(named) > 20
    assert [name for name in named if not (TOP / name).exists()] == []


def test_the_capabilities_that_the_reviewer_is_told_of_are_the_units():
    unit = text_of("systemd/posternd.service")
    assert "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL\n" in unit
    assert "NoNewPrivileges=yes\n" in unit and "PrivateNetwork=yes\n" in unit and "ProtectSystem=strict\n" in unit
    assert "three capabilities: SETUID and SETGID" in text_of("docs/security.md")


def test_where_the_daemon_may_write_is_what_its_unit_says():
    unit = text_of("systemd/posternd.service")
    above = {"State": "/var/lib", "Logs": "/var/log", "Runtime": "/run"}
    given = re.findall(r"^(\w+)Directory=(\w+)$", unit, re.M)
    assert not re.search("^(ReadWrite|Bind)Paths=", unit, re.M)
    writable = [f"{above[kind]}/{name}" for kind, name in given]
    source = re.search(r" unit_writes_to = \{(.*?)\}", text_of("daemon/guard/config/unit_warnings.cc"), re.S).group(1)
    assert re.findall(r'"(.*?)"', source) == writable
    manual = re.search(r"can write only to\n(.*?)ProtectSystem=strict", text_of("packaging/man/posternd.8"), re.S).group(1)
    assert re.findall(r"/[a-z/]+", manual) == writable


def numbers_of(text, pattern):
    return sorted(int(number) for found in re.findall(pattern, text, re.M) for number in re.findall(r"\d", found))


def test_the_numbers_in_the_drawing_of_the_threats_are_explained():
    balls = numbers_of(text_of("docs/threat-model.svg"), r'class="number"[^>]*>([^<]*)<')
    assert balls == list(range(1, 8))
    assert numbers_of(text_of("docs/security.md"), r"^\*\*((?:\d\.(?:, | and )?)+) ") == balls


def test_the_system_calls_that_the_reviewer_is_told_of_are_on_no_list():
    for program, calls, files in (
            ("session", "open socket connect execve sendmsg kill ptrace", "daemon/session/system_calls.cc"),
            ("keeper", "open socket execve read write", "daemon/output/keeper/system_calls.cc")):
        allowed = text_of(files) + text_of("daemon/confine/system_calls.cc").partition("int allow_basic_calls")[2]
        assert "SCMP_SYS(close)" in allowed and "SCMP_SYS(exit_group)" in allowed, program
        for call in [*calls.split(), "openat"]:
            assert f"SCMP_SYS({call})" not in allowed, (program, call)
