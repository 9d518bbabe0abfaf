"""What the checks of the structure know of the tree: its table of folders, and who includes whom."""

import pathlib
import re
from typing import NamedTuple

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ENDINGS = (".h", ".cc", ".in")
ROW = re.compile(r"^\| `([a-z/]+)/` \|[^|]*\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
WORD = re.compile(r"`([^`]+?)/?`")
INCLUDE = re.compile(r'^\s*#\s*(?:include|include_next|import)\s*(["<])([^">]+)[">]', re.MULTILINE)
# Made by CMake.
GENERATED = {"base/version.h": "base/version.h.in", "protocol/interfaces.cc": "protocol/interfaces.cc.in"}


class Row(NamedTuple):
    """A folder of the table in HACKING.md: what it may include from, and which libraries."""
    folders: frozenset
    libraries: frozenset


def table(root):
    """Folder -> Row. The one list of who may include whom; CMake reads it too."""
    text = (root / "HACKING.md").read_text(encoding="utf-8")
    rows = {}
    for folder, folders, libraries in ROW.findall(text):
        assert folder not in rows, f"HACKING.md has two rows for {folder}/"
        rows[folder] = Row(frozenset(WORD.findall(folders)), frozenset(WORD.findall(libraries)))
    assert rows, "HACKING.md has no table of folders"
    for folder, row in rows.items():
        unknown = row.folders - rows.keys()
        assert not unknown, f"HACKING.md, {folder}/: no row for {sorted(unknown)}"
    return rows


def folder_of(path):
    return path.rpartition("/")[0]


def sources(root, rows):
    """Every source file below the first parts of the table's folders."""
    tops = sorted({folder.split("/")[0] for folder in rows})
    return sorted(str(path.relative_to(root)) for top in tops if (root / top).is_dir()
                  for path in (root / top).rglob("*") if path.suffix in ENDINGS)


def includes(root, path):
    """(kind, name) of every #include in a file: kind is " for ours, < for the system's."""
    return INCLUDE.findall((root / path).read_text(encoding="utf-8"))
