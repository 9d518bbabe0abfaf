# Every test. All is built first; then one run of ctest does the rest, the checks included.

run_tests() {
    say "Release build with tests"
    configure_release -DPOSTERN_TESTS=ON -DPOSTERN_TEST_PREFIX=release.
    compile release
    say "Build with AddressSanitizer and UndefinedBehaviorSanitizer, with tests and fuzz targets"
    configure_asan
    compile asan all fuzzers
    say "Build with ThreadSanitizer: the guard's own code, which has threads"
    configure tsan -DPOSTERN_TESTS=ON -DPOSTERN_TEST_PREFIX=tsan. -DPOSTERN_TEST_AREAS=guard \
        -DPOSTERN_SANITIZE=thread -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1"
    compile tsan guard_tests

    say "Tests"
    run cmake -G Ninja -S tests/all -B build/tests -DPOSTERN_BUILDS="$repository/build" >build/tests.log 2>&1 || {
        cat build/tests.log >&2
        die "cmake failed on tests/all"
    }
    local status=0
    run ctest --test-dir build/tests --output-on-failure --no-tests=error \
        --parallel "$(nproc)" --output-junit junit.xml "$@" || status=$?
    if ((status != 0)); then
        # ctest names its entries alone; which case it was, and why, stands far above.
        say "What failed"
        grep -E '^(FAILED|ERROR) |^\[  FAILED  \]|^E  ' build/tests/Testing/Temporary/LastTest.log |
            sort -u >&2 || true
        exit "$status"
    fi
    # A case of GoogleTest that skips itself is no failure to ctest.
    if [[ ${CI:-} == true ]] && ! grep -q 'skipped="0"' build/tests/junit.xml; then
        die "tests were skipped, and CI=true: they are listed above"
    fi
}
