# The benchmarks: parts by Google Benchmark, then the whole programs.

bench() {
    configure bench -DPOSTERN_BENCH=ON "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG"
    compile bench
    run build/bench/bin/postern_bench
    run /usr/bin/python3 tests/bench/requests.py build/bench
}

# The package on booted hosts: jobs as units, beside other ways to become root.
bench_system() {
    run /usr/bin/python3 tests/bench/booted.py "$@"
}
