"""posternd.json, the directory beside it, its schema and its example: what the daemon and lint make of them."""

import json
import os
import re
import socket

import jsonschema
import pytest

import harness
from harness import program
from identity import ALICE, run_as
from user_namespace import Accounts

pytestmark = pytest.mark.skipif(not harness.IS_ROOT, reason="needs root: files that are root's")

SCHEMA = json.loads((harness.REPOSITORY / "daemon/guard/config/posternd.schema.json").read_text())
EXAMPLE = harness.REPOSITORY / "examples/posternd.json"
NO_ACTIONS = "0 actions are loaded, 0 files are bad\n"


@pytest.fixture
def place(folder):
    """A directory with a configuration that knows no directory of the machine."""
    (folder / "actions").mkdir()
    put(folder / "posternd.json", {"actions": [str(folder / "actions")]})
    return folder


def put(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o644)
    return path


def run(*words, under=()):
    return run_as(None, [*under, *map(str, words)], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}, cwd="/")


def check(place, *words, under=()):
    return run(program("posternd"), "--check", "--config", place / "posternd.json", *words, under=under)


# ---- The directory beside the file ----

def test_files_beside_it_are_read_in_the_order_of_their_names(place):
    file, beside = place / "posternd.json", place / "posternd.json.d"
    put(file, {"actions": [str(place / "actions")], "logLevel": "debug", "limits": {"jobs": 5, "sessions": 6}})
    put(beside / "10-site.json", '{\n  "limits": {"jobs": 7},\n  "logLevel": "warning"\n}\n')
    put(beside / "20-more.json", '{"logLevel": "error"}')
    put(beside / "30-old.json.dpkg-old", "no JSON")
    put(beside / "40.conf", "no JSON")
    done = check(place, "--limit", "sessions=8")
    assert done.stdout == (
        f"configuration: {file}, {beside}/10-site.json, {beside}/20-more.json\n"
        f"  actions: {place}/actions ({file}:1)\n"
        f"  logLevel: error ({beside}/20-more.json:1)\n"
        "  limits.sessions: 8 (--limit)\n"
        f"  limits.jobs: 7 ({beside}/10-site.json:2)\n"
        "  all other settings have their defaults\n" + NO_ACTIONS)
    ignored = f"{beside}/40.conf: is ignored, because its name does not end in .json; rename it to 40.json"
    assert (done.returncode, done.stderr) == (0, f"warning: {ignored}\n")
    said = json.loads(check(place, "--json").stdout)
    assert said["configuration"]["files"] == [str(file), f"{beside}/10-site.json", f"{beside}/20-more.json"]
    assert said["configuration"]["ignored"] == [ignored]
    assert {"key": "limits.jobs", "value": "7", "from": f"{beside}/10-site.json:2"} in said["configuration"]["values"]


