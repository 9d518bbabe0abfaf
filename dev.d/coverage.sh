# Line coverage of what decides and parses, by the unit tests alone, without the system around them.

coverage() {
    local -a areas=(policy protocol channel session) sources=(daemon/policy daemon/channel protocol)
    local area
    # By clang, whose figures are those of the source: no optimization, no code of the compiler's own.
    configure coverage -DPOSTERN_TESTS=ON "-DPOSTERN_TEST_AREAS=$(IFS=';' && echo "${areas[*]}")" \
        -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g1" \
        "-DCMAKE_CXX_FLAGS=-fprofile-instr-generate -fcoverage-mapping"
    compile coverage "${areas[@]/%/_tests}"
    rm -rf build/coverage/profiles
    # A session in its sandbox can't write a profile, and dies of trying.
    for area in "${areas[@]}"; do
        run env LLVM_PROFILE_FILE="$repository/build/coverage/profiles/$area-%p" \
            "build/coverage/bin/${area}_tests" --gtest_brief=1 --gtest_filter=-SessionSandbox.* \
            >"build/coverage/$area.log" 2>&1 || {
            cat "build/coverage/$area.log" >&2
            die "a test failed; the lines above are build/coverage/$area.log"
        }
    done
    run llvm-profdata-19 merge -o build/coverage/profile build/coverage/profiles/*
    local -a what=(-instr-profile build/coverage/profile build/coverage/bin/policy_tests)
    for area in "${areas[@]:1}"; do what+=(-object "build/coverage/bin/${area}_tests"); done
    run llvm-cov-19 show -format html -output-dir build/coverage/html "${what[@]}" \
        -sources "${sources[@]}"
    run llvm-cov-19 report -show-region-summary=false -show-branch-summary=false "${what[@]}" \
        -sources "${sources[@]}"
    say "Line by line: build/coverage/html/index.html"
}
