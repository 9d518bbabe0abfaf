# The benchmarks: tests/bench/rows.json has what `bench` and `bench system` measure, with the goals.

build_bench() {
    configure bench -DPOSTERN_BENCH=ON "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG"
    compile bench "$@"
}

# bench_rows here|booted WORD...: the rows, by what makes the load. On booted hosts the package is measured, else
# the release build.
bench_rows() {
    build_bench bench_tools
    [[ $1 == booted ]] || build_release
    run /usr/bin/python3 tests/bench/bench.py build/release/bin build/bench/bin "$@"
}

# Parts by Google Benchmark; memory and time of 100,000 records.
bench_parts() {
    local folder
    build_bench postern_bench bench_records
    run build/bench/bin/postern_bench
    folder=$(mktemp -d /dev/shm/postern-bench-XXXXXX)
    at_exit+=("rm -rf $folder")
    run build/bench/bin/bench_records "$folder"
    rm -rf "$folder"
}

# What jobs write and read, beside a bare pipe and sudo.
bench_output() {
    build_bench
    run /usr/bin/python3 tests/bench/output.py build/bench "$@"
}

# One user's floods, and what they cost another.
bench_attacks() {
    build_bench
    run /usr/bin/python3 tests/bench/attacks.py build/bench "$@"
}
