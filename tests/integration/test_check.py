"""posternd --check of a directory with every slip that people make: what exactly is said, and the exit code."""

import json

import pytest

import harness
from harness import program
from identity import run_as

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: files that are root's")

GOOD = {"summary": "Greet", "exec": ["/bin/echo", "Hi"], "allow": [{"user": "root"}], "timeout": "5s"}
# A file's text, and what is said of it: line, column and message.
BAD = {
    "both": ('{\n  "sumary": "s",\n  "exec": ["/bin/true"]\n}\n',
             '2:3: sumary: unknown key; did you mean "summary"?'),
    "comma": ('{\n  "summary": "s"\n  "exec": ["/bin/true"],\n  "allow": []\n}\n',
              '2:17: a comma is missing at the end of this line; add ","'),
    "hash": ('# restarts it\n{"summary": "s"}\n',
             "1:1: comments begin with //, not with #; write //"),
    "interpreter": ({**GOOD, "exec": ["@/lost.sh"]},
                    "1:31: exec[0]: @/lost.sh is started by /nonexist, as its first line says: /nonexist does not "
                    "exist; create it or correct the path"),
    "line": ({**GOOD, "exec": "/bin/echo Hi there"},
             '1:30: exec: must be a list of words, not a string; write ["/bin/echo", "Hi", "there"]'),
    "missing": ('{\n  "summary": "s",\n  "exec": ["/bin/true"]\n}\n',
                '1:1: "allow" is required; add "allow": [{"group": "NAME"}]'),
    "program": ({**GOOD, "exec": ["@/no-such-program"]},
                "1:31: exec[0]: @/no-such-program does not exist; create it or correct the path"),
    "quotes": ("{\n  'summary': 's'\n}\n",
               "2:3: ' is not a quotation mark in JSON; write \"summary\""),
    "returns": ({**GOOD, "exec": ["@/crlf.sh"]},
                "1:31: exec[0]: @/crlf.sh has Windows line endings (CR LF), so its interpreter is not "
                "found; run: sed -i 's/\\r$//' @/crlf.sh"),
    "subjects": ({**GOOD, "allow": [{"user": ["root", "daemon"]}]},
                 "1:70: allow[0].user: takes one value, not a list; write one subject for each: "
                 '{"user": "root"}, {"user": "daemon"}'),
    "trailing": ('{\n  "summary": "s",\n  "allow": [],\n}\n', '3:14: a comma before "}"; remove it'),
    "web service": (GOOD, '"web service" is not a valid name for an action; use letters, digits, ".", "_" and '
                          '"-", starting with a letter or digit, at most 64 characters'),
}
NOT_JSON = "is ignored, because its name does not end in .json;"
# Names that nothing is read from, and what is said of them.
PASSED_OVER = {
    "good.json.bak": f"{NOT_JSON} good.json exists too; move this one elsewhere, or give "
                     "it another name that ends in .json",
    "old": "is ignored, because it is a directory; move the files in it to %",
    "other.conf": f"{NOT_JSON} rename it to other.json",
    "web.JSON": f"{NOT_JSON} rename it to web.json",
}
LEFTOVERS = (".web.json", ".web.json.swp", "web.json~", "#web.json#", "web.json.dpkg-old", "web.json.rpmnew",
             "web.json.ucf-dist", "README", ".git", "web.json.orig", "4913")



@pytest.fixture
def actions(folder):
    """A directory of action files with all of these, and a good one and one that only masks."""
    actions, scripts = folder / "actions.d", folder / "scripts"
    for made in (actions, scripts):
        made.mkdir()
        made.chmod(0o755)
    for name, first in {"lost.sh": "#!/nonexist\n", "crlf.sh": "#!/bin/sh\r\n"}.items():
        (scripts / name).write_text(first + "true\n")
        (scripts / name).chmod(0o755)
    put(actions / "good.json", GOOD)
    put(actions / "masked.json", "")
    for name, (content, _) in BAD.items():
        text = content if isinstance(content, str) else json.dumps(content)
        put(actions / f"{name}.json", text.replace("@", str(scripts)))
    for name in LEFTOVERS:
        put(actions / name, "not JSON")
    for name in PASSED_OVER:
        if name == "old":
            (actions / name).mkdir()
            put(actions / name / "below.json", GOOD)
        else:
            put(actions / name, GOOD)
    return actions


def put(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o644)


def check(*words):
    return run_as(None, [program("posternd"), "--check", "--jobs", "direct", *map(str, words)],
                  env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, cwd="/")


def said_of(actions):
    """What is said of the bad files, and of what is passed over: by name."""
    scripts = str(actions.parent / "scripts")
    bad = {name: f"{actions}/{name}.json:{' ' if name == 'web service' else ''}{said}".replace("@", scripts)
           for name, (_, said) in BAD.items()}
    passed = {name: f"{actions}/{name}: {said}".replace("%", str(actions)) for name, said in PASSED_OVER.items()}
    return bad, passed


def test_all_slips_at_once(actions):
    bad, passed = said_of(actions)
    nowhere = actions.parent / "nowhere"
    missing = f"{nowhere}: no action is loaded from here, because {nowhere} does not exist; create it or correct the path"
    done = check("--actions", nowhere, "--actions", actions)
    assert done.stderr.splitlines() == [*bad.values(), *(f"warning: {said}" for said in passed.values()),
                                        f"warning: {missing}"]
    assert done.stdout == (
        "configuration: no file\n"
        f"  actions: {nowhere}, {actions} (--actions)\n  jobs: direct (--jobs)\n"
        "  all other settings have their defaults\n"
        f"good: Greet\n  file {actions}/good.json\n  runs /bin/echo Hi\n  as root, at most 5s\n"
        f'  allow user "root" ({actions}/good.json:1)\nmasked: disabled by {actions}/masked.json, which is empty\n'
        f'1 action is loaded, {len(BAD)} files are bad\n')
    assert done.returncode == 1


def test_the_same_for_programs(actions):
    bad, passed = said_of(actions)
    nowhere = actions.parent / "nowhere"
    done = check("--json", "--actions", nowhere, "--actions", actions)
    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    assert [action["action"] for action in said["actions"]] == ["good"]
    assert said["bad"] == [{"action": name, "file": f"{actions}/{name}.json", "error": error}
                           for name, error in bad.items()]
    assert said["passedOver"] == [{"file": f"{actions}/{name}", "message": message}
                                  for name, message in passed.items()]
    assert said["missing"] == [str(nowhere)]
    assert said["disabled"] == [{"action": "masked", "file": f"{actions}/masked.json"}]
    assert said["configuration"] == {"files": [], "values": [
        {"key": "actions", "value": [str(nowhere), str(actions)], "from": "--actions"},
        {"key": "jobs", "value": "direct", "from": "--jobs"}]}


def test_what_is_passed_over_makes_nothing_bad(actions):
    for name in BAD:
        (actions / f"{name}.json").unlink()
    done = check("--actions", actions)
    assert done.stdout.splitlines()[-1] == "1 action is loaded, 0 files are bad"
    assert done.returncode == 0
    assert done.stderr.splitlines() == [f"warning: {said}" for said in said_of(actions)[1].values()]


def test_one_is_said_as_one(actions):
    for name in [*BAD, "good", "masked"]:
        if name != "both":
            (actions / f"{name}.json").unlink()
    done = check("--actions", actions)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "0 actions are loaded, 1 file is bad")
