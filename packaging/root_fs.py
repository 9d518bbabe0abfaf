"""Root file systems of Debian suites, made by debootstrap once and kept as archives.

The cache is $POSTERN_TEST_CACHE, else $XDG_CACHE_HOME/postern-test, else /var/cache/postern-test. It
may be deleted at any time: what is missing or can't be unpacked is made again.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SUITES = ("bookworm", "trixie")
# Goes into the archives' names: another number where they are made in another way.
FORMAT = "1"


def cache():
    given = os.environ.get("POSTERN_TEST_CACHE")
    path = pathlib.Path(given) if given else pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or "/var/cache", "postern-test")
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    return path


def mirror():
    """The Debian mirror of this machine's own apt sources."""
    sources = pathlib.Path("/etc/apt")
    for file in [sources / "sources.list", *sorted(sources.glob("sources.list.d/*"))]:
        with contextlib.suppress(OSError):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                if re.match(r"\s*(deb\s|URIs:)", line):
                    for uri in re.findall(r"\bhttps?://\S+", line):
                        if uri.rstrip("/").endswith("/debian"):
                            return uri.rstrip("/")
    return "http://deb.debian.org/debian"


def _run(what, command, **kwargs):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f"{done.stdout[-4000:]}\n{what} failed; above is the end of its output")


def _install(suite, packages, root):
    """apt inside: it knows of virtual packages, which debootstrap does not."""
    debs = cache() / f"debs-{suite}"
    debs.mkdir(exist_ok=True)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    # Nothing is started while packages are set up.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    policy.chmod(0o755)
    script = (f'mount -t proc proc "{root}/proc" && '
              f'mount --bind "{debs}" "{root}/var/cache/apt/archives" && '
              f'exec chroot "{root}" sh -c "apt-get -q update && apt-get -q install --yes '
              f'--no-install-recommends -o DPkg::Options::=--force-unsafe-io '
              f'-o APT::Keep-Downloaded-Packages=true {" ".join(packages)}"')
    _run(f"installing packages of {suite}",
         ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
         env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
              "DEBIAN_FRONTEND": "noninteractive"})
    policy.unlink()
    for lists in (root / "var/lib/apt/lists").glob("*_*"):
        lists.unlink()


def _make(suite, packages, archive):
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache()) as folder:
        root = pathlib.Path(folder, "root")
        if packages:
            root.mkdir()
            _unpack(suite, [], root)
            _say(f"installing {len(packages)} packages and what they need")
            _install(suite, packages, root)
        else:
            _say(f"making a root file system of {suite} from {mirror()}")
            _run(f"debootstrap of {suite}",
                 ["debootstrap", "--variant=minbase", suite, root, mirror()])
        unfinished = pathlib.Path(folder, "archive")
        _run("tar", ["tar", "--zstd", "--numeric-owner", "--xattrs", "--exclude=./proc/*",
                     "--exclude=./var/cache/apt/archives/*", "-C", root, "-cf", unfinished, "."])
        unfinished.rename(archive)


def _say(text):
    print(f"root_fs: {text}", file=sys.stderr, flush=True)


def key(*words):
    """Goes into the name of what is kept: what was made of other words has another."""
    return hashlib.sha256(" ".join([FORMAT, *words]).encode()).hexdigest()[:16]


def _unpack(suite, packages, target):
    archive = cache() / f"{suite}-{key(suite, *packages)}.tar.zst"
    for attempt in (1, 2):
        if not archive.exists():
            _make(suite, packages, archive)
        try:
            _run(f"unpacking {archive}", ["tar", "--zstd", "--numeric-owner", "--xattrs", "-C",
                                          target, "-xpf", archive])
            return
        except RuntimeError as error:
            if attempt == 2:
                raise
            _say(f"{error}\nIt is made again.")
        archive.unlink()
        for entry in pathlib.Path(target).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def unpack(suite, packages, target):
    """Unpacks a root file system of `suite` with these packages into the empty folder `target`.

    RuntimeError, with the output of what failed, where there is none and none can be made.
    """
    if suite not in SUITES:
        raise ValueError(f'there is no suite "{suite}" here, only {" and ".join(SUITES)}')
    with open(cache() / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _unpack(suite, sorted(set(packages)), pathlib.Path(target))


@contextlib.contextmanager
def unpacked(suite, packages):
    """A root file system in a folder of its own, which goes at the end."""
    with tempfile.TemporaryDirectory(prefix=f"{suite}-root-", dir=cache()) as folder:
        root = pathlib.Path(folder, "root")
        root.mkdir(mode=0o755)
        unpack(suite, packages, root)
        yield root
