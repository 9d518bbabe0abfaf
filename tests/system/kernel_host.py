"""Debian's own kernel, booted in qemu with the package installed.

A booted host of systemd-nspawn has the kernel of the machine that tests. What depends on the kernel is
looked at here, on those that people run. There is no way in: the programs in kernel/ run inside as the
last unit of the boot, write what they see to the second serial port, one JSON object a line, and power
off. What that ought to be is said by the tests outside. It is software emulation, which runs wherever
the tests do.
"""

import contextlib
import copy
import json
import pathlib
import shutil
import subprocess
import tempfile

import booted_host
import root_fs

# Beside what every host has: the kernel, what boots it, and what the checks use.
PACKAGES = ("linux-image-amd64", "initramfs-tools", "kmod", "apparmor", "python3")
PROGRAMS = pathlib.Path(__file__).parent / "kernel"
HELLO = pathlib.Path(__file__).resolve().parents[2] / "examples/demo/hello.json"
INSIDE = "usr/local/lib/postern-kernel"
# A boot and the checks take about five minutes of an idle machine, longer beside other work; this ends
# what hangs.
MOST_SECONDS = 2400

# MEMBER and OTHER may call, MALLORY as well, with worse in mind. The numbers are known to the tests.
PREPARE = """
dpkg -i /package.deb && rm /package.deb
systemctl enable posternd-datagram.socket
groupadd -g 4000 crew
for user in 4001:member 4002:other 4003:mallory; do
    useradd -u "${user%:*}" -U "${user#*:}" && usermod -a -G postern "${user#*:}"
done
usermod -a -G crew member
"""
UNIT = f"""
[Unit]
Description=What Postern does on this kernel
After=multi-user.target

[Service]
ExecStart=/usr/bin/python3 -B /{INSIDE}/main.py /dev/ttyS1
ExecStopPost=/bin/sh -c "echo o >/proc/sysrq-trigger"
"""


def packages(suite, dependencies):
    return [*booted_host.packages(suite, dependencies), *PACKAGES]


class Report:
    """What was seen inside: by the names of the checks, and the console for what was not."""

    def __init__(self, lines, console):
        self._checks = {}
        for line in lines.splitlines():
            with contextlib.suppress(ValueError):  # the last one, cut off by a machine that ended
                check = json.loads(line)
                self._checks[check["check"]] = check
        self._console = console

    def saw(self, name):
        """What a check saw; AssertionError where it could not look, with what it says of that."""
        check = self._checks.get(name)
        assert check is not None, (
            f"nothing was heard of {name}, only of {', '.join(self._checks) or 'nothing'}; the end "
            f"of the console:\n{self._console[-4000:]}")
        assert "error" not in check, f"{name} went wrong inside:\n{check['error']}"
        return copy.deepcopy(check["saw"])  # a test may take it apart

    def seconds(self):
        """What each check took, for the curious."""
        return {name: check["seconds"] for name, check in self._checks.items()}


def run(suite, package, dependencies):
    """Boots the kernel of the suite with the package, runs all checks once, and returns the Report."""
    with tempfile.TemporaryDirectory(prefix=f"{suite}-kernel-", dir=root_fs.cache()) as name:
        folder = pathlib.Path(name)
        with root_fs.unpacked(suite, packages(suite, dependencies)) as root:
            _install(root, package)
            for kind in ("vmlinuz", "initrd.img"):
                shutil.copy(next(root.glob(f"boot/{kind}-*")), folder / kind)
            _make_image(root, folder / "image")
        _boot(folder)
        return Report((folder / "results").read_text(errors="replace"),
                      (folder / "console").read_text(errors="replace"))


def _install(root, package):
    shutil.copy(package, root / "package.deb")
    script = f'mount -t proc proc "{root}/proc" && exec chroot "{root}" sh -e -c \'{PREPARE}\''
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, umask=0o022,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
             "DEBIAN_FRONTEND": "noninteractive"})
    assert done.returncode == 0, f"the package could not be installed:\n{done.stdout}{done.stderr}"
    action = root / "etc/postern/actions.d/hello.json"
    shutil.copy(HELLO, action)
    action.chmod(0o644)
    (root / INSIDE).mkdir(mode=0o755)
    for program in PROGRAMS.glob("*.py"):
        shutil.copy(program, root / INSIDE)
        (root / INSIDE / program.name).chmod(0o644)
    units = root / "etc/systemd/system"
    (units / "postern-kernel.service").write_text(UNIT, encoding="ascii")
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "postern-kernel.service").symlink_to("../postern-kernel.service")


def _make_image(root, image):
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, image, "3G"],
                   check=True, stdin=subprocess.DEVNULL)


def _boot(folder):
    # Profiles that packages brought cost a minute of emulation, and are no concern of ours.
    words = "root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.mask=apparmor.service"
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi",
               "-cpu", "max", "-smp", "2", "-m", "1024",
               "-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none",
               "-kernel", folder / "vmlinuz", "-initrd", folder / "initrd.img", "-append", words,
               "-drive", f"file={folder}/image,format=raw,if=virtio,cache=unsafe",
               "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/results"]
    with open(folder / "qemu", "w+b") as said, contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                              timeout=MOST_SECONDS, check=False)
        said.seek(0)
        assert done.returncode == 0, f"qemu failed:\n{said.read().decode(errors='replace')}"
