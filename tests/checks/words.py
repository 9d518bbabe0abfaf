#!/usr/bin/python3
"""words.py [--all | --write] [TREE]: holds what the programs say to the table of words in HACKING.md.

Reads the string literals of the sources, the comments of the .varlink files, and all of what lies in systemd/. Texts that were there
before this check are in words_kept.txt, with the word and how often. None may be added; one that is gone
or was corrected leaves the list (--write makes it shorter, never longer). --all shows every place.
"""

import collections
import pathlib
import re
import sys

from sources import REPOSITORY

TOPS = ("base", "ctl", "daemon", "host", "model", "protocol", "systemd")
# Read line by line: their comments are texts for administrators as well.
PLAIN = (".catalog", ".conf", ".service", ".socket")
KEPT = "tests/checks/words_kept.txt"
# The word of HACKING.md that is not said -> how it is recognised in a literal.
NOT_SAID = {
    "is no X": r"(?<!there )\b(?:is|are) no (?!longer\b|more\b|room\b|such\b)[a-z]+\b",
    "X is missing": r"(?<!a comma )(?<!a colon )(?<!a key )(?<!something )(?<!output )\b(?:is|are) missing\b(?! here)",
    "folder": r"\bfolders?\b",
    "packet": r"\bpackets?\b",
    "who calls": r"\bwho(?:ever)? calls\b",
    "since (because)": r", since (?!the start|then)\w+",
    "goes on": r"\b(?:goes|went|go|going) on\b",
    "is over": r"\b(?:is|was|are) over\b",
    "is gone": r"\b(?:is|was|are) gone\b",
    "is off": r"\b(?:is|are) off\b",
    "in force": r"\bin force\b",
    "under way": r"\bunder way\b",
    "make way": r"\b(?:make|makes|made|gives?) way\b",
    "take up": r"\b(?:takes?|taken) up\b",
    "door": r"\bdoors?\b",
    "letter slot": r"\bletter slot\b",
    "its time was up": r"\btime (?:was|is) up\b",
}
# Strings of one character or two in raw literals and escapes are no words.
LITERAL = re.compile(r'R"([a-z]*)\((.*?)\)\1"|"((?:[^"\\\n]|\\.)*)"|//[^\n]*|/\*.*?\*/|^\s*#\s*include[^\n]*|'
                     r"'(?:[^'\\\n]|\\.)'", re.DOTALL | re.MULTILINE)
BETWEEN = re.compile(r"\s*")


def texts(source):
    """(line, text) of each literal; those that follow each other are one, as the compiler has it."""
    found, end, line, text = [], None, 0, ""
    for match in LITERAL.finditer(source):
        raw, plain = match.group(2), match.group(3)
        if raw is None and plain is None:
            continue
        part = raw if raw is not None else plain
        if end is not None and BETWEEN.fullmatch(source, end, match.start()):
            text += part
        else:
            if end is not None:
                found.append((line, text))
            line, text = source.count("\n", 0, match.start()) + 1, part
        end = match.end()
    if end is not None:
        found.append((line, text))
    return found


def places(root):
    """(word, text) -> where it is."""
    found = collections.defaultdict(list)
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".cc", ".h", ".varlink", *PLAIN):
                continue
            source = path.read_text(encoding="utf-8")
            if path.suffix == ".varlink":
                # Its comments are what callers read.
                said = [(number, line.lstrip("# ")) for number, line in
                        enumerate(source.splitlines(), 1) if line.lstrip().startswith("#")]
            elif path.suffix in PLAIN:
                said = list(enumerate(source.splitlines(), 1))
            else:
                said = texts(source)
            for line, text in said:
                for word, pattern in NOT_SAID.items():
                    plain = re.sub(r"(?:\\[nt]|\s)+", " ", text).strip()
                    for match in re.finditer(pattern, plain, re.IGNORECASE):
                        start = max(match.start() - 40, 0)
                        shown = plain[start:match.end() + 40]
                        found[word, shown].append(f"{path.relative_to(root)}:{line}")
    return found


def kept(root):
    counts = {}
    for line in (root / KEPT).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            count, word, text = line.split("\t", 2)
            counts[word, text] = int(count)
    return counts


def write(root, counts):
    lines = ["# What was said before tests/checks/words.py was there: how often, which word, where in which text."]
    lines += [f"{count}\t{word}\t{text}" for (word, text), count in sorted(counts.items())]
    (root / KEPT).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    words = sys.argv[1:]
    mode = words.pop(0) if words and words[0].startswith("--") else ""
    root = pathlib.Path(words[0]) if words else REPOSITORY
    found = places(root)
    if mode == "--all":
        for (word, text), where in sorted(found.items()):
            print(f"{' '.join(where)}: {word}: {text}")
        return 0
    before = kept(root)
    if mode == "--write":
        # Never more than before.
        write(root, {key: min(len(where), before[key]) for key, where in found.items() if key in before})
        return 0
    wrong = 0
    for (word, text), where in sorted(found.items()):
        if len(where) > before.get((word, text), 0):
            print(f"words: {' '.join(where)}: \"{word}\" in \"{text}\": see the table of words in HACKING.md")
            wrong += 1
    for (word, text), count in sorted(before.items()):
        if len(found.get((word, text), ())) < count:
            print(f"words: \"{text}\" is said less often than {KEPT} has it; run tests/checks/words.py --write")
            wrong += 1
    if not wrong:
        print(f"words: {sum(before.values())} old ones are left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
