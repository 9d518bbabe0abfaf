"""The manual pages: what they are rendered to, their items, and what they show."""

import functools
import re
import subprocess

import harness

FOLDER = harness.REPOSITORY / "packaging/man"
PAGES = ("postern.7", "posternctl.1", "postern-action.5", "posternd.json.5", "postern-protocol.7",
         "posternd.8")

def source(page):
    return (FOLDER / page).read_text(encoding="utf-8")


@functools.cache
def rendered(page):
    """The page as text, each paragraph one line."""
    done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=1000", FOLDER / page], check=True,
                          capture_output=True, encoding="utf-8")
    return re.sub(".\b", "", done.stdout)


def plain(text):
    """As it is shown, of an example in the source."""
    for escaped, shown in ((r"\-", "-"), (r"\(aq", "'"), (r"\(dq", '"'), (r"\e", "\\")):
        text = text.replace(escaped, shown)
    return text


def sections(page):
    return [plain(name) for name in re.findall(r"^\.S[HS] (.*)$", source(page), re.M)]


def section(page, name):
    """The source below a heading, to the next one: .SH with its parts, .SS alone."""
    found = re.search(rf"^\.(S[HS]) {re.escape(name)}\n", source(page), re.M)
    assert found, f"{page} has no section {name}"
    end = r"^\.SH " if found.group(1) == "SH" else r"^\.S[HS] "
    return re.split(end, source(page)[found.end():], maxsplit=1, flags=re.M)[0]


def tags(line):
    """What an item's tag names: `.BR \\-f ", " \\-\\-follow` names two options."""
    if line.startswith("."):
        words = re.findall(r'"([^"]*)"|(\S+)', line.partition(" ")[2])
        line = "".join((quoted or word) + (" " if line.startswith((".B ", ".I ")) else "")
                       for quoted, word in words)
    return [re.split(r"[ =]", name)[0] for name in plain(line).split(", ")]


def items(text):
    """Name -> text, of a section's .TP items."""
    found = {}
    for item in re.split(r"^\.TP\n", text, flags=re.M)[1:]:
        tag, _, rest = item.partition("\n")
        rest = re.split(r"^\.S[HS] ", rest, maxsplit=1, flags=re.M)[0]
        found |= dict.fromkeys(tags(tag), plain(rest))
    return found


def examples(page):
    """The texts between .EX and .EE, in their order."""
    return [plain(text) for text in re.findall(r"^\.EX\n(.*?)^\.EE$", source(page), re.M | re.S)]


# ---- What the pages are compared with ----

def read(path):
    return (harness.REPOSITORY / path).read_text(encoding="utf-8")


def interfaces():
    """Name -> the text of its .varlink file."""
    return {path.stem: path.read_text(encoding="utf-8")
            for path in (harness.REPOSITORY / "protocol").glob("*.varlink")}


def fixed_limit(name):
    found = re.search(rf"\b{name}(?: =|\{{)(.*?)[;}}]", read("base/limits.h").replace("std::int64_t{1}", "1"))
    return eval(found.group(1), {"__builtins__": {}})  # pylint: disable=eval-used


def limit_bounds(name):
    """(least, most) as the program says them of a limit."""
    said = ""
    for value in ("99999999999999999", "400d"):
        done = subprocess.run([harness.program("posternd"), "--check", "--limit", f"{name}={value}"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 2
        said += done.stderr
    return re.search(r"is out of range; give a value from (.*) to (.*)\n", said).groups()
