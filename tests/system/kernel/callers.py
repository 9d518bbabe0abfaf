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


def units():
    """Rules that name a unit, and what the daemon says of them."""
    true = {"exec": ["/bin/true"]}
    machine.declare(runner={**true, "allow": [{"unit": "runner.service"}]},
                    others={**true, "deny": [{"unit": "runner.service"}]})
    said = [entry["MESSAGE"] for entry in machine.journal() if "name units" in entry["MESSAGE"]]
    seen = {unit: {action: in_unit(unit, "run", action).returncode for action in ("runner", "others")}
            for unit in ("runner.service", "else.service")}
    unit = json.loads(in_unit("runner.service", "--json", "whoami").stdout).get("unit")
    denied = [entry for entry in machine.journal("POSTERN_ACTION=others")
              if entry.get("POSTERN_EVENT") == "denied"]
    for action in ("runner", "others"):
        (machine.ACTIONS / f"{action}.json").unlink()
    return {"codes": seen, "whoami": unit, "said": said,
            "denied": [entry.get("POSTERN_UNIT") for entry in denied]}


CHECKS = {"whoami": whoami, "units": units}
