"""Action files before they are installed: posternctl lint, and the published schema beside the loader."""

import json
import os
import subprocess

import jsonschema
import pytest

import harness
from identity import ALICE, run_as

SCHEMA = json.loads((harness.REPOSITORY / "daemon/policy/file/action.schema.json").read_text())
GOOD = {"summary": "Greet", "exec": ["/bin/echo", "Hi"], "allow": []}
EXAMPLES = sorted((harness.REPOSITORY / "examples/demo").glob("*.json"))


def lint(*words, as_=None, cwd="/"):
    return run_as(as_, [harness.program("posternctl"), *map(str, words)],
                  env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, cwd=cwd)


def good(**more):
    return {**GOOD, **more}


def argument(**spec):
    return good(exec=["/bin/echo", "{a}"], arguments={"a": spec})


def schema_takes(action):
    return jsonschema.Draft7Validator(SCHEMA).is_valid(action)


def loader_says(folder, action):
    """Empty: it is good."""
    file = folder / "one.json"
    file.write_text(json.dumps(action))
    done = lint("--json", "lint", file)
    said = json.loads(done.stdout)
    assert done.returncode == (1 if said["bad"] else 0)
    return said["bad"][0]["error"] if said["bad"] else ""


# ---- The schema and the loader ----

BOTH_TAKE = [
    GOOD,
    good(**{"$schema": "/usr/share/postern/action.schema.json"}),
    good(description="More.\nOf it.", user="root", group=0, groups=["daemon", 1], timeout="1h 30min",
         onDisconnect="kill", workingDirectory="/tmp", environment={"A_1": "x"}, stdin="text"),
    good(timeout=30), good(timeout="500ms"), good(timeout=2592000), good(timeout="30"),
    good(allow=[{"user": "root"}, {"group": 0}, {"user": 0, "group": "root"}, {"everyone": True}],
         deny=[{"user": 4294967294}]),
    good(allow=[{"unit": "a@b.service"}, {"unit": "session-3.scope", "user": 0}]),
    good(sudoCompatible=True),
    argument(type="string"), argument(type="boolean"), argument(type="integer"),
    argument(type="string", summary="s", enum=["x", "y"], default="x"),
    argument(type="string", pattern="[a-z]+", minLength=1, maxLength=4096, allowLeadingDash=True),
    argument(type="string", required=False),
    argument(type="string", required=False, default="x"),
    argument(type="integer", minimum=-5, maximum=9007199254740992, allowLeadingDash=True),
    argument(type="boolean", default=False),
    argument(type="list", items="string", enum=["x"], minItems=0, maxItems=256, default=["x"]),
    argument(type="list", items="integer", maximum=3), argument(type="list", items="boolean"),
    good(sandbox={}), good(stderr="stdout"), good(datagram=True), good(datagram=True, onDisconnect="keep"),
    good(datagram=False, onDisconnect="kill"),
    good(sandbox={"ProtectSystem": "strict", "PrivateTmp": True, "Nice": 5, "MemoryMax": "64M",
                  "SystemCallFilter": ["@system-service", "~@mount"], "UMask": "0077",
                  "CapabilityBoundingSet": ""}),
    good(exec=["/bin/cat"], stdin="{a}", arguments={"a": {"type": "string", "secret": True}}),
    good(spare=0), good(spare=8, sandbox={"PrivateTmp": True}),
    good(storedOutput=0), good(storedOutput="16MiB"), good(storedOutput="1 G"), good(storedOutput=2**40),
    good(input="text"), good(input="direct", output="direct", stderr="stdout", datagram=True),
    good(exec=["/bin/cat"], stdin="{a}",
         arguments={"a": {"type": "string", "multiline": True, "maxLength": 32768}}),
]
BOTH_REFUSE = [
    [], "text", {}, {k: v for k, v in GOOD.items() if k != "allow"},
    {k: v for k, v in GOOD.items() if k != "exec"}, {k: v for k, v in GOOD.items() if k != "summary"},
    good(sumary="x"), good(sandbox=[]), good(stderr="null"), good(sandbox={"Nope": 1}),
    good(sandbox={"MemoryMax": 1.5}), good(sandbox={"User": "root"}),
    good(sandbox={"ProtectSystem": ["full", "strict"]}), good(sandbox={"ReadOnlyPaths": []}), good(summary=""), good(summary="x" * 201), good(summary=1),
    good(description=1), good(exec=[]), good(exec="/bin/echo"), good(exec=["echo"]),
    good(exec=["/bin/echo", 1]), good(stdin=[]), good(arguments=[]), good(**{"$schema": 1}),
    good(allow={}), good(allow=[{}]), good(allow=["root"]), good(allow=[{"user": -1}]),
    good(allow=[{"user": 4294967295}]), good(allow=[{"user": ""}]), good(allow=[{"users": "root"}]),
    good(allow=[{"unit": "a"}]), good(allow=[{"unit": "a@.service"}]), good(allow=[{"unit": 1}]),
    good(allow=[{"unit": "a.service", "everyone": True}]), good(allow=[{"everyone": False}]),
    good(allow=[{"everyone": True, "user": "root"}]), good(deny=[{"everyone": 1}]),
    good(user=1.5), good(group=""), good(groups="daemon"), good(groups=[True]),
    good(environment=[]), good(environment={"1A": "x"}), good(environment={"A": 1}),
    good(environment={"POSTERN_X": "x"}), good(workingDirectory="tmp"), good(timeout=0),
    good(timeout=2592001), good(timeout="soon"), good(timeout=True), good(timeout="-1s"),
    good(onDisconnect="stop"), good(datagram="yes"), good(datagram=True, onDisconnect="kill"),
    argument(), argument(type="number"), argument(type="list"), argument(type="list", items="list"),
    argument(type="string", kind="x"), argument(type="string", items="string"),
    argument(type="string", minimum=1), argument(type="string", minItems=1),
    argument(type="integer", enum=["1"]), argument(type="integer", pattern="1"),
    argument(type="integer", minLength=1), argument(type="boolean", maximum=1),
    argument(type="boolean", allowLeadingDash=True), argument(type="list", items="string", minimum=1),
    argument(type="list", items="boolean", allowLeadingDash=True),
    argument(type="list", items="string", secret=True), argument(type="string", enum=[]),
    argument(type="string", enum=["x", "x"]), argument(type="string", enum=[1]),
    argument(type="string", minLength=-1), argument(type="string", maxLength=4097),
    argument(type="list", items="string", maxItems=257), argument(type="integer", minimum=2**53 + 1),
    argument(type="string", default=1), argument(type="integer", default="1"),
    argument(type="boolean", default="true"), argument(type="list", items="string", default="x"),
    argument(type="string", required=True, default="x"), argument(type="string", required="yes"),
    good(exec=["/bin/cat"], stdin="{a}",
         arguments={"a": {"type": "string", "secret": True, "default": "x"}}),
    good(exec=["/bin/echo", "{1}"], arguments={"1": {"type": "string"}}),
    good(spare=-1), good(spare=9), good(spare="1"), good(spare=True), good(spare=1.5),
    good(storedOutput=-1), good(storedOutput=2**40 + 1), good(storedOutput="much"), good(storedOutput="1KB"),
    good(storedOutput=True), good(storedOutput=1.5),
    good(input="file"), good(input=True), good(input="text", stdin="x"), good(output="stored"),
    argument(type="integer", multiline=True), argument(type="boolean", multiline=True),
    argument(type="list", items="string", multiline=True), argument(type="string", multiline="yes"),
    argument(type="string", multiline=False, maxLength=4097),
    argument(type="string", multiline=True, maxLength=32769),
]
# What no schema of this kind can say: the rest of the file, or of the machine.
ONLY_THE_LOADER_REFUSES = [
    (good(exec=["/bin/no-such-program"]), "/bin/no-such-program"),
    (good(allow=[{"user": "no-such-user"}]), 'there is no user "no-such-user"'),
    (good(exec=["/bin/echo", "{a}"]), 'there is no argument "a"'),
    (good(arguments={"a": {"type": "string"}}), "is not used"),
    (argument(type="string", secret=True), "is secret"),
    (argument(type="string", multiline=True), "is multiline"),
    (argument(type="string", pattern="["), "is not a valid RE2 regular expression"),
    (argument(type="string", minLength=2, maxLength=1), "is less than"),
    (argument(type="string", enum=["x"], default="y"), "is not one of"),
    (good(timeout="31d"), "is out of range"),
    (good(timeout="1s 1h"), "1s 1h"),
]


