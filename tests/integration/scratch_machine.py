"""A machine to try a guide on: a guard, and a mount namespace in which everything can be written.

/etc, /usr, /var, /root, /home and /srv are those of this machine with a layer above that is thrown away, and
/run is empty but for the guard's folder. So users can be made, files installed at the paths that the guide
names, and programs replaced by stand-ins. The guard listens at the paths of the package. There is no systemd:
/usr/bin/systemctl is a stand-in that writes down what it is told.
"""

import contextlib
import os
import subprocess

import guide
import harness

TOPS = ("etc", "usr", "var", "root", "home", "srv")
ACTIONS = "/etc/postern/actions.d"
SOCKET = "/run/postern/postern.sock"
DATAGRAM = "/run/postern/postern.dgram"
ADMIN = "/run/postern-admin/admin.sock"
TOLD = "/run/systemctl.told"
# Its last command keeps the namespace until standard input is closed.
SET_UP = r"""
base=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$base"
for top; do
    mkdir -p "$base/$top/upper" "$base/$top/work"
    chmod --reference="/$top" "$base/$top/upper"
    mount -t overlay overlay -o "lowerdir=/$top,upperdir=$base/$top/upper,workdir=$base/$top/work" "/$top"
done
mkdir "$base/run" "$base/outer"
mount --rbind /run "$base/outer"
mount --bind "$base/run" /run
mkdir /run/lock /run/postern
mkdir -m 700 /run/postern-admin
echo ready
exec cat
"""
SHOW = 'mkdir -p "$2" && mount --bind "$1/outer/${2#/run/}" "$2"'
PUT = 'mkdir -p "$(dirname "$0")" && rm -f "$0" && cat >"$0" && chmod "$1" "$0"'
SYSTEMCTL = f"""#!/bin/sh
printf '%s\\n' "$*" >>{TOLD}
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    def __init__(self, base):
        self._base = str(base)
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-ec", SET_UP, "sh", self._base, *TOPS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
        assert self._keeper.stdout.readline() == "ready\n"
        self.enter = ("nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", "--")

    def close(self):
        self._keeper.communicate(timeout=30)

    def show(self, folder):
        """Makes a folder that is below /run outside visible inside."""
        self.root("/bin/sh", "-ec", SHOW, "sh", self._base, str(folder))

    def root(self, *words, **kwargs):
        return subprocess.run([*self.enter, *words], check=True, cwd="/", **kwargs)

    def write(self, path, text, mode=0o644):
        self.root("/bin/sh", "-ec", PUT, path, f"{mode:o}", input=text, text=True)

    def read(self, path):
        return self.root("cat", path, capture_output=True, text=True).stdout

    def run(self, user, line, env=None, cwd=None):
        """A line of shell as that user, as after a new login; what it prints, errors included, and its end."""
        become = [] if user == "root" else ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"]
        home = "/root" if user == "root" else f"/home/{user}"
        clean = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": home, "USER": user, "LOGNAME": user}
        return subprocess.run(
            [*self.enter, *become, "/bin/sh", "-c", f'cd "$0" && {line}', cwd or home], text=True, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
            check=False, env=clean if env is None else env)

    def told(self):
        """What systemctl was told since the last time, one call a line."""
        return self.root("/bin/sh", "-c", f"cat {TOLD} 2>/dev/null; rm -f {TOLD}", capture_output=True,
                         text=True).stdout.splitlines()

    def follow(self, section):
        """Does what a section of a guide shows."""
        for step in guide.steps(section):
            if isinstance(step, guide.File):
                self.write(step.path, step.text, 0o755 if step.text.startswith("#!") else 0o644)
                continue
            done = self.run(step.user, step.line)
            assert guide.is_shown(step.output, done.stdout) and done.returncode == step.exit_code, (
                f"{step.user}: {step.line}\nprinted: {done.stdout}\nand not: {step.output}\n"
                f"exit codes {done.returncode} and {step.exit_code}")


@contextlib.contextmanager
def machine(users=(), groups=(), options=()):
    """A Machine with the package's group, with these users, and with a guard that runs."""
    with harness.in_memory() as base:
        made = Machine(base)
        try:
            programs = os.path.dirname(harness.program("posternd"))
            if programs.startswith("/run/"):
                made.show(programs)
            for name, path in (("posternctl", "/usr/bin/posternctl"), ("posternd", "/usr/sbin/posternd"),
                               ("posternd", "/usr/local/sbin/posternd")):
                made.write(path, "")
                made.root("mount", "--bind", harness.program(name), path)
            made.write("/usr/bin/systemctl", SYSTEMCTL, 0o755)
            made.root("mkdir", "-p", ACTIONS, "/usr/lib/postern/actions.d")
            for group in ("postern", *groups):
                made.root("groupadd", "--force", group)
            for user in users:
                # Some machines have an account of that name.
                made.root("/bin/sh", "-c", 'id "$0" || useradd --create-home "$0"', user, capture_output=True)
            guard = harness.Guard(
                under=made.enter, socket_mode="0660", env={"PATH": PATH},
                options=["--socket", SOCKET, "--datagram", DATAGRAM, "--admin-socket", ADMIN, "--socket-group",
                         "postern", "--actions", ACTIONS, *options])
            made.show(guard.folder)
            made.guard = guard
            with guard:
                yield made
        finally:
            made.close()


