"""What build_deb.py and build_rpm.py share: the sources that go into a package, and a build of them
inside a root file system."""

import fcntl
import hashlib
import pathlib
import re
import shutil
import subprocess

import root_fs

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


def version(sources):
    text = (sources / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r"project\(postern VERSION ([0-9.]+)", text).group(1)


def git(*arguments):
    """Output of git, or None where this is no checkout."""
    done = subprocess.run(["git", "-c", f"safe.directory={REPOSITORY}", "-C", REPOSITORY, *arguments],
                          capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def source_names():
    """What git knows or would add; without git all but build/."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is not None:
        return sorted(filter(None, listed.decode().split("\0")))
    return sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.rglob("*")
                  if path.is_file() and path.relative_to(REPOSITORY).parts[0] != "build")


def copy_sources(target):
    for name in source_names():
        source = REPOSITORY / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def digest_of_sources(*words):
    """Of all that has a say in a package; tests have none."""
    digest = hashlib.sha256(root_fs.key(*words).encode())
    for name in source_names():
        path = REPOSITORY / name
        if not name.startswith("tests/") and path.is_file():
            digest.update(f"{name}\0{path.stat().st_mode}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def once(results, make, *words):
    """Calls make() to fill the directory `results`, unless that was done already of the same sources and words."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{results}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest, stamp = digest_of_sources(*words), results / "sources.sha256"
        if not stamp.exists() or stamp.read_text(encoding="ascii") != digest:
            make()
            stamp.write_text(digest, encoding="ascii")


def compile_in(root, suite, command, results, environment):
    """Runs the shell command in /build/postern of the root; its output is left in results/build.log, where
    nothing else is then. What was compiled before comes from the suite's cache."""
    compiled = root_fs.cache() / f"ccache-{suite}"
    compiled.mkdir(exist_ok=True)
    (root / "ccache").mkdir()
    script = (f'mount -t proc proc "{root}/proc" && mount --bind "{compiled}" "{root}/ccache" && '
              f'exec chroot "{root}" sh -c "cd /build/postern && $1"')
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    # In namespaces of its own: nothing that the build starts or mounts outlives it.
    with open(results / "build.log", "wb") as log:
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c", script, "sh", command],
            check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                 "HOME": "/nonexistent", "CCACHE_DIR": "/ccache", "CCACHE_MAXSIZE": "1G",
                 # rpmbuild sets another locale, in which the compiler's output is the same.
                 "CCACHE_SLOPPINESS": "locale",
                 "CMAKE_CXX_COMPILER_LAUNCHER": "ccache", **environment})
    if done.returncode != 0:
        text = (results / "build.log").read_text(errors="replace").splitlines()
        raise RuntimeError("\n".join(text[-40:]) +
                           f"\nThe package build failed; all of it is in {results}/build.log")
