"""Profiles of AppArmor: what they let a program do (apparmor.d(5), as far as ours and what they include go)."""

import collections
import dataclasses
import pathlib
import re

SYSTEM = pathlib.Path("/etc/apparmor.d")
# Our programs, and the profile that each is started under.
CONFINED = {**dict.fromkeys(("posternd", "postern-session", "postern-dropper", "posternctl"), "posternd"),
            "postern-output": "postern-output"}
_FILE_RULE = re.compile(r"(?:owner )?([/@]\S+) +([a-z]+)(?: -> (\S+))?")
_SIGNS = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}


@dataclasses.dataclass
class Rule:
    text: str
    own: bool  # in the file itself, not in one that it includes
    reason: bool  # a comment stands on its line or right above
    paths: re.Pattern = None
    how: str = ""
    capability: str = ""


class Profiles:
    """Of a text: name -> rules; what programs add to the profile that they are started under (&)."""

    def __init__(self, text):
        self._variables = collections.defaultdict(list)
        self.rules = collections.defaultdict(list)
        self.stacked = {}
        self._read(text, None, own=True)

    def _read(self, text, profile, own):
        lines, reason = [], False
        for line in text.splitlines():
            statement, _, comment = line.strip().partition("#")
            if line.strip().startswith("#include"):
                statement, comment = line.strip()[1:], ""
            statement = statement.strip()
            if not statement:
                reason = bool(comment)
                continue
            reason = reason or bool(comment)
            lines.append(statement)
            if found := re.fullmatch(r"profile (\S+) .*{", statement):
                profile = found.group(1)
            elif statement == "}":
                profile = None
            elif found := re.fullmatch(r"include (if exists )?<(.*)>", statement):
                self._include(SYSTEM / found.group(2), profile)
            elif found := re.fullmatch(r"@\{(\w+)\} *\+?= *(.*)", statement):
                self._variables[found.group(1)] += found.group(2).replace('"', "").split()
            elif not statement.endswith(","):
                continue
            elif profile:
                self._add(profile, " ".join(lines)[:-1], own, reason)
            lines, reason = [], False
        assert not lines, lines

    def _include(self, path, profile):
        for file in sorted(path.iterdir()) if path.is_dir() else [path] * path.exists():
            self._read(file.read_text(encoding="utf-8"), profile, own=False)

    def _add(self, profile, text, own, reason):
        rule = Rule(text, own, reason)
        self.rules[profile].append(rule)
        if found := _FILE_RULE.fullmatch(re.sub(r"\s+", " ", text)):
            path, how, target = found.groups()
            rule.how = re.sub("[pi]", "", how)  # which belong to the x
            rule.paths = re.compile("|".join(map(regex, self._expanded(path))))
            if target:
                assert target.startswith("&"), text
                self.stacked[pathlib.PurePath(path).name] = target[1:]
        elif text.startswith("capability "):
            rule.capability = text.split()[1]

    def _expanded(self, path):
        found = re.search(r"@\{(\w+)\}", path)
        if not found:
            return [re.sub("/+", "/", path)]
        return [one for value in self._variables[found.group(1)]
                for one in self._expanded(path[:found.start()] + value + path[found.end():])]

    def allow(self, profile, what, how):
        """The rules that together allow this use of a file, or this capability; none if it is not allowed."""
        if not what.startswith("/"):
            return [rule for rule in self.rules[profile] if rule.capability == what]
        found = [rule for rule in self.rules[profile]
                 if rule.paths and set(rule.how) & set(how) and rule.paths.fullmatch(what)]
        return found if set(how) <= {letter for rule in found for letter in rule.how} else []

    def asked(self, seen):
        """(program, one of its profiles, file or capability, how it is used) of all that accesses.py has seen."""
        uses = [(program, path, how) for (program, path), how in seen.files.items()]
        for program, what, how in uses + [(program, name, {""}) for program, name in seen.capabilities]:
            if program in CONFINED:
                for profile in (CONFINED[program], self.stacked.get(program)):
                    if profile:
                        yield program, profile, what, how

    def denied(self, seen, *others):
        """What was seen, and neither these profiles allow nor the others, which have more rules for the same names."""
        return {(program, profile, what, "".join(sorted(how))) for program, profile, what, how in self.asked(seen)
                if not any(profiles.allow(profile, what, how) for profiles in (self, *others))}


def regex(glob):
    """A pattern of paths as a regular expression. After a slash a star stands for something."""
    parts = re.findall(r"\*\*|\[[^]]*\]|\\.|.", glob)
    done, depth = [], 0
    for number, part in enumerate(parts):
        depth += {"{": 1, "}": -1}.get(part, 0)
        if part in ("*", "**"):
            is_name = number > 0 and parts[number - 1] == "/" and parts[number + 1:number + 2] in ([], ["/"])
            done.append("(?!/)" * (part == "**") + _SIGNS[part].replace("*", "+") if is_name else _SIGNS[part])
        elif part in _SIGNS and (part != "," or depth):
            done.append(_SIGNS[part])
        else:
            done.append(part if part[0] in "[\\" else re.escape(part))
    return "".join(done)
