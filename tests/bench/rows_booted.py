"""The rows that need a booted host, with the installed package: one function each, (Installed, ROUNDS) -> samples."""

import contextlib
import functools
import json
import pathlib
import re
import subprocess
import time

import booted_host
import build_deb
import root_fs
from rounds import NotMeasured, alternate

# Set by bench.py, as rows_here.tools.
tools = pathlib.Path()
RUNS = 10
SPARES = 8
PAUSE = 500  # milliseconds, in which a spare is made
SANDBOX = {"ProtectSystem": "strict", "PrivateTmp": True, "PrivateDevices": True, "CapabilityBoundingSet": "",
           "SystemCallFilter": "@system-service"}
TRUE = {"summary": "Do nothing", "exec": ["/bin/true"], "allow": [{"group": "postern"}]}
ACTIONS = {"true": TRUE, "boxed": {**TRUE, "sandbox": SANDBOX}, "spare": {**TRUE, "sandbox": SANDBOX}}
# What one user may start in a second is no part of what is measured.
SETTINGS = {"limits": {"startsPerUser": 10000, "jobsPerUser": 100}}
DIRECT = "/run/direct.sock"
# Started again and again, as the daemon's may be.
SOCKET_UNIT = """[Socket]
ListenStream=/run/{}.sock
TriggerLimitBurst=2000
"""
SERVICE_UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bench/bench_cold_server
"""
# Lines of the daemon's own unit that have nothing to do with its sandbox.
NOT_SANDBOX = re.compile(r"(PartOf|Wants|After|Type|NotifyAccess|Exec\w+|Watchdog\w+|\w+Directory\w*|Documentation|Restart\w*)=.*")


def as_figures(said):
    return {"ms": said["p50"] / 1000, "per_second": said["per_second"]}


class Installed:
    """A booted host with the package; what is measured runs as the user `member`."""

    def __init__(self, host, package):
        self.host = host
        self.systemd = host.outer_pid(1)
        host.run("dpkg", "-i", f"/packages/{package.name}")
        host.run("useradd", "--groups", "postern", "member")
        host.write("/etc/sudoers.d/member", "member ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        host.write("/etc/doas.conf", "permit nopass member as root\n", 0o600)
        host.write("/etc/postern/posternd.json", json.dumps(SETTINGS))
        host.write("/root/spare.json", json.dumps({**TRUE, "spare": SPARES}))
        self._knows_spares = host.run("posternd", "--lint", "/root/spare.json", check=False).returncode == 0
        for name, action in ACTIONS.items():
            spares = {"spare": SPARES if name == "spare" else 0} if self._knows_spares else {}
            host.write(f"/etc/postern/actions.d/{name}.json", json.dumps({**action, **spares}))
        self._write_cold_units()
        # Without the sandbox of posternd.service: the job gets its rights from the daemon.
        host.run("systemd-run", "--unit=direct", "--service-type=notify", "--property=Delegate=yes",
                 "--property=RuntimeDirectory=direct", "--property=StateDirectory=direct", "posternd", "--jobs", "direct",
                 "--socket", DIRECT, "--socket-mode", "0666", "--state", "/var/lib/direct")

    def _write_cold_units(self):
        """The smallest server, and the same in the daemon's sandbox."""
        daemons = self.host.run("systemctl", "cat", "posternd.service").stdout.splitlines()
        boxed = [line for line in daemons if not NOT_SANDBOX.match(line)]
        boxed.insert(boxed.index("[Service]") + 1, "ExecStart=/bench/bench_cold_server")
        for name, unit in (("cold", SERVICE_UNIT), ("cold-boxed", "\n".join(boxed) + "\n")):
            self.host.write(f"/etc/systemd/system/{name}.socket", SOCKET_UNIT.format(name))
            self.host.write(f"/etc/systemd/system/{name}.service", unit)
        self.host.run("systemctl", "daemon-reload")
        self.host.run("systemctl", "start", "cold.socket", "cold-boxed.socket")

    def load(self, *words, user="member"):
        return json.loads(self.host.run("/bench/bench_load", *map(str, words), user=user, timeout=600).stdout)

    def runs(self, *argv, callers=1, count=RUNS, pause=0, user="member"):
        """A program, started and awaited: the median, and the rate."""
        return as_figures(self.load("runs", callers, count, pause, *argv, user=user))

    def bare_unit(self, callers=1, count=RUNS):
        # From outside, but for the numbers of processes: systemd wants to see who it is.
        done = subprocess.run(["nsenter", "-t", str(self.systemd), "-p", "--", tools / "bench_unit_start",
                               f"/proc/{self.systemd}/root/run/systemd/private", str(callers), str(count)],
                              check=False, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return as_figures(json.loads(done.stdout))

    def settle(self, spares_stay=True):
        """What the way before leaves to be tidied up is no part of the next one."""
        def left():
            return [line for line in self.units("active") if not (spares_stay and line.endswith(" of spare"))]
        booted_host.wait_until(lambda: not left(), 60, "no unit of a job is left")
        time.sleep(0.2)

    def units(self, state):
        return self.host.run("systemctl", "list-units", "--plain", "--no-legend", f"--state={state}",
                             "postern-job-*", "postern-bench-*").stdout.splitlines()

    def make_spares(self):
        if not self._knows_spares:
            raise NotMeasured("not known to this version")
        self.runs(*ctl("spare"), count=1)
        self.wait_for_spares()

    def wait_for_spares(self):
        # Those that were used and are still to be forgotten have exited.
        booted_host.wait_until(lambda: len(self.units("running")) >= SPARES, 60, f"{SPARES} spares")


@contextlib.contextmanager
def installed(suite):
    package = build_deb.build(suite)
    packages = [*booted_host.PACKAGES, *build_deb.dependencies(package), "sudo", "opendoas"]
    with root_fs.unpacked(suite, packages) as root, booted_host.BootedHost(
            root, binds=[(package.parent, "/packages"), (tools, "/bench")]) as host:
        yield Installed(host, package)


def ctl(action, socket=None):
    return ["posternctl", *(["--socket", socket] if socket else []), "run", action]


def take_turns(on, rounds, **ways):
    """Each way after all before it has settled. Names have spaces where the words have _."""
    def settled(way):
        on.settle()
        return way()
    return alternate({name.replace("_", " "): functools.partial(settled, way) for name, way in ways.items()}, rounds)


def unit(on, rounds):
    ways = {"Postern": functools.partial(on.runs, *ctl("true")), "bare_unit": on.bare_unit,
            "/bin/true": functools.partial(on.runs, "/bin/true"),
            "sudo": functools.partial(on.runs, "sudo", "-n", "/bin/true"),
            # Asks polkit where it is not root.
            "systemd-run": functools.partial(on.runs, "systemd-run", "-q", "--pipe", "--wait", "/bin/true", user=None)}
    return take_turns(on, rounds, **ways)


def boxed(on, rounds):
    return take_turns(on, rounds, Postern=functools.partial(on.runs, *ctl("boxed")),
                      sudo=functools.partial(on.runs, "sudo", "-n", "/bin/true"))


def boxed_spare(on, rounds):
    on.make_spares()
    return alternate({"Postern": functools.partial(on.runs, *ctl("spare"), pause=PAUSE),
                      "sudo": functools.partial(on.runs, "sudo", "-n", "/bin/true", pause=PAUSE)}, rounds)


def spares_8(on, rounds):
    on.make_spares()

    def ours():
        on.wait_for_spares()
        return on.runs(*ctl("spare"), callers=SPARES, count=SPARES)
    return alternate({"Postern": ours, "sudo": functools.partial(
        on.runs, "sudo", "-n", "/bin/true", callers=SPARES, count=SPARES)}, rounds)


def direct(on, rounds):
    return alternate({"Postern": functools.partial(on.runs, *ctl("true", DIRECT)),
                      "sudo": functools.partial(on.runs, "sudo", "-n", "/bin/true"),
                      "doas": functools.partial(on.runs, "doas", "/bin/true")}, rounds)


def units_200(on, rounds):
    return take_turns(on, rounds, Postern=functools.partial(on.runs, *ctl("true"), callers=8, count=200),
                      bare_unit=functools.partial(on.bare_unit, 8, 200))


def direct_200(on, rounds):
    return alternate({"Postern": functools.partial(on.runs, *ctl("true", DIRECT), callers=8, count=200),
                      "sudo": functools.partial(on.runs, "sudo", "-n", "/bin/true", callers=8, count=200)}, rounds)


def cold(on, rounds):
    # Reading the records of the rows before takes time too.
    on.host.run("systemctl", "stop", "posternd.service")
    on.host.run("sh", "-c", "rm -rf /var/lib/postern/jobs/*")

    def first(service, path):
        # Its spares go with the daemon.
        on.host.run("systemctl", "stop", service, "posternd.service")
        on.settle(spares_stay=False)
        return {"ms": on.load("connects", "text", f"unix:{path}", 1, 1)["p50"] / 1000}
    return alternate({"Postern": functools.partial(first, "posternd.service", "/run/postern/postern.sock"),
                      "smallest server": functools.partial(first, "cold.service", "/run/cold.sock"),
                      "smallest server in the daemon's sandbox": functools.partial(
                          first, "cold-boxed.service", "/run/cold-boxed.sock")}, rounds)


ROWS = {"unit": unit, "boxed": boxed, "boxed-spare": boxed_spare, "direct": direct, "units-200": units_200,
        "spares-8": spares_8, "direct-200": direct_200, "cold": cold}
