#!/usr/bin/python3
"""The installed package on really booted hosts, measured: jobs as transient units, and a cold start.

    booted.py [SUITE...]    bookworm and trixie, if none is named; needs root

Each figure is the median of one run, and stands beside other ways to run a program as root. All is
timed inside, by one bash as an ordinary user, where that user may: systemd-run and run0 would ask
polkit, which a host without a desktop need not have, so root runs them.
"""

import json
import os
import pathlib
import re
import statistics
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "packaging"), str(REPOSITORY / "tests/system")]

import booted_host  # noqa: E402
import build_deb  # noqa: E402
import root_fs  # noqa: E402

RUNS = 50
COLD_STARTS = 10
TIMED = ("for ((i = 0; i < $0; i++)); do began=$EPOCHREALTIME; \"$@\" </dev/null >/dev/null || exit 1; "
         "ended=$EPOCHREALTIME; echo $((${ended/./} - ${began/./})); done")
WAYS = [
    ("true by itself", "member", ["/bin/true"]),
    ("posternctl run true", "member", ["posternctl", "run", "true"]),
    ("posternctl run boxed", "member", ["posternctl", "run", "boxed"]),
    ("sudo -n true", "member", ["sudo", "-n", "true"]),
    ("systemd-run --pipe --wait true", None, ["systemd-run", "-q", "--pipe", "--wait", "true"]),
    ("run0 true", None, ["run0", "true"]),
]
ACTION = {"summary": "Do nothing", "exec": ["/bin/true"], "allow": [{"group": "postern"}]}
ACTIONS = {"true": ACTION, "boxed": {**ACTION, "sandbox": {
    "ProtectSystem": "strict", "PrivateTmp": True, "NoNewPrivileges": True, "ProtectHome": True}}}


def show(what, value):
    print(f"{what:<58} {value}", flush=True)


def set_up(host, package):
    host.run("dpkg", "-i", f"/packages/{package.name}")
    host.run("useradd", "--groups", "postern", "member")
    host.write("/etc/sudoers.d/member", "member ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    # What one user may start in a second is no part of what is measured.
    host.write("/etc/postern/posternd.json", '{ "limits": { "startsPerUser": 10000 } }\n')
    for name, action in ACTIONS.items():
        host.write(f"/etc/postern/actions.d/{name}.json", json.dumps(action))


def milliseconds(host, user, words):
    """Median and ninth decile; or what it said, where it can't be run."""
    done = host.run("bash", "-c", TIMED, str(RUNS), *words, user=user, check=False, timeout=300)
    if done.returncode != 0:
        return f"not to be had here: {done.stderr.strip() or done.stdout.strip()}"
    times = sorted(int(line) / 1000 for line in done.stdout.split())
    return f"{statistics.median(times):.2f} ms (p90 {times[len(times) * 9 // 10]:.2f})"


def cold_start(host):
    """From connect to the first reply, by posternctl's own clock, where no guard runs yet."""
    times = []
    for _ in range(COLD_STARTS):
        host.run("systemctl", "stop", "posternd.service")
        said = host.run("posternctl", "ping", user="member").stdout
        times.append(float(re.search(r"in ([0-9.]+) ms", said).group(1)))
    return f"{statistics.median(times):.1f} ms"


def measure(suite):
    package = build_deb.build(suite)
    depends = build_deb.dependencies(package)
    with root_fs.unpacked(suite, [*booted_host.PACKAGES, *depends, "sudo"]) as root, \
            booted_host.BootedHost(root, binds=[(package.parent, "/packages")]) as host:
        set_up(host, package)
        version = host.run("systemctl", "--version").stdout.split()[1]
        print(f"---- {suite}, systemd {version}")
        show("from connect to the first reply, guard to be started", cold_start(host))
        for name, user, words in WAYS:
            show(f"{name}, as {user or 'root'}", milliseconds(host, user, words))
        said = host.run("systemd-analyze", "--no-pager", "security", "posternd.service").stdout
        show("exposure of the guard, of 10", re.search(r"posternd.service: ([0-9.]+)", said).group(1))


def main():
    suites = sys.argv[1:] or root_fs.SUITES
    if any(suite not in root_fs.SUITES for suite in suites):
        sys.exit(f"usage: booted.py [{'|'.join(root_fs.SUITES)}...]")
    if os.geteuid() != 0:
        sys.exit("needs root, for booting a host: sudo ./dev bench system")
    for suite in suites:
        measure(suite)


if __name__ == "__main__":
    main()
