# The libFuzzer targets.

fuzz() {
    configure_asan
    compile asan fuzzers
    local -a targets
    mapfile -t targets < <(cd build/asan/bin && ls -d fuzz_*)
    if [[ $# != 2 || ! -x build/asan/bin/$1 || ! $2 =~ ^[1-9][0-9]*$ ]]; then
        printf 'usage: ./dev fuzz TARGET SECONDS\ntargets: %s\n' "${targets[*]}" >&2
        exit 2
    fi
    run tests/fuzz/run.sh "build/asan/bin/$1" "$2" "build/fuzz/$1"
}
