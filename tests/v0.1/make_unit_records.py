#!/usr/bin/python3
"""make_unit_records.py: made unit-records/, once: as records/, but of jobs that systemd supervised.

    tests/v0.1/make_unit_records.py        (as root)

The package of 0.1.0 runs them on a booted Debian 12, and its state directory is copied while three
of them are in states that pass. Copied alive it is what kill -9 would have left: the guard replaces a
record as a whole.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "system"), str(HERE.parents[1] / "packaging"), str(HERE)]

import booted_host  # noqa: E402
import build_deb  # noqa: E402
import root_fs  # noqa: E402
from make_records import ALICE, WAIT, shell  # noqa: E402

RECORDS = HERE / "unit-records"
SUITE = "bookworm"
ACTIONS = {
    "fail": shell("echo out; echo err >&2; exit 3"),
    "crash": shell("echo before; kill -KILL $$"),
    "slow": shell(WAIT, timeout="300ms"),
    "wait": shell(WAIT),
    # Asked to end when its caller goes, and takes its time.
    "attended": shell("trap '' TERM; echo began; while :; do sleep 0.1; done", onDisconnect="kill"),
    # Its main process has exited, and what it started takes its time.
    "leaves": shell("trap '' TERM; (while :; do sleep 0.1; done) & echo began"),
}
AS_ALICE = ("setpriv", f"--reuid={ALICE.uid}", f"--regid={ALICE.gid}", f"--groups={ALICE.groups[0]}")
IN_UNIT = ("systemd-run", "-q", "--pipe", "--wait", "--unit=ci-runner", *AS_ALICE)


class Maker:
    def __init__(self, host):
        self.host = host
        self.said = []

    def call(self, method, parameters, under=AS_ALICE):
        done = self.host.run(*under, "posternctl", "call", "--more", f"org.postern.{method}",
                             json.dumps(parameters), check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def note(self, name, call, job):
        self.said.append({"name": name, "uid": ALICE.uid, "gid": ALICE.gid,
                          "groups": list(ALICE.groups), "run": call, "job": job})

    def run(self, name, action, under=AS_ALICE):
        """A job that comes to its end by itself."""
        call = {"action": action, "key": name.replace(" ", "-")}
        self.note(name, call, self.call("Actions.Run", call, under)[0]["parameters"]["job"])

    def begin(self, name, action):
        """A job that has written its first line; returns its client."""
        call = {"action": action, "key": name.replace(" ", "-")}
        client = self.host.spawn(*AS_ALICE, "posternctl", "call", "--more", "org.postern.Actions.Run",
                                 json.dumps(call))
        self.note(name, call, json.loads(client.stdout.readline())["parameters"]["job"])
        assert json.loads(client.stdout.readline())["parameters"]["stdout"] == "began\n"
        return client

    def record(self, name):
        [job] = [entry["job"] for entry in self.said if entry["name"] == name]
        return json.loads(self.host.run("cat", f"/var/lib/postern/jobs/{job}/record.json").stdout)

    def hear(self):
        for entry in self.said:
            job = {"job": entry["job"]}
            [entry["get"]] = self.call("Jobs.Get", job)
            if entry["get"]["parameters"]["job"]["state"] == "ended":
                entry["follow"] = self.call("Jobs.Follow", job)


def make(host):
    maker = Maker(host)
    # Time enough to look at what is asked to end.
    host.run("mkdir", "/etc/postern")
    host.write("/etc/postern/posternd.json", '{"limits": {"kill-grace": "60s"}}')
    host.run("dpkg", "-i", "/before.deb")
    # The caller is none of the group postern.
    host.run("chmod", "666", "/run/postern/postern.sock")
    for name, action in ACTIONS.items():
        host.write(f"/etc/postern/actions.d/{name}.json", json.dumps(action, indent=2))
    maker.run("exited with 3", "fail")
    maker.run("called from a unit", "fail", IN_UNIT)
    maker.run("killed by a signal", "crash")
    maker.run("timed out", "slow")
    clients = [maker.begin("running", "wait"), maker.begin("ending", "attended"),
               maker.begin("result known", "leaves")]
    host.run("pkill", "-KILL", "-f", "posternctl.*attended")
    booted_host.wait_until(lambda: "ending" in maker.record("ending"), 5, "the job is being ended")
    booted_host.wait_until(lambda: "result" in maker.record("result known"), 5, "its result")
    # As text, for a command's output is text here.
    archive = host.run("sh", "-c", "tar -C /var/lib/postern -c . | base64").stdout
    maker.hear()
    states = [entry["get"]["parameters"]["job"]["state"] for entry in maker.said]
    assert states == ["ended"] * 4 + ["running"] * 3, states
    host.run("pkill", "-KILL", "posternctl")
    for client in clients:
        client.communicate()
    return maker.said, base64.b64decode(archive)


def main():
    if RECORDS.exists():
        sys.exit(f"{RECORDS} is there, and never changes")
    package = build_deb.build_before(SUITE)
    packages = [*booted_host.PACKAGES, *build_deb.dependencies(package)]
    with root_fs.unpacked(SUITE, packages) as root, \
            booted_host.BootedHost(root, binds=[(package, "/before.deb")]) as host:
        said, archive = make(host)
    for name, action in ACTIONS.items():
        path = RECORDS / "actions" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(action, indent=2), encoding="utf-8")
    (RECORDS / "state").mkdir()
    subprocess.run(["tar", "-C", RECORDS / "state", "-x"], input=archive, check=True)
    (RECORDS / "said.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.umask(0o022)
    main()
