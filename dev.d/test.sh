# Every test. All is built first, the packages beside the rest; then one run of ctest does what is left,
# the checks included.

# What takes its time is said at the end, so that it is known where it goes.
parts=()
part_name='' part_began=0
part() {
    local now=$SECONDS
    [[ -z $part_name ]] || parts+=("$(printf '%5d s  %s' $((now - part_began)) "$part_name")")
    part_name=${1:-} part_began=$now
    [[ -z $part_name ]] || say "$part_name"
}

# The .debs and root file systems, which the booted hosts need, are made beside the other builds, and
# before them: the tests on those hosts take longest, and mostly wait.
start_packages() {
    ((EUID == 0)) || return 0
    mkdir -p build
    politely=(nice -n 3)
    start /usr/bin/python3 tests/system/prepare.py >build/packages.log 2>&1
}

# Folders with cases that sanitized builds do not have.
unsanitized_areas() {
    grep -rl POSTERN_SANITIZED --include='*_test.cc' tests/unit | sed 's,^tests/unit/,,; s,/[^/]*$,,' | sort -u |
        paste -sd';'
}

run_tests() {
    # The sanitized builds have all unit tests. To build and run them once more without sanitizers takes minutes:
    # that is for --long. What drives the programs has the shipped ones in any case.
    local release_areas
    release_areas=$(unsanitized_areas)
    if [[ ${1:-} == --long ]]; then
        export POSTERN_LONG=1
        release_areas=
        shift
    fi
    start_packages
    part "Release build with tests"
    configure_release_tests "$release_areas"
    compile release
    part "Build with AddressSanitizer and UndefinedBehaviorSanitizer, with tests and fuzz targets"
    configure_asan
    compile asan all fuzzers
    part "Build with ThreadSanitizer: what has threads"
    configure_tsan
    compile tsan unit_tests

    part "Tests"
    run cmake -G Ninja -S tests/all -B build/tests -DPOSTERN_BUILDS="$repository/build" >build/tests.log 2>&1 || {
        cat build/tests.log >&2
        die "cmake failed on tests/all"
    }
    # Booted hosts, and tests of what happens after a while, wait for most of their time.
    local status=0 parallel=$(($(nproc) + 4))
    run ctest --test-dir build/tests --output-on-failure --no-tests=error \
        --parallel "$parallel" --output-junit junit.xml "$@" || status=$?
    part
    if ((status != 0)); then
        # ctest names its entries alone; which case it was, and why, stands far above.
        say "What failed"
        grep -E '^(FAILED|ERROR) |^\[  FAILED  \]|^E  |: error: ' build/tests/Testing/Temporary/LastTest.log |
            sort -u >&2 || true
        exit "$status"
    fi
    # A case of GoogleTest that skips itself is no failure to ctest.
    if [[ ${CI:-} == true ]] && ! grep -q 'skipped="0"' build/tests/junit.xml; then
        die "tests were skipped, and CI=true: they are listed above"
    fi
    say "Where the time went"
    printf '%s\n' "${parts[@]}" >&2
}

# run_unit [AREA]: the cases of one folder and of those below it, or all of them, in one build that is
# quick to change.
run_unit() {
    local area=${1:-} name failed=0
    local -a targets=()
    area=${area%/}
    while read -r name; do
        [[ -z $area || $name == "$area" || $name == "$area"/* ]] || continue
        targets+=("${name//\//_}_tests")
    done < <(cd tests/unit && find . -name '*_test.cc' -printf '%P\n' | sed 's,/[^/]*$,,' | sort -u)
    ((${#targets[@]})) || die "tests/unit/$area has no cases; which there are: find tests/unit -name '*_test.cc'"
    configure_unit
    compile unit "${targets[@]}"
    for name in "${targets[@]}"; do
        say "$name"
        run "build/unit/bin/$name" --gtest_brief=1 || failed=$((failed + 1))
    done
    ((failed == 0)) || die "$failed of ${#targets[@]} programs have cases that failed; they are named above"
}