@pytest.mark.parametrize("mode, of_directory, error", [
    (0o666, 0o755, "can be written by users other than its owner"),
    (0o644, 0o777, "can be written by users other than its owner"),
    (0o644, 0o755, ":3:3: sokets: unknown key; did you mean \"sockets\"?"),
])
def test_a_bad_file_beside_it_keeps_the_daemon_from_starting(place, mode, of_directory, error):
    beside = place / "posternd.json.d"
    bad = put(beside / "bad.json", '{\n  "logLevel": "info",\n  "sokets": []\n}\n')
    bad.chmod(mode)
    beside.chmod(of_directory)
    at_fault = beside if of_directory == 0o777 else bad
    for words in (["--check"], ["--jobs", "direct"]):
        done = run(program("posternd"), "--config", place / "posternd.json", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{at_fault}{'' if error.startswith(':') else ' '}{error}" in done.stderr


def test_the_daemon_reads_them_and_says_what_it_ignores(start_guard, folder):
    put(folder / "conf/posternd.json", {})
    put(folder / "conf/posternd.json.d/a.json", {"limits": {"jobs": 1, "jobsPerUser": 1}, "logLevel": "debug"})
    put(folder / "conf/posternd.json.d/b.jsonc", "{}")
    guard = start_guard({}, options=["--config", folder / "conf/posternd.json"])
    assert guard.stderr().count("b.jsonc: is ignored, because its name does not end in .json; rename it to b.json\n") == 1
    assert "guard: starting -> serving" in guard.stderr()


def test_lint_knows_them_by_their_directory(folder):
    beside = folder / "posternd.json.d"
    put(beside / "good.json", {"logLevel": "debug"})
    put(beside / "bad.json", {"exec": []})
    done = run(program("posternctl"), "lint", beside)
    assert (done.returncode, done.stdout) == (1, "1 file is good, 1 is bad\n")
    assert done.stderr.startswith(f"{beside}/bad.json:1:2: exec: unknown key; ")


# ---- What the packaged units allow ----

IN_VAIN = {"audit": "/var/log/audit-postern.log", "socketMode": "0666", "socketGroup": "adm"}


def in_vain(file):
    return [f"{file}:1: audit: posternd.service does not let the daemon write to /var/log (ProtectSystem=strict); give a "
            "path in /var/log/postern, or add ReadWritePaths=/var/log (systemctl edit posternd.service)",
            *(f"{file}:1: {key}: has no effect on the sockets that systemd passes; set {of_unit} instead (systemctl edit "
              "posternd.socket)" for key, of_unit in (("socketMode", "SocketMode="), ("socketGroup", "SocketGroup=")))]


def test_lint_says_what_the_packaged_units_do_not_allow(folder):
    file = put(folder / "posternd.json", IN_VAIN)
    done = run(program("posternctl"), "lint", file)
    assert (done.returncode, done.stdout) == (0, "1 file is good\n")
    assert done.stderr == "".join(f"warning: {said}\n" for said in in_vain(file))
    said = json.loads(run(program("posternctl"), "--json", "lint", file).stdout)
    assert said["good"] == [{"file": str(file), "configuration": True, "warnings": in_vain(file)}]
    # A user's own daemon has no such unit.
    done = run_as(ALICE, [program("posternctl"), "--user", "lint", str(file)], env={"LANG": "C.UTF-8"}, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    put(file, {"audit": "/var/log/postern/audit.log", "sockets": ["/run/posternd/s"], "socketMode": "0666"})
    assert run(program("posternctl"), "lint", file).stderr == ""


def test_check_says_it_of_the_file_that_the_unit_reads(place):
    etc = place / "etc"
    (etc / "postern/actions.d").mkdir(parents=True)
    for name in ("passwd", "group", "nsswitch.conf"):
        put(etc / name, open(f"/etc/{name}", encoding="utf-8").read())
    file = put(etc / "postern/posternd.json", IN_VAIN)
    under = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(etc)]
    done = run(program("posternd"), "--check", "--jobs", "direct", under=under)
    assert done.returncode == 0
    assert done.stderr.splitlines()[:3] == [f"warning: {said}" for said in in_vain("/etc/postern/posternd.json")]
    # Another file is another daemon's.
    done = run(program("posternd"), "--check", "--jobs", "direct", "--config", file)
    assert "ProtectSystem" not in done.stderr


def test_a_level_that_there_is_not_has_its_place(place):
    file = put(place / "posternd.json", '{\n  "logLevel": "warn"\n}\n')
    error = f'{file}:2:15: logLevel: "warn" is not a log level; use one of debug, info, warning, error, critical\n'
    done = check(place)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"posternd: {error}")
    done = run(program("posternctl"), "lint", file)
    assert (done.returncode, done.stdout, done.stderr) == (1, "1 file is bad\n", error)


# ---- The schema and the loader, and the example ----

TAKEN = [
    {}, {"$schema": "/usr/share/postern/posternd.schema.json"},
    {"sockets": ["/run/a", "/run/b"], "datagramSockets": ["/run/c"], "adminSocket": "/run/d"},
    {"socketMode": "0600", "socketGroup": "adm", "actions": ["/a"], "state": "/s", "audit": "/a"},
    *({"logLevel": level} for level in ("debug", "info", "warning", "error", "critical")),
    *({"jobs": how} for how in ("auto", "systemd", "direct")),
    {"outputUser": "nobody", "sessionUser": "nobody"},
    {"limits": {}}, {"limits": {"jobs": 16384, "timeout": "1h 30min", "idleExit": "0s", "storedOutput": "64MiB"}},
    {"limits": {"timeout": 30, "killGrace": "500ms", "storedOutputTotal": 1048576, "storedOutputPerUser": "4 KiB"}},
]
REFUSED = [
    [], {"socket": "/run/a"}, {"sockets": "/run/a"}, {"sockets": []}, {"sockets": ["a"]}, {"adminSocket": "a"},
    {"socketMode": 432}, {"socketMode": "0888"}, {"socketGroup": ""}, {"actions": []}, {"state": "x"}, {"audit": 1},
    {"jobs": "docker"}, {"jobs": 3}, {"sessionUser": ""}, {"outputUser": None}, {"$schema": 1}, {"limits": []},
    {"limits": {"job": 3}}, {"limits": {"jobs": 0}}, {"limits": {"jobs": 16385}}, {"limits": {"jobs": True}},
    {"limits": {"timeout": "5m"}}, {"limits": {"timeout": ""}}, {"limits": {"storedOutput": "1 gig"}},
    {"limits": {"storedOutput": 1.5}}, {"logLevel": "warn"}, {"logLevel": ""}, {"limits": {"jobs": "2"}},
    {"limits": {"jobsPerUser": ""}},
]


