"""What a job's sandbox does, and what sessions have."""

import json
import pathlib

import machine

BOX = {
    "ProtectSystem": "strict",
    "PrivateTmp": True,
    "CapabilityBoundingSet": "",
    "SystemCallFilter": ["~personality"],
    # No other reason gives this one.
    "SystemCallErrorNumber": "ENOANO",
    "TasksMax": 8,
    "OOMScoreAdjust": -500,
}


def probe(sandbox):
    """What probe.py sees in a job with this sandbox."""
    outside = pathlib.Path("/tmp/outside")
    outside.touch()
    machine.declare(probe={"exec": machine.program("probe.py"), "sandbox": sandbox})
    try:
        return machine.facts("probe")
    finally:
        outside.unlink()


def boxed():
    return probe(BOX)


def free():
    return probe({})


def memory():
    machine.declare(eat={
        "exec": [*machine.program("eat.py"), "{mib}"],
        "arguments": {"mib": {"type": "integer", "minimum": 1, "maximum": 1000}},
        "sandbox": {"MemoryMax": "64M", "MemorySwapMax": 0}})
    few, many = (machine.result("eat", f"mib={mib}") for mib in (1, 300))
    return {name: {"code": end["code"], **{key: end["result"].get(key) for key in (
        "outcome", "exitCode", "signal")}} for name, end in (("few", few), ("many", many))}


def session():
    """/proc of the member's session, while it has a connection."""
    machine.run("systemctl", "restart", "posternd.service", check=True)
    client = machine.spawn(*machine.program("hold.py"), user="member")
    try:
        answer = json.loads(client.stdout.readline())
        sessions = machine.processes("postern-session")
        seen = [machine.status_of(pid) for pid in sessions]
    finally:
        client.kill()
        client.wait()
    return {"answer": answer, "sessions": [
        {key: status[key] for key in ("NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapAmb",
                                      "Groups")} for status in seen]}


CHECKS = {"sandbox": boxed, "no-sandbox": free, "memory": memory, "session": session}
