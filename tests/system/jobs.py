"""Jobs on a booted host: scripts for them, running them, and what systemd and the records say of them.

The fixtures declare and let are in conftest.py.
"""

import json

import booted_host

# What posternctl says on standard error once a daemon has not answered for three seconds: on a busy
# machine that may be each call which finds it starting, stopping or stopped by the test.
WAITS = ("posternctl: waiting for the daemon; the administrator sees why it does not answer with: "
         "journalctl -u posternd.service\n")


def run(host, *words, user="member"):
    done = host.run("posternctl", "run", *words, user=user, check=False)
    return done.returncode, done.stdout, done.stderr


def shell(script, **more):
    return {"exec": ["/bin/sh", "-c", script], **more}


def spawn(host, *words, user="member"):
    """posternctl run in the background; finished() waits for it."""
    return host.spawn("posternctl", "run", *words, user=user)


def finished(client, timeout=300):
    """What run() gives, of one that was spawned; it may have said once that it waits."""
    out, err = client.communicate(timeout=timeout)
    return client.returncode, out, err.replace(WAITS, "", 1)


def job_units(host):
    """The units of jobs that systemd knows, by their names."""
    return sorted(set(all_units(host)) - {f"postern-job-{spare}.service" for spare in spares(host)})


def spares(host):
    """The ids of jobs that are to come, whose units wait for them."""
    return set(host.run("sh", "-c", "ls /run/posternd/spares 2>/dev/null || true").stdout.split())


def all_units(host):
    listed = host.run("systemctl", "list-units", "--all", "--no-legend", "--plain", "postern-job-*")
    return [line.split()[0] for line in listed.stdout.splitlines()]


def expect_no_units(host):
    """A unit goes a moment after its job's caller has its answer."""
    booted_host.wait_until(lambda: job_units(host) == [], 60, "no unit left")


def wait_for_unit(host):
    """The unit of a job that has not ended."""
    def lives():
        return [unit for unit in job_units(host) if host.property(unit, "SubState") not in ("exited", "failed")]

    return booted_host.wait_until(lives, 60, "a job's unit")[0]


# In a script: waits until the test has seen what it has to see while the job runs, and lets it go.
UNTIL_LET = "until [ -e /run/let ]; do sleep 0.05; done"
# In a script: waits until systemd has noticed that its program was executed.
UNTIL_ACTIVE = "until systemctl -q is-active postern-job-$POSTERN_JOB.service; do sleep 0.05; done"


def all_records(host):
    """The newest record of each job: what lies in memory, until it is on the disk."""
    found = host.run("sh", "-c", "cat /run/posternd/*.json /var/lib/postern/jobs/*/record.json 2>/dev/null "
                     "| tr -d '\\n' | sed 's/}{/}\\n{/g'").stdout
    newest = {}
    for record in map(json.loads, found.splitlines()):
        # What went from memory meanwhile is on the disk, which is looked at afterwards.
        newest.setdefault(record["job"], record)
    return newest.values()


def records(host, action):
    """The newest records of all jobs of an action, oldest job first."""
    own = [record for record in all_records(host) if record["action"] == action]
    return sorted(own, key=lambda record: record["createdUsec"])
