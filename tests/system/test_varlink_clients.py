"""Varlink clients that other people wrote, and the installed daemon: systemd's varlinkctl, and
python3-varlink."""

import json

import pytest

pytestmark = [pytest.mark.needs_root, pytest.mark.suite("trixie")]

ADDRESS = "unix:/run/postern/postern.sock"
INTERFACES = ["org.postern.Actions", "org.postern.Jobs", "org.varlink.service"]


def varlinkctl(host, *words, check=True):
    return host.run("varlinkctl", "--json=short", *words, user="member", check=check)


def call(host, method, parameters, *options):
    done = varlinkctl(host, *options, "call", ADDRESS, f"org.postern.Actions.{method}",
                      json.dumps(parameters))
    # JSON-SEQ (RFC 7464), where there may be several: each begins with a record separator.
    return [json.loads(line.lstrip("\x1e")) for line in done.stdout.split("\n") if line]


def test_varlinkctl_knows_who_answers(host):
    info = json.loads(varlinkctl(host, "info", ADDRESS).stdout)
    assert (info["vendor"], info["product"], info["interfaces"]) == (
        "Postern", "Postern", INTERFACES)


@pytest.mark.parametrize("interface, methods", [
    ("org.postern.Actions", ["List", "Describe", "Check", "Run", "WhoAmI", "Ping"]),
    ("org.varlink.service", ["GetInfo", "GetInterfaceDescription"]),
])
def test_varlinkctl_understands_the_interfaces(host, interface, methods):
    # It parses the text and writes it anew: what it does not understand it refuses.
    text = host.run("varlinkctl", "introspect", ADDRESS, interface, user="member").stdout
    assert f"interface {interface}" in text.splitlines()
    for method in methods:
        assert f"\nmethod {method}(" in text


def test_varlinkctl_calls(host):
    uid = int(host.run("id", "-u", "member").stdout)
    assert call(host, "Ping", {"ping": "x"}) == [{"pong": "x"}]
    who, = call(host, "WhoAmI", {})
    assert who["uid"] == uid
    actions, = call(host, "List", {})
    assert "hello" in [action["name"] for action in actions["actions"]]
    reply, = call(host, "Run", {"action": "hello", "arguments": {"name": "g1"}})
    assert (reply["stdout"], reply["result"]["exitCode"]) == ("Hi, g1\n", 0)


def test_varlinkctl_streams(host):
    replies = call(host, "Run", {"action": "hello", "arguments": {"name": "g1"}}, "--more")
    assert list(replies[0]) == ["job"]
    assert "".join(reply.get("stdout", "") for reply in replies) == "Hi, g1\n"
    assert replies[-1]["result"]["outcome"] == "exited"


def test_varlinkctl_says_what_is_refused(host):
    done = varlinkctl(host, "call", ADDRESS, "org.postern.Actions.Run", '{"action":"nowhere"}',
                      check=False)
    assert done.returncode != 0
    assert "org.postern.Actions.NotGranted" in done.stdout + done.stderr


CLIENT = """
import json, sys, varlink
client = varlink.Client(sys.argv[1])
said = {"interfaces": client.get_interface("org.varlink.service") and sorted(
    client.open("org.varlink.service").GetInfo()["interfaces"])}
with client.open("org.postern.Actions") as actions:
    said["ping"] = actions.Ping("x")
    said["who"] = actions.WhoAmI()
    said["once"] = actions.Run("hello", {"name": "g1"})
    said["stream"] = list(actions.Run("hello", {"name": "g1"}, _more=True))
    said["described"] = actions.Describe("hello")
    try:
        actions.Run("nowhere", {})
    except varlink.VarlinkError as error:
        said["error"] = [error.error(), error.parameters()]
print(json.dumps(said))
"""


def test_python_varlink(host):
    said = json.loads(host.run("/usr/bin/python3", "-c", CLIENT, ADDRESS, user="member").stdout)
    assert said["interfaces"] == INTERFACES
    assert said["ping"] == {"pong": "x"}
    assert said["who"]["uid"] == int(host.run("id", "-u", "member").stdout)
    # It drops what the interface does not name: all of it has come through.
    assert said["once"]["stdout"] == "Hi, g1\n"
    assert {"outcome", "exitCode", "startedAt", "endedAt", "cpuMicroseconds",
            "maxResidentKiB"} <= set(said["once"]["result"])
    assert "".join(reply.get("stdout") or "" for reply in said["stream"]) == "Hi, g1\n"
    assert said["stream"][-1]["result"]["exitCode"] == 0
    assert said["described"]["action"]["name"] == "hello"
    assert said["described"]["action"]["onDisconnect"] == "keep"
    assert said["error"][0] == "org.postern.Actions.NotGranted"
    assert said["error"][1]["action"] == "nowhere"
