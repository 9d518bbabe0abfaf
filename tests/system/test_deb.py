"""What the .deb is, before anybody installs it: what lintian says, what it needs, how its programs were built."""

import hashlib
import os
import re
import subprocess

import pytest

import build_deb
from conftest import REPOSITORY

pytestmark = pytest.mark.needs_root

COMMON = ("init-system-helpers (>= 1.52), systemd | systemd-standalone-sysusers | systemd-sysusers, ")
DEPENDS = {
    "bookworm": COMMON + "libc6 (>= 2.35), libfmt9 (>= 9.1.0+ds1), libgcc-s1 (>= 3.0), libnettle8, "
    "libre2-9 (>= 0+hg23), libseccomp2 (>= 2.1.0), libspdlog1.10-fmt9, libstdc++6 (>= 12), "
    "libsystemd0 (>= 247)",
    "trixie": COMMON + "libc6 (>= 2.38), libfmt10 (>= 10.1.1+ds1), libgcc-s1 (>= 3.0), libnettle8t64, "
    "libre2-11-absl20240722, libseccomp2 (>= 2.1.0), libspdlog1.15-fmt10, libstdc++6 (>= 14), "
    "libsystemd0 (>= 247)",
}
PROGRAMS = ("usr/bin/posternctl", "usr/sbin/posternd", *(
    f"usr/libexec/postern/postern-{name}" for name in ("dropper", "launcher", "output", "session")))
STATIC = ("postern-dropper", "postern-launcher")


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], check=True, capture_output=True,
                          text=True).stdout.strip()


def test_lintian_finds_no_error_and_no_warning(package):
    said = (package.parent / "lintian.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in said if re.match("[EW]:", line)] == []
    # It did look: there is no such file, on purpose.
    assert "I: postern source: debian-watch-file-is-missing" in said


def test_the_version_is_that_of_the_programs(package, suite):
    assert build_deb.package_version(suite) == f"{build_deb.version(REPOSITORY)}-1{build_deb.SUFFIX[suite]}"
    assert field(package, "Version") == build_deb.package_version(suite)


def test_what_it_depends_on(package, suite):
    assert field(package, "Depends") == DEPENDS[suite]
    assert field(package, "Recommends") == ""


def test_whose_sources_are_in_it_besides(package, suite):
    # The programs that are linked with them statically have them.
    compiler = {"bookworm": "gcc-12", "trixie": "gcc-14"}[suite]
    assert re.fullmatch(rf"{compiler} \(= [^ ,()]+\), glibc \(= [^ ,()]+\)", field(package, "Built-Using"))


def test_source_and_debugging_information_lie_beside_it(package, suite):
    version = build_deb.package_version(suite)
    machine = field(package, "Architecture")
    names = {path.name for path in package.parent.iterdir()}
    assert {f"postern_{version}.dsc", f"postern_{build_deb.version(REPOSITORY)}.orig.tar.xz",
            f"postern_{version}.debian.tar.xz", f"postern_{version}_{machine}.deb",
            f"postern-dbgsym_{version}_{machine}.deb"} <= names
    # A file for each program, by its build id.
    listed = subprocess.run(["dpkg-deb", "-c", package.parent / f"postern-dbgsym_{version}_{machine}.deb"],
                            check=True, capture_output=True, text=True).stdout
    assert len(re.findall(r"\./usr/lib/debug/\.build-id/../[0-9a-f]+\.debug$", listed, re.M)) == len(PROGRAMS)


def readelf(path, *options):
    return subprocess.run(["readelf", "-W", *options, path], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_how_its_programs_are_hardened(unpacked, program):
    path = unpacked / program
    assert re.search(r"^ *Type: +DYN ", readelf(path, "-h"), re.M)
    assert "GNU_RELRO" in readelf(path, "-l")
    assert re.search(r"GNU_STACK .* RW ", readelf(path, "-l"))
    dynamic = readelf(path, "-d")
    assert "BIND_NOW" in dynamic and re.search(r"FLAGS_1.*\bNOW\b.*\bPIE\b", dynamic)
    symbols = set(re.findall(r"\b(__\w+_chk)@", readelf(path, "--dyn-syms")))
    fortified = symbols - {"__stack_chk_fail"}
    # Of a program without libraries it can't be told: what it calls is its own.
    assert bool(fortified) == (not program.endswith(STATIC)), symbols


def test_every_program_is_among_them(unpacked):
    found = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*")
             if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"}
    assert found == set(PROGRAMS)


def test_documents_and_examples_are_in_it(unpacked):
    folder = unpacked / "usr/share/doc/postern"
    names = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    assert {"README.md", "SECURITY.md", "CONTRIBUTING.md", "changelog", "changelog.Debian", "copyright", "examples"} <= names
    for document in folder.glob("*.md"):
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
        assert [link for link in links if "://" not in link and not (folder / link).is_file()] == [], document
    assert {path.name for path in (REPOSITORY / "docs").iterdir()} <= names
    for policies in ("apparmor", "selinux"):  # uncompressed: they are loaded from there
        assert {path.name for path in (REPOSITORY / "packaging" / policies).iterdir()} == {
            path.name for path in (folder / policies).iterdir()}
    # Nothing beside them: what is only for trying things out stays in the source.
    assert {path.name.removesuffix(".gz") for path in (folder / "examples").iterdir()} == {
        path.name for path in (REPOSITORY / "examples/actions").iterdir()} | {"posternd.json"}
    copyright_text = (folder / "copyright").read_text(encoding="utf-8")
    assert copyright_text.startswith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n")


def test_pkg_config_knows_where_actions_go(unpacked):
    def ask(*words):
        return subprocess.run(["pkg-config", *words, "postern"], check=True, capture_output=True, text=True, env={
            "PATH": os.environ["PATH"], "PKG_CONFIG_LIBDIR": str(unpacked / "usr/share/pkgconfig")}).stdout.strip()

    actions = ask("--variable=actionsdir")
    assert actions == "/usr/lib/postern/actions.d" and (unpacked / actions[1:]).is_dir()
    assert ask("--modversion") == build_deb.version(REPOSITORY)
    document = (REPOSITORY / "docs/packaging-actions.md").read_text(encoding="utf-8")
    assert f"$ pkg-config --variable=actionsdir postern\n{actions}\n" in document


@pytest.mark.long
def test_a_second_build_has_the_same_bytes(package, suite, tmp_path):
    """At another time, in another directory, under another umask, time zone and language, compiled anew by
    one job at a time."""
    results = tmp_path / "second"
    elsewhere = ("umask 077 && mkdir -p /srv/other && mv /build/* /srv/other && cd /srv/other/postern && "
                 f"{build_deb.BUILD} && cp ../postern*_* /build")
    build_deb.make(suite, results, elsewhere, {
        "TZ": "XYZ-14", "LC_ALL": "C", "CCACHE_DISABLE": "1", "DEB_BUILD_OPTIONS": "nocheck parallel=1"})
    for pattern in ("*.deb", "*.tar.xz"):
        first, second = ({path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                          for path in folder.glob(pattern)} for folder in (package.parent, results))
        assert len(first) == 2 and first == second
