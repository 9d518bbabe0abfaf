"""An action under an AppArmor profile that is enforced."""

import pathlib

import machine

SECRET = pathlib.Path("/srv/postern-secret")
PROFILE = f"""
profile postern-test flags=(attach_disconnected) {{
    file,
    capability,
    unix,
    signal,
    deny {SECRET} r,
}}
"""


def profile():
    SECRET.write_text("it was read\n", encoding="ascii")
    file = pathlib.Path("/etc/apparmor.d/postern-test")
    file.write_text(PROFILE, encoding="ascii")
    machine.run("apparmor_parser", "--replace", "--skip-cache", str(file), check=True)
    read = {"exec": [*machine.program("read.py"), str(SECRET)]}
    machine.declare(free=read,
                    confined={**read, "sandbox": {"AppArmorProfile": "postern-test"}},
                    unknown={**read, "sandbox": {"AppArmorProfile": "postern-none"}})
    return {"free": machine.facts("free"), "confined": machine.facts("confined"),
            "unknown": machine.call("run", "unknown")["code"]}


CHECKS = {"apparmor": profile}
