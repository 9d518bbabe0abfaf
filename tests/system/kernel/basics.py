"""What the kernel is, and that the product does there what it is for."""

import errno
import hashlib
import os
import platform
import socket
import subprocess

import machine

SO_PEERPIDFD = 77
SO_PASSRIGHTS = 83


def kernel():
    """Its version, and which of the options it has that the daemon asks for."""
    def has(option):
        one, other = socket.socketpair()
        with one, other:
            try:
                value = one.getsockopt(socket.SOL_SOCKET, option)
            except OSError as error:
                return errno.errorcode[error.errno]
        if option == SO_PEERPIDFD:
            os.close(value)
        return "yes"

    return {"release": platform.release(), "SO_PEERPIDFD": has(SO_PEERPIDFD),
            "SO_PASSRIGHTS": has(SO_PASSRIGHTS)}


def start():
    """The socket waits, the first call wakes the guard, and nothing of the boot has failed."""
    before = machine.unit_property("ActiveState")
    said = machine.call("run", "hello", "name=g1")
    failed = machine.run("systemctl", "--failed", "--no-legend", "--plain", check=True).stdout
    return {"before": before, "hello": said, "after": machine.unit_property("ActiveState"),
            "failed": failed}


def exit_codes():
    machine.declare(seven={"exec": ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]},
                    killed={"exec": ["/bin/sh", "-c", "kill -KILL $$"]},
                    ungranted={"exec": ["/usr/bin/false"], "allow": [{"user": "other"}]})
    return {name: machine.call("run", name)["code"] for name in ("killed", "ungranted")} | {
        "seven": machine.call("run", "seven")}


def much_output():
    machine.declare(much={"exec": ["/usr/bin/seq", "1", "180000"]})
    done = subprocess.run(["posternctl", "run", "much"], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=machine.PATIENCE, check=False, **machine.identity("member"))
    return {"code": done.returncode, "bytes": len(done.stdout),
            "sha256": hashlib.sha256(done.stdout).hexdigest(), "err": done.stderr.decode()}


CHECKS = {"kernel": kernel, "start": start, "exit-codes": exit_codes, "much-output": much_output}