def lint_says(folder, content):
    """Empty: it is good."""
    done = run(program("posternd"), "--json", "--lint", put(folder / "posternd.json", content))
    said = json.loads(done.stdout)
    assert done.returncode == (1 if said["bad"] else 0)
    return said["bad"][0]["error"] if said["bad"] else ""


def test_the_schema_is_one_and_every_key_is_tried():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert set().union(*TAKEN) == set(SCHEMA["properties"])


@pytest.mark.parametrize("content", TAKEN, ids=json.dumps)
def test_what_schema_and_loader_take(folder, content):
    assert lint_says(folder, content) == ""
    jsonschema.Draft7Validator(SCHEMA).validate(content)


@pytest.mark.parametrize("content", REFUSED, ids=json.dumps)
def test_what_schema_and_loader_refuse(folder, content):
    assert lint_says(folder, content).startswith(f"{folder}/posternd.json:1:")
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(content)


def limits_of_schema():
    return sorted(SCHEMA["properties"]["limits"]["properties"].items())


@pytest.mark.parametrize("name, about", limits_of_schema(), ids=[name for name, _ in limits_of_schema()])
def test_bounds_of_limits_are_those_of_the_daemon(folder, name, about):
    if "minimum" in about:
        for value, good in ((about["minimum"], True), (about["maximum"], True),
                            (about["minimum"] - 1, False), (about["maximum"] + 1, False)):
            assert (lint_says(folder, {"limits": {name: value}}) == "") == good, value
    if "default" in about:
        assert lint_says(folder, {"limits": {name: about["default"]}}) == ""


