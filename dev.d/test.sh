# Every test: on booted hosts as soon as there are packages, all else in one run of ctest once it is built, the
# checks included.

# What takes its time is said at the end, so that it is known where it goes.
parts=()
part_name='' part_began=0
part() {
    local now=$SECONDS
    [[ -z $part_name ]] || parts+=("$(printf '%5d s  %s' $((now - part_began)) "$part_name")")
    part_name=${1:-} part_began=$now
    [[ -z $part_name ]] || say "$part_name"
}

# run_ctest NAME SOURCE PARALLEL OPTION...: the tests of one of the projects below tests/all.
run_ctest() {
    local name=$1 source=$2 parallel=$3
    shift 3
    cmake -G Ninja -S "$source" -B "build/$name" -DPOSTERN_BUILDS="$repository/build" >"build/$name.log" 2>&1 || {
        cat "build/$name.log" >&2
        return 1
    }
    ctest --test-dir "build/$name" --output-on-failure --parallel "$parallel" --output-junit junit.xml "$@"
}

# The .debs and root file systems, and then the booted hosts, which need nothing else. They mostly wait:
# so they run beside all builds, whatever comes of the .debs (each test of a suite says why it has none).
booted_tests() {
    if ((EUID == 0)); then
        /usr/bin/python3 tests/system/prepare.py >build/packages.log 2>&1 || true
    fi
    run_ctest booted tests/all/booted 6 "$@" >build/booted.log 2>&1
}

run_tests() {
    # The sanitized builds have all unit tests. To build and run them once more without sanitizers takes minutes:
    # that is for --long. What drives the programs has the shipped ones in any case.
    local unsanitized=ON status=0 booted failed=0
    if [[ ${1:-} == --long ]]; then
        export POSTERN_LONG=1
        unsanitized=OFF
        shift
    fi
    local -a none=(--no-tests=error)
    (($# == 0)) || none=(--no-tests=ignore)  # what was chosen may all be on one side
    mkdir -p build
    politely=(nice -n 3)
    start booted_tests "${none[@]}" "$@"
    booted=$started

    part "Release build with tests"
    configure_release_tests "$unsanitized"
    compile release
    part "Build with AddressSanitizer and UndefinedBehaviorSanitizer, with tests and fuzz targets"
    configure_asan
    compile asan all fuzzers
    part "Build with ThreadSanitizer: what has threads"
    configure_tsan
    compile tsan unit_tests

    part "Tests"
    # Tests of what happens after a while wait for most of their time.
    run run_ctest tests tests/all $(($(nproc) + 3)) "${none[@]}" "$@" || failed=$?
    part "Tests on booted hosts, the rest of them"
    wait "$booted" || status=$?
    unset 'jobs_of_ours[-1]'
    cat build/booted.log
    part
    ((failed == 0)) || status=$failed
    if ((status != 0)); then
        # ctest names its entries alone; which case it was, and why, stands far above.
        say "What failed"
        grep -ahE '^(FAILED|ERROR) |^\[  FAILED  \]|^E   [A-Za-z.]*(Error|Exit|Timeout)|: error: ' build/{tests,booted}/junit.xml |
            sort -u >&2 || true
        exit "$status"
    fi
    # A case of GoogleTest that skips itself is no failure to ctest.
    if [[ ${CI:-} == true ]] && grep -qE 'skipped="[1-9]' build/{tests,booted}/junit.xml; then
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
