"""Jobs of the tests, and what the guard, and its state directory, say of them."""

import base64
import contextlib
import json
import os
import re

import harness
from identity import ALICE, Identity

# Of ALICE's uid and gid, but without her other group.
POORER = Identity(ALICE.uid, ALICE.gid)


def begin(client, action, **more):
    """Starts a job and returns its id and what it wrote first; `more`: of the call's parameters."""
    client.send_call("Run", {"action": action, **more}, more=True)
    job = client.read_reply()["parameters"]["job"]
    return job, client.read_reply()["parameters"]["stdout"]


def result_of(client):
    """What it wrote since, and its result without times and resources."""
    replies = client.read_replies()
    return text_of(replies), end_of(replies[-1])


def text_of(replies):
    return "".join(reply["parameters"].get("stdout", "") for reply in replies)


def bytes_of(replies, stream):
    """How many bytes were missing before the first that came, and all that came."""
    missed, data = 0, b""
    for reply in replies:
        parameters = reply["parameters"]
        gap = parameters.get(stream + "Missed", 0)
        assert not (gap and data), "a gap in the middle"
        missed += gap
        data += parameters.get(stream, "").encode()
        data += base64.b64decode(parameters.get(stream + "Base64", ""))
    return missed, data


def end_of(reply):
    """The result that a last reply has, without times and resources."""
    result = reply["parameters"]["result"]
    return {key: result[key] for key in ("outcome", "exitCode", "signal") if key in result}


def record(guard, job):
    """The newest: what lies in memory, until it is on the disk."""
    if guard.runtime_folder:
        with contextlib.suppress(FileNotFoundError):
            return json.loads((guard.runtime_folder / f"{job}.json").read_text())
    return json.loads((guard.state_folder / "jobs" / job / "record.json").read_text())


def wait_copied(guard):
    """Until all records are on the disk."""
    harness.wait_until(lambda: not os.listdir(guard.runtime_folder), what="all is on the disk")


def get(client, job):
    return client.call("org.postern.Jobs.Get", {"job": job})


def as_before(job):
    """What version 0.1.0 said of a job; its clients read no more."""
    return {key: job[key] for key in ("job", "action", "state", "createdAt", "result", "message")
            if key in job}


def get_as_before(client, job):
    reply = get(client, job)
    return {"parameters": {"job": as_before(reply["parameters"]["job"])}} if "error" not in reply else reply


def follow(client, job, stdout=None, stderr=None, more=True):
    """All replies."""
    parameters = {"job": job}
    if stdout is not None:
        parameters["stdoutOffset"] = stdout
    if stderr is not None:
        parameters["stderrOffset"] = stderr
    client.send_call("org.postern.Jobs.Follow", parameters, more=more)
    return client.read_replies()


def no_such_job(job):
    said = (f'you have no job "{job}": it may not exist, may belong to somebody else, or may have been removed'
            if re.fullmatch("[0-9a-f]{4,32}", job) else
            f'"{job}" is not the id of a job, or its beginning; give at least four of its digits (0 to 9, a to f)')
    return {"error": "org.postern.Jobs.NoSuchJob", "parameters": {"job": job, "message": said}}
