"""What the checks do on the machine that they run on, as root."""

import json
import os
import pathlib
import pwd
import subprocess
import time

ACTIONS = pathlib.Path("/etc/postern/actions.d")
HERE = pathlib.Path(__file__).parent
SOCKET = "/run/postern/postern.sock"
DATAGRAM = "/run/postern/postern.dgram"
# Ends what hangs. Nothing here is a measurement: an emulated machine is as slow as its host is busy.
PATIENCE = 60

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def identity(user):
    """Arguments of subprocess for a process that has a user's ids and groups."""
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid,
            "extra_groups": os.getgrouplist(user, entry.pw_gid)}


def run(*words, user=None, timeout=PATIENCE, check=False):
    """Runs a command to its end, as a user if one is named: the CompletedProcess, texts in it."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/",
                          timeout=timeout, check=False, env=_ENVIRONMENT,
                          **(identity(user) if user else {}))
    if check and done.returncode != 0:
        raise RuntimeError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def spawn(*words, user=None):
    """Starts a command in a session of its own: the Popen, with pipes of bytes."""
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, cwd="/", env=_ENVIRONMENT,
                            start_new_session=True, **(identity(user) if user else {}))


def wait_until(condition, what, seconds=PATIENCE):
    """Polls until `condition()` is true and returns its value; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not hold within {seconds} s")
        time.sleep(0.1)
    return value


# ---- The guard ----

def declare(**actions):
    """Puts actions in force beside those that are."""
    for name, action in actions.items():
        text = json.dumps({"summary": name, "allow": [{"group": "postern"}], **action})
        (ACTIONS / f"{name}.json").write_text(text, encoding="ascii")
    run("systemctl", "restart", "posternd.service", check=True)


def program(name):
    """The words that execute one of the programs beside this one."""
    return ["/usr/bin/python3", "-B", str(HERE / name)]


def call(*words, user="member", timeout=PATIENCE):
    """posternctl as a user: {"code", "out", "err"}."""
    done = run("posternctl", *words, user=user, timeout=timeout)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def facts(action, user="member"):
    """What a job said that prints one JSON object; RuntimeError where it failed."""
    done = call("run", action, user=user)
    if done["code"] != 0:
        raise RuntimeError(f"{action}: {done}")
    return json.loads(done["out"])


def result(action, *arguments, user="member"):
    """How a job ended, as the daemon says it, and the exit code that posternctl makes of it."""
    done = call("--json", "run", action, *arguments, user=user)
    last = json.loads(done["out"].splitlines()[-1])
    return {"code": done["code"], **last}


def unit_property(name, unit="posternd.service"):
    return run("systemctl", "show", "--value", "-p", name, unit, check=True).stdout.strip()


def guard_pid():
    return int(unit_property("MainPID"))


def journal(*matches):
    """The guard's entries of this boot, as objects."""
    lines = run("journalctl", "--no-pager", "-b", "-o", "json", "-u", "posternd.service", *matches,
                check=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def status_of(pid):
    """/proc/PID/status as a dict of texts."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def processes(name):
    """The numbers of the processes that have this name (of at most 15 characters)."""
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text(encoding="utf-8").strip() == name:
                found.append(int(comm.parent.name))
        except OSError:
            pass  # it has just ended
    return found
