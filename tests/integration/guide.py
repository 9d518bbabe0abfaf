"""What a guide in docs/ shows, step by step: files that are written, and commands with what they print.

    `/etc/postern/actions.d/hello.json`:        a line that ends so names the file of the block that follows

    ```console
    root# install -m 644 hello.json /etc/postern/actions.d/
    alice$ posternctl run hello name=Ada
    Hi, Ada
    ```

The word before the prompt is the user. `...` in the output stands for anything, also for several lines, and a line of it alone for none as well. A
command that does not end with 0 is followed by its exit code: `[exit code 126]`. A line that ends in a
backslash goes on in the next one.
"""

import dataclasses
import re

import harness

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NAMED = re.compile(r"`(/[^`\s]+)`[^`\n]*:\n+\Z")
COMMAND = re.compile(r"^(\w+)([#$]) ((?:.*\\\n)*.*)\n((?:(?!\w+[#$] ).*\n)*)", re.M)
# Languages of blocks that are there to be read.
SHOWN_ONLY = ("sudoers", "text")
EXIT_CODE = re.compile(r"\[exit code (\d+)\]\n\Z")


@dataclasses.dataclass(frozen=True)
class File:
    path: str
    text: str
    language: str


@dataclasses.dataclass(frozen=True)
class Command:
    user: str
    line: str
    output: str
    exit_code: int


def text_of(name):
    return (harness.REPOSITORY / name).read_text(encoding="utf-8")


def sections(text):
    """Heading -> text of each section and subsection that shows anything, its subsections not included."""
    parts = re.split(r"^##+ (.*)\n", text, flags=re.M)
    return {heading: body for heading, body in zip(parts[1::2], parts[2::2]) if BLOCK.search(body)}


def steps(section):
    """The files and commands of a section, in order."""
    found = []
    for block in BLOCK.finditer(section):
        language, content = block.groups()
        named = NAMED.search(section, 0, block.start())
        if language in SHOWN_ONLY:
            continue
        if language == "console":
            commands = COMMAND.findall(content)
            assert commands and "".join("{}{} {}\n{}".format(*c) for c in commands) == content, content
            found += [_command(*command) for command in commands]
        elif named:
            found.append(File(named.group(1), content, language))
        else:
            raise AssertionError(f"neither a console nor a file with a name: {content[:200]}")
    return found


def _command(user, prompt, line, output):
    assert (user == "root") == (prompt == "#"), line
    ended = EXIT_CODE.search(output)
    return Command(user, line, output[:ended.start()] if ended else output, int(ended.group(1)) if ended else 0)


def is_shown(output, got):
    """Whether a command has printed what the guide shows."""
    pattern = re.sub(r"^\.\.\.\n", "\0", output, flags=re.M)
    pattern = re.escape(pattern).replace(re.escape("\0"), r"(?:.*\n)?").replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, got, re.S) is not None
