"""What the kernel is, and that the product does there what it is for."""

import hashlib
import os
import platform
import socket
import subprocess

import machine

SO_PEERPIDFD = 77
SO_PASSRIGHTS = 83


def kernel():
    def has(option):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            try:
                one.getsockopt(socket.SOL_SOCKET, option)
            except OSError as error:
                return os.strerror(error.errno)
        return True

    one, other = socket.socketpair()
    with one, other:
        try:
            os.close(one.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD))
            peer_pidfd = True
        except OSError as error:
            peer_pidfd = error.strerror
    return {"release": platform.release().split("-")[0].split("+")[0], "SO_PEERPIDFD": peer_pidfd,
            "SO_PASSRIGHTS": has(SO_PASSRIGHTS)}


def start():
    """The socket waits, the first call wakes the guard, and nothing of the boot has failed."""
    before = machine.unit_property("ActiveState")
    machine.run("cp", "/usr/share/doc/postern/examples/hello.json", str(machine.ACTIONS), check=True)
    said = machine.call("run", "hello", "name=g1")
    failed = machine.run("systemctl", "--failed", "--no-legend", "--plain", check=True).stdout
    return {"before": before, "hello": said, "after": machine.unit_property("ActiveState"),
            "failed": failed}


def exit_codes():
    machine.declare(seven={"exec": ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]},
                    killed={"exec": ["/bin/sh", "-c", "kill -KILL $$"]},
                    absent={"exec": ["/usr/bin/false"], "allow": [{"user": "other"}]})
    return {name: machine.call("run", name)["code"] for name in ("killed", "absent")} | {
        "seven": machine.call("run", "seven")}


def much_output():
    machine.declare(much={"exec": ["/usr/bin/seq", "1", "180000"]})
    done = subprocess.run(["posternctl", "run", "much"], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=machine.PATIENCE, check=False, **machine.identity("member"))
    return {"code": done.returncode, "bytes": len(done.stdout),
            "sha256": hashlib.sha256(done.stdout).hexdigest(), "err": done.stderr.decode()}


CHECKS = {"kernel": kernel, "start": start, "exit-codes": exit_codes, "much-output": much_output}
