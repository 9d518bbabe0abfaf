# What each verb needs, by the names that Debian 12 and 13 share, and how it is installed.

build_packages=(
    g++ cmake ninja-build pkg-config
    libsystemd-dev libseccomp-dev libre2-dev nlohmann-json3-dev libspdlog-dev libcli11-dev
    nettle-dev
)
demo_packages=(netcat-openbsd)
test_packages=(
    libgtest-dev libgmock-dev
    clang-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev
    python3 python3-pytest python3-jsonschema strace linux-perf iproute2 procps
    logrotate bubblewrap mandoc bash-completion zsh fish rsync
    apparmor checkpolicy semodule-utils
)
# redis-tools has the server as well, and does not start it.
bench_packages=(libbenchmark-dev python3 redis-tools strace linux-perf)
coverage_packages=(llvm-19)
package_packages=(python3 debootstrap zstd)
long_test_packages=()
# The booted host, and with --long other kernels. What only root can use is only asked of root.
if ((EUID == 0)); then
    test_packages+=(systemd systemd-container rpm rpmlint "${package_packages[@]}")
    long_test_packages+=(qemu-system-x86 e2fsprogs)
fi

missing_packages() {
    local package
    local -A there=()
    while read -r package; do
        there[$package]=1
    done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
        sed -n 's/^installed //p')
    for package in "$@"; do
        [[ -n ${there[$package]:-} ]] || echo "$package"
    done
}

# Installs those of the packages that are missing; does nothing at all if none is.
need() {
    local -a missing as_root=()
    command -v dpkg-query >/dev/null || die "needs Debian 12 or 13; the packages are: $*"
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    local -a install=(install --yes --no-install-recommends "${missing[@]}")
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null ||
            ! { sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; }; then
            printf 'dev: packages are missing. As root, run\n\n    %s\n\nand then this again.\n' \
                "apt-get update && apt-get ${install[*]}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    local -a apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get -q -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
    "${apt[@]}" update >&2 || die "apt-get update failed"
    "${apt[@]}" "${install[@]}" >&2 || die "apt-get could not install ${missing[*]}"
}
