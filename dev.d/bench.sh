# The benchmarks: parts by Google Benchmark, then the whole programs.

build_bench() {
    configure bench -DPOSTERN_BENCH=ON "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG"
    compile bench
}

bench() {
    build_bench
    run build/bench/bin/postern_bench
    bench_records
    run /usr/bin/python3 tests/bench/requests.py build/bench
    run /usr/bin/python3 tests/bench/output.py build/bench
}

# Memory and time of 100,000 records.
bench_records() {
    local folder
    folder=$(mktemp -d /var/tmp/postern-bench-XXXXXX)
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

# The package on booted hosts: jobs as units, beside other ways to become root.
bench_system() {
    run /usr/bin/python3 tests/bench/booted.py "$@"
}