def shown(action):
    return json.dumps(action)[:60]


@pytest.mark.parametrize("action", BOTH_TAKE, ids=shown)
def test_what_both_take(folder, action):
    assert loader_says(folder, action) == ""
    jsonschema.Draft7Validator(SCHEMA).validate(action)


@pytest.mark.parametrize("action", BOTH_REFUSE, ids=shown)
def test_what_both_refuse(folder, action):
    assert loader_says(folder, action).startswith(f"{folder}/one.json:")
    assert not schema_takes(action)


@pytest.mark.parametrize("action, error", ONLY_THE_LOADER_REFUSES,
                         ids=[shown(action) for action, _ in ONLY_THE_LOADER_REFUSES])
def test_what_only_the_loader_can_tell(folder, action, error):
    assert error in loader_says(folder, action)
    jsonschema.Draft7Validator(SCHEMA).validate(action)


def test_the_schema_is_one_and_knows_every_key():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    used, used_of_arguments = set(), set()
    for action in BOTH_TAKE:
        used |= set(action)
        for spec in action.get("arguments", {}).values():
            used_of_arguments |= set(spec)
    assert used == set(SCHEMA["properties"])
    assert used_of_arguments == set(SCHEMA["definitions"]["argument"]["properties"])


# ---- The command ----

