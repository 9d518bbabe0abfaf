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


def _make(suite, packages, archive):
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache()) as folder:
        root = pathlib.Path(folder, "root")
        debs = cache() / f"debs-{suite}"
        debs.mkdir(exist_ok=True)
        print(f"Making a root file system of {suite} from {mirror()}", file=sys.stderr, flush=True)
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}",
             f"--cache-dir={debs}", suite, root, mirror()],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if made.returncode != 0:
            # A truncated package in the cache would fail for ever.
            shutil.rmtree(debs, ignore_errors=True)
            log = root / "debootstrap/debootstrap.log"
            tail = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            raise RuntimeError(f"debootstrap of {suite} failed:\n{made.stdout[-3000:]}\n{tail}")
        for deb in (root / "var/cache/apt/archives").glob("*.deb"):
            deb.unlink()
        unfinished = pathlib.Path(folder, "archive")
        subprocess.run(["tar", "--zstd", "--numeric-owner", "--xattrs", "-C", root, "-cf",
                        unfinished, "."], check=True)
        unfinished.rename(archive)


def unpack(suite, packages, target):
    """Unpacks a root file system of `suite` with these packages into the empty folder `target`."""
    if suite not in SUITES:
        raise ValueError(f'there is no suite "{suite}" here, only {" and ".join(SUITES)}')
    packages = sorted(set(packages))
    key = hashlib.sha256(" ".join([FORMAT, suite, *packages]).encode()).hexdigest()[:16]
    archive = cache() / f"{suite}-{key}.tar.zst"
    with open(cache() / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for attempt in (1, 2):
            if not archive.exists():
                _make(suite, packages, archive)
            unpacked = subprocess.run(
                ["tar", "--zstd", "--numeric-owner", "--xattrs", "-C", target, "-xpf", archive],
                check=False, capture_output=True, text=True)
            if unpacked.returncode == 0:
                return
            if attempt == 2:
                raise RuntimeError(f"{archive} can't be unpacked:\n{unpacked.stderr[-2000:]}")
            archive.unlink()
            for entry in pathlib.Path(target).iterdir():
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


@contextlib.contextmanager
def unpacked(suite, packages):
    """A root file system in a folder of its own, which goes at the end."""
    with tempfile.TemporaryDirectory(prefix=f"{suite}-root-", dir=cache()) as folder:
        root = pathlib.Path(folder, "root")
        root.mkdir(mode=0o755)
        unpack(suite, packages, root)
        yield root
