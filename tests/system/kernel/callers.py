"""Who callers are."""

import grp
import json

import machine


def in_unit(unit, *words):
    """Runs posternctl as the member in a system service: the CompletedProcess."""
    return machine.run("systemd-run", "-q", "--pipe", "--wait", "--collect", f"--unit={unit}",
                       "--property=User=member", "posternctl", *words)


def whoami():
    """Two real users, by their ids and groups."""
    seen = {user: json.loads(machine.call("--json", "whoami", user=user)["out"])
            for user in ("member", "other")}
    return {user: {key: who.get(key) for key in ("uid", "gid", "groups")}
            for user, who in seen.items()} | {"postern": grp.getgrnam("postern").gr_gid}


def denied(action):
    """[[caller's unit, rule]] of the calls that were denied; repeated ones are one."""
    entries = machine.journal("POSTERN_EVENT=call-denied", f"POSTERN_ACTION={action}")
    return sorted({(entry.get("POSTERN_UNIT", ""), entry.get("POSTERN_RULE", "")) for entry in entries})


def units():
    """Rules that name a unit, and what log and audit say of them."""
    true = {"exec": ["/bin/true"]}
    machine.declare(runner={**true, "allow": [{"unit": "runner.service"}]},
                    others={**true, "deny": [{"unit": "runner.service"}]})
    # Of this daemon: the one before it may have loaded them as well.
    said = [entry["MESSAGE"] for entry in machine.journal(f"_PID={machine.guard_pid()}")
            if "name units" in entry["MESSAGE"]]
    seen = {unit: {action: in_unit(unit, "run", action).returncode for action in ("runner", "others")}
            for unit in ("runner.service", "else.service")}
    denials = machine.wait_until(lambda: denied("others"), "an audit of the denial")
    unit = json.loads(in_unit("runner.service", "--json", "whoami").stdout).get("unit")
    for action in ("runner", "others"):
        (machine.ACTIONS / f"{action}.json").unlink()
    return {"codes": seen, "whoami": unit, "said": said, "denials": denials}


CHECKS = {"whoami": whoami, "units": units}