def test_the_example_says_the_defaults_and_has_every_key(folder):
    done = run(program("posternd"), "--lint", EXAMPLE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 file is good\n", "")
    text = EXAMPLE.read_text()
    # What has no default is commented out.
    whole = re.sub(r'^( *)// (")', r"\1\2", text, flags=re.MULTILINE)
    assert lint_says(folder, whole) == ""
    stripped = json.loads(re.sub(r"^ *//.*$", "", whole, flags=re.MULTILINE))
    jsonschema.Draft7Validator(SCHEMA).validate(stripped)
    assert set(stripped) == set(SCHEMA["properties"])
    assert set(stripped["limits"]) == set(SCHEMA["properties"]["limits"]["properties"])
    defaults = json.loads(re.sub(r"^ *//.*$", "", text, flags=re.MULTILINE))
    for key, value in defaults.items():
        if key not in ("$schema", "limits"):
            assert value == SCHEMA["properties"][key]["default"], key


# ---- Groups whose members can't open the socket ----

GROUPS = [("deploy", 5200, ("alice", "bob", "carol")), ("postern", 5201, ("alice",)),
          ("crowd", 5202, tuple(f"member{i}" for i in range(7)))]
USERS = [("alice", ALICE.uid, 5200), ("bob", 64102, 64102), ("carol", 64103, 64103),
         *((f"member{i}", 64110 + i, 64110 + i) for i in range(7))]
DEPLOY = {"summary": "D", "exec": ["/bin/true"], "allow": [{"group": "deploy"}]}


@pytest.fixture
def machine(place):
    """Accounts of its own, and a socket of group postern."""
    accounts = Accounts(place, USERS, GROUPS)
    with socket.socket(socket.AF_UNIX) as server:
        path = place / "postern.sock"
        server.bind(str(path))
        os.chown(path, 0, 5201)
        path.chmod(0o660)
        yield accounts, path


def test_check_says_who_cant_open_the_socket(place, machine):
    accounts, path = machine
    deploy, crowd = place / "actions/deploy.json", place / "actions/crowd.json"
    put(deploy, DEPLOY)
    put(crowd, {**DEPLOY, "allow": [{"group": "crowd"}]})
    warnings = [
        f'{crowd}:1: allow group "crowd": members who are not in the group "postern" can\'t open {path} (mode 0660): '
        "member0, member1, member2, member3, member4 and 2 more; run for each: usermod -aG postern member0",
        f'{deploy}:1: allow group "deploy": members who are not in the group "postern" can\'t open {path} (mode 0660): '
        "bob, carol; run for each: usermod -aG postern bob"]
    done = check(place, "--socket", path, under=accounts.under)
    assert (done.returncode, done.stderr) == (0, "".join(f"warning: {text}\n" for text in warnings))
    done = check(place, "--socket", path, "--json", under=accounts.under)
    assert (done.returncode, json.loads(done.stdout)["warnings"]) == (0, warnings)
    # A rule that names the user, or everybody.
    put(crowd, {**DEPLOY, "allow": [{"user": "carol"}]})
    put(deploy, {**DEPLOY, "allow": [{"everyone": True}, {"user": "alice"}]})
    done = check(place, "--socket", path, under=accounts.under)
    assert done.stderr == (
        f'warning: {crowd}:1: allow user "carol": the user "carol" is not in the group "postern" and can\'t open {path} '
        "(mode 0660); run usermod -aG postern carol, or add SupplementaryGroups=postern to the unit of its service\n"
        f'warning: {deploy}:1: allow everyone: only members of the group "postern" can open {path} (mode 0660); if really '
        'every user is to, set SocketMode=0666 in posternd.socket, or "socketMode": "0666" in posternd.json where posternd '
        'makes its sockets itself\n')
    path.chmod(0o666)
    assert check(place, "--socket", path, under=accounts.under).stderr == ""


def test_lint_looks_at_the_socket_of_the_system(place, machine, tmp_path):
    accounts, path = machine
    file = put(tmp_path / "deploy.json", DEPLOY)
    (place / "run").mkdir()
    path.rename(place / "run/postern.sock")
    under = [*accounts.under, "sh", "-c", 'mount --bind "$0" /mnt && mount -t tmpfs none /run && mkdir /run/postern && '
             'mount --bind /mnt /run/postern && exec "$@"', str(place / "run")]
    done = run(program("posternctl"), "lint", file, under=under)
    assert (done.returncode, done.stdout) == (0, "1 file is good\n")
    assert done.stderr == (
        f'warning: {file}:1: allow group "deploy": members who are not in the group "postern" can\'t open '
        "/run/postern/postern.sock (mode 0660): bob, carol; run for each: usermod -aG postern bob\n")


def test_reload_says_it_and_its_exit_code_stays(start_guard, folder, machine):
    accounts, _ = machine
    admin = folder / "admin.sock"
    guard = start_guard({"deploy": DEPLOY}, under=accounts.under, options=["--admin-socket", admin])
    place = f"{guard.actions_folder}/deploy.json:7"
    ctl = [program("posternctl"), "--socket", admin, "reload"]
    assert run(*ctl).stderr == ""
    os.chown(guard.socket_path, 0, 5201)
    os.chmod(guard.socket_path, 0o660)
    done = run(*ctl)
    text = (f'{place}: allow group "deploy": members who are not in the group "postern" can\'t open '
            f"{guard.socket_path} (mode 0660): bob, carol; run for each: usermod -aG postern bob")
    assert (done.returncode, done.stdout) == (0, "1 action is loaded, 0 files are bad\n")
    assert done.stderr == f"posternctl: warning: {text}\n"
    # Once, for as long as it holds.
    assert run(*ctl).stderr == ""
    assert guard.stderr().count(text) == 1
    os.chmod(guard.socket_path, 0o666)
    assert run(*ctl).stderr == ""
    os.chmod(guard.socket_path, 0o660)
    assert run(*ctl).stderr == done.stderr


# ---- Whom an action runs as ----

@pytest.mark.parametrize("more, text", [
    ({}, "root"), ({"user": "www-data"}, "www-data:www-data"), ({"user": "www-data", "group": "adm"}, "www-data:adm"),
    ({"user": "www-data", "groups": ["adm", 70031]}, "www-data:www-data, groups adm, 70031"),
    ({"group": 70032}, "root:70032"), ({"group": "adm"}, "root:adm"),
])
def test_check_names_users_and_groups(place, more, text):
    put(place / "actions/one.json", {**DEPLOY, "allow": [], "exec": ["/bin/echo", "a b", "{who}", "{{x}}"],
                                     "arguments": {"who": {"type": "string"}}, **more})
    done = check(place, "--jobs", "direct")
    assert (done.returncode, done.stderr) == (0, "")
    assert f'\n  runs /bin/echo "a b" {{who}} {{{{x}}}}\n  as {text}, at most 1h\n' in done.stdout
