#!/usr/bin/python3
"""make_records.py: made records/, once, with the programs of 0.1.0.

    POSTERN_BIN=DIRECTORY tests/v0.1/make_records.py        (as root, with a cgroup v2)

It has a guard of 0.1.0 run jobs that come to every end a job can come to without systemd, kills it,
and keeps what it left:

    records/actions/    the action files
    records/state/      the state directory, as kill -9 left it
    records/said.json   for each job who ran it and how, and what 0.1.0 said about it: the reply to
                        Jobs.Get, and for a job that has ended the replies to Jobs.Follow
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

import harness  # noqa: E402
import packets  # noqa: E402
from identity import ALICE, BOB, CAROL, ROOT  # noqa: E402

RECORDS = HERE / "records"
SECRET = "Xyzzy-4711-Plugh"
WAIT = "echo began; exec sleep 1000"


def shell(script, *words, **more):
    return {"summary": "A script", "allow": [{"everyone": True}],
            "exec": ["/bin/sh", "-c", script.replace("{", "{{").replace("}", "}}"), "sh", *words],
            **more}


ACTIONS = {
    "greet": shell('printf "%s\\n" "$@"; echo careful >&2', "{name}", "{times}", "{loud}", "{tags}",
                   arguments={"name": {"type": "string"}, "times": {"type": "integer"},
                              "loud": {"type": "boolean", "default": False},
                              "tags": {"type": "list", "items": "string"}}),
    "fail": shell("echo no >&2; exit 3"),
    "crash": shell("echo before; kill -KILL $$"),
    "bytes": shell("printf '\\377\\0\\n'"),
    "login": shell("read -r p; echo ${#p}", stdin="{password}\n",
                   arguments={"password": {"type": "string", "secret": True}}),
    "slow": shell(WAIT, timeout="300ms"),
    "polite": shell("trap 'echo asked; exit 5' TERM; echo began; while :; do sleep 0.02; done",
                    timeout="300ms"),
    "attended": shell(WAIT, onDisconnect="kill"),
    "wait": shell(WAIT),
    "packet": shell('echo "$1"', "{text}", datagram=True, arguments={"text": {"type": "string"}}),
}
GREETING = {"name": "Zo\u00eb \"\\ {x}", "times": 2, "tags": ["a", "b c"]}


class Maker:
    """Runs jobs, and notes who ran which and what the guard says about each."""

    def __init__(self, guard):
        self.guard = guard
        self.said = []
        self.open = contextlib.ExitStack()

    def note(self, name, caller, call, job):
        self.said.append({"name": name, "uid": caller.uid, "gid": caller.gid,
                          "groups": list(caller.groups), "run": call, "job": job})

    def run(self, name, caller, action, arguments=None, key=None):
        """A job that comes to its end by itself, or fails to start."""
        call = self._call(action, arguments, key)
        with self.guard.connect(as_=caller) as client:
            reply = client.call("Run", call)
            assert "job" in reply["parameters"], reply
        self.note(name, caller, call, reply["parameters"]["job"])

    def begin(self, name, caller, action, key=None):
        """A job that has written its first line; returns its client."""
        call = self._call(action, None, key)
        client = self.open.enter_context(self.guard.connect(as_=caller))
        client.send_call("Run", call, more=True)
        self.note(name, caller, call, client.read_reply()["parameters"]["job"])
        assert client.read_reply()["parameters"]["stdout"] == "began\n"
        return client

    def start(self, name, caller, action, key):
        """A job whose launcher does not get as far as the program: its cgroup is frozen."""
        [jobs] = self.guard.cgroup_path.glob("postern-jobs-*")
        (jobs / "cgroup.freeze").write_text("1")
        call = self._call(action, None, key)
        client = self.open.enter_context(self.guard.connect(as_=caller))
        known = self._jobs()
        client.send_call("Run", call, more=True)
        [job] = harness.wait_until(lambda: self._jobs() - known)
        self.note(name, caller, call, job)

    def send(self, name, caller, action, arguments, key):
        """A job of a packet."""
        call = self._call(action, arguments, key)
        with packets.Sender(self.guard.datagram_path, caller) as sender:
            job = sender.call("Run", call)["parameters"]["job"]
        self.guard.wait_audit(event="job-ended", job=job)
        self.note(name, caller, call, job)

    def hear(self):
        """Has the guard say what became of all jobs."""
        for entry in self.said:
            caller = type(ROOT)(entry["uid"], entry["gid"], tuple(entry["groups"]))
            with self.guard.connect(as_=caller) as client:
                job = {"job": entry["job"]}
                entry["get"] = client.call("org.postern.Jobs.Get", job)
                if entry["get"]["parameters"]["job"]["state"] in ("ended", "failed"):
                    client.send_call("org.postern.Jobs.Follow", job, more=True)
                    entry["follow"] = client.read_replies()

    @staticmethod
    def _call(action, arguments, key):
        call = {"action": action, "arguments": arguments, "key": key}
        return {word: value for word, value in call.items() if value is not None}

    def _jobs(self):
        return {path.parent.name for path in self.guard.state_folder.glob("jobs/*/record.json")}


def make(guard, program):
    maker = Maker(guard)
    with maker.open:
        maker.run("exited", ALICE, "greet", GREETING, "deploy:1")
        maker.run("the same key of another", BOB, "greet", GREETING, "deploy:1")
        maker.run("exited with 3", ALICE, "fail", key="deploy:2")
        maker.run("without a key", CAROL, "fail")
        maker.run("killed by a signal", BOB, "crash", key="crash")
        maker.run("no UTF-8", ROOT, "bytes", key="bytes")
        maker.run("secret", ALICE, "login", {"password": SECRET}, "login")
        maker.run("timed out, killed", CAROL, "slow", key="slow")
        maker.run("timed out, exited", CAROL, "polite", key="polite")
        maker.send("packet", ALICE, "packet", {"text": "by packet"}, "packet")
        program.unlink()
        maker.run("not started", ALICE, "gone", key="gone")
        maker.begin("disconnected", BOB, "attended", "attended").close()
        guard.wait_audit(event="job-ended", job=maker.said[-1]["job"])
        maker.begin("stopped", ALICE, "wait", "stopped")
        guard.stop()
        guard.restart()
        maker.begin("lost", ALICE, "wait", "lost")
        guard.kill()
        guard.restart()
        maker.begin("running", ALICE, "wait", "running")
        maker.start("starting", BOB, "wait", "starting")
        maker.hear()
        guard.kill()
    return maker.said


def main():
    version = subprocess.run([harness.program("posternd"), "--version"], check=True,
                             capture_output=True, text=True).stdout.split()[-1]
    if version != "0.1.0":
        sys.exit(f"these programs are of {version}: build commit f252a79 and set POSTERN_BIN")
    if RECORDS.exists():
        sys.exit(f"{RECORDS} is there, and never changes")
    with harness.private_folder() as folder, harness.reachable_programs():
        program = folder / "gone"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        actions = {**ACTIONS, "gone": {**shell(""), "exec": [str(program)]}}
        guard = harness.Guard(actions, options=["--limit", "kill-grace=300ms"], datagrams=True)
        try:
            said = make(guard.start(), program)
            RECORDS.mkdir()
            shutil.copytree(guard.actions_folder, RECORDS / "actions")
            shutil.copytree(guard.state_folder, RECORDS / "state")
        finally:
            guard.close(check=False)
    (RECORDS / "said.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.umask(0o022)
    main()