def test_the_examples_are_good():
    done = lint("lint", *EXAMPLES)
    assert (done.returncode, done.stdout, done.stderr) == (
        0, f"{len(EXAMPLES)} files are good\n", "")


MASK = "mask.json: is empty, which disables the action of its name; if you did not mean that, remove it"


def test_bad_ones_are_named_with_their_place(folder):
    (folder / "bad.json").write_text('{\n  "summary": "s", "exec": ["/bin/true"], "allow": [],\n'
                                     '  "sumary": "s"\n}\n')
    (folder / "good.json").write_text(json.dumps(GOOD))
    (folder / "mask.json").write_text("")
    done = lint("lint", "bad.json", "good.json", "mask.json", "missing.json", cwd=folder)
    assert done.returncode == 1
    assert done.stdout == "2 files are good, 2 are bad\n"
    errors = done.stderr.splitlines()
    assert errors[0].startswith("bad.json:3:3: sumary: unknown key; did you mean \"summary\"?")
    assert errors[1:] == [f"warning: {MASK}", "missing.json: can't be read: No such file or directory"]
    done = lint("--json", "lint", "good.json", "mask.json", cwd=folder)
    assert json.loads(done.stdout) == {
        "good": [{"file": "good.json", "action": "good"}, {"file": "mask.json", "warnings": [MASK]}], "bad": []}
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("name, error", [
    ("web restart.json", '"web restart" is not a valid name for an action'),
    ("hello.jsonc", "the name does not end in .json, so it would be ignored; rename it"),
    ("-x.json", '"-x" is not a valid name for an action'),
])
def test_names(folder, name, error):
    (folder / name).write_text(json.dumps(GOOD))
    done = lint("lint", "--", name, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "1 file is bad\n")
    assert error in done.stderr


def test_what_is_no_regular_file_does_not_hold_it_up(folder):
    subprocess.run(["mkfifo", folder / "pipe.json"], check=True)
    (folder / "sub").mkdir()
    (folder / "sub" / "folder.json").mkdir()
    done = lint("lint", "pipe.json", "sub", cwd=folder)
    assert done.returncode == 1
    assert done.stderr == ("pipe.json: is not a regular file; name a file\n"
                           "sub/folder.json: is not a regular file; name a file\n")


def test_a_directory_is_all_of_its_files(folder):
    (folder / "actions").mkdir()
    for name in ("a.json", "mask.json", ".hidden.json", "b.json~", "web.JSON"):
        (folder / "actions" / name).write_text("" if name == "mask.json" else json.dumps(GOOD))
    (folder / "actions" / "bad.json").write_text("{}")
    (folder / "actions" / "old").mkdir()
    (folder / "one.json").write_text(json.dumps(GOOD))
    done = lint("lint", "actions", "one.json", cwd=folder)
    assert done.returncode == 1
    assert done.stdout == "3 files are good, 1 is bad\n"
    old = "actions/old: is ignored, because it is a directory; move the files in it to actions"
    other = "actions/web.JSON: is ignored, because its name does not end in .json; rename it to web.json"
    bad = 'actions/bad.json:1:1: "summary" is required; add "summary": "what it does"'
    mask = f"actions/{MASK}"
    assert done.stderr == f"{bad}\nwarning: {mask}\nwarning: {old}\nwarning: {other}\n"
    done = lint("--json", "lint", "actions/", cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "good": [{"file": "actions/a.json", "action": "a"},
                 {"file": "actions/mask.json", "warnings": [mask]}],
        "bad": [{"file": "actions/bad.json", "error": bad}],
        "passedOver": [{"file": "actions/old", "message": old + "/"},
                       {"file": "actions/web.JSON", "message": other}]}


