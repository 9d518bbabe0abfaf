"""Running jobs when the package is removed, the .deb as the .rpm: how they are named, and what becomes of them."""

import json

import booted_host

SAID = ("postern: these jobs are still running; they will probably end at their next output, because nothing reads it "
        "(SIGPIPE); to end one and remove its unit, run: systemctl stop postern-job-JOB.service")
SCRIPTS = {"quiet": "sleep 1000", "writes": "while sleep 0.1; do echo x; done"}


def unit(job):
    return f"postern-job-{job}.service"


def state(host, job):
    return host.property(unit(job), "SubState")


def start_jobs(host):
    """Of the user "member", one of each script. The action -> its job."""
    for name, script in SCRIPTS.items():
        host.write(f"/etc/postern/actions.d/{name}.json", json.dumps(
            {"summary": name, "exec": ["/bin/sh", "-c", script], "allow": [{"group": "postern"}]}))
    jobs = {name: host.run("posternctl", "run", "--detach", name, user="member").stdout.strip()
            for name in SCRIPTS}
    for job in jobs.values():
        booted_host.wait_until(lambda job=job: state(host, job) == "running", 20, "the job runs")
    return jobs


def check(host, jobs, said):
    """That the removal has named them on standard error, and that what it said of them is so. They are over then."""
    lines = said.splitlines()
    begin = lines.index(SAID)
    uid = host.run("id", "-u", "member").stdout.strip()
    named = {line.split()[0]: line.split()[1:4] for line in lines[begin + 1:begin + 1 + len(jobs)]}
    assert named == {job: [name, uid, "(member)"] for name, job in jobs.items()}
    booted_host.wait_until(lambda: state(host, jobs["writes"]) != "running", 20, "it was ended")
    assert state(host, jobs["quiet"]) == "running"
    # That of the other one went with the package, if it had ended by then.
    host.run("systemctl", "stop", unit(jobs["writes"]), check=False)
    host.run("systemctl", "stop", unit(jobs["quiet"]))
    host.run("systemctl", "reset-failed")