def test_a_directory_without_action_files_is_a_mistake(folder):
    (folder / "empty").mkdir()
    for name in ("empty", "missing"):
        done = lint("lint", name, cwd=folder)
        assert (done.returncode, done.stdout) == (1, "1 file is bad\n")
    done = lint("lint", "empty", cwd=folder)
    assert done.stderr == "empty: no file in it ends in .json; name a directory of action files\n"


@pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")
def test_a_directory_that_may_not_be_read(folder):
    (folder / "closed").mkdir(mode=0o700)
    done = lint("lint", "closed", as_=ALICE, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "1 file is bad\n")
    assert done.stderr == "closed: can't be read: Permission denied\n"


def test_usage():
    for words, error in [
        (["lint"], "posternctl: lint: PATH is required"),
        (["--socket", "/x", "lint", "a.json"],
         "posternctl: lint: --socket does not apply here; no daemon is asked"),
    ]:
        done = lint(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[0] == error


@pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: callers of other uids")
def test_anybody_may_and_user_means_a_guard_of_ones_own(folder):
    file = folder / "as-root.json"
    file.write_text(json.dumps(good(user="root")))
    file.chmod(0o644)
    assert lint("lint", file, as_=ALICE).returncode == 0
    done = lint("--user", "lint", file, as_=ALICE)
    assert done.returncode == 1
    assert f"uid 0 is not uid {ALICE.uid}" in done.stderr


def test_the_configuration_is_checked_as_what_it_is(folder):
    file = folder / "posternd.json"
    file.write_text('{\n  "logLevel": "debug"\n  "limits": {"sessions": 3}\n}\n')
    done = lint("lint", "posternd.json", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "1 file is bad\n", 'posternd.json:2:22: a comma is missing at the end of this line; add ","\n')
    file.write_text('{"limits": {"session": 3}}')
    done = lint("lint", "posternd.json", cwd=folder)
    assert done.stderr == 'posternd.json:1:13: limits.session: unknown key; did you mean "sessions"?\n'
    file.write_text('{"limits": {"sessions": 3}}')
    done = lint("--json", "lint", "posternd.json", cwd=folder)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"good": [{"file": "posternd.json", "configuration": True}], "bad": []}


@pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: files of other uids")
def test_what_is_installed_is_judged_as_the_daemon_does(folder):
    place = folder / "config/postern"
    actions = place / "actions.d"
    actions.mkdir(parents=True)
    file, config = actions / "one.json", place / "posternd.json"
    file.write_text(json.dumps(GOOD))
    config.write_text("{}")
    for path in (folder / "config", place, actions, file, config):
        os.chown(path, ALICE.uid, ALICE.gid)
        path.chmod(0o755 if path.is_dir() else 0o666)

    def said(*words):
        done = run_as(ALICE, [harness.program("posternctl"), "--user", "lint", *map(str, words)], cwd=actions,
                      env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "XDG_CONFIG_HOME": str(folder / "config")})
        return done.returncode, done.stdout, done.stderr

    writable = f"can be written by users other than its owner (owned by uid {ALICE.uid}, mode"
    for path, shown in ((file, "one.json"), (file, str(file)), (config, str(config))):
        assert said(shown) == (1, "1 file is bad\n", f"{shown}: {writable} 0666); run: chmod go-w {path}\n")
    for path in (file, config):
        path.chmod(0o644)
    assert said(file, config) == (0, "2 files are good\n", "")
    actions.chmod(0o777)
    assert said(file) == (1, "1 file is bad\n", f"{file}: is not loaded, because {actions} {writable} 0777); "
                                               f"run: chmod go-w {actions}\n")
    # Elsewhere the text alone counts.
    (folder / "one.json").write_text(json.dumps(GOOD))
    (folder / "one.json").chmod(0o666)
    assert said(folder / "one.json") == (0, "1 file is good\n", "")


@pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: a program that is root's alone")
def test_a_program_that_the_jobs_user_may_not_execute_is_a_warning(folder):
    script = folder / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    file = folder / "one.json"
    file.write_text(json.dumps(good(exec=[str(script)], user="nobody")))
    done = lint("lint", file)
    assert (done.returncode, done.stdout) == (0, "1 file is good\n")
    assert done.stderr.startswith(f"warning: {file}:1:")
    assert done.stderr.endswith(
        f': exec[0]: the user "nobody", whom the job runs as, may not execute {script} (owned by uid 0, mode 0700); '
        "give it the permission, or name another user\n")
    file.write_text(json.dumps(good(exec=[str(script)])))
    assert lint("lint", file).stderr == ""
