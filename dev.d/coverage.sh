# Line coverage of what decides and parses, by the unit tests alone, without the system around them.

coverage() {
    local -a areas=(daemon/policy daemon/policy/file protocol daemon/channel daemon/session)
    local -a sources=(daemon/policy daemon/channel protocol) targets=()
    local area target
    for area in "${areas[@]}"; do targets+=("${area//\//_}_tests"); done
    # By clang, whose figures are those of the source: no optimization, no code of the compiler's own.
    configure coverage -DPOSTERN_TESTS=ON "-DPOSTERN_TEST_AREAS=$(IFS=';' && echo "${areas[*]}")" \
        -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g1" \
        "-DCMAKE_CXX_FLAGS=-fprofile-instr-generate -fcoverage-mapping"
    compile coverage "${targets[@]}"
    rm -rf build/coverage/profiles
    # A session in its sandbox can't write a profile, and dies of trying.
    for target in "${targets[@]}"; do
        run env LLVM_PROFILE_FILE="$repository/build/coverage/profiles/$target-%p" \
            "build/coverage/bin/$target" --gtest_brief=1 --gtest_filter=-SessionSandbox.* \
            >"build/coverage/$target.log" 2>&1 || {
            cat "build/coverage/$target.log" >&2
            die "a test failed; the lines above are build/coverage/$target.log"
        }
    done
    run llvm-profdata-19 merge -o build/coverage/profile build/coverage/profiles/*
    local -a what=(-instr-profile build/coverage/profile "build/coverage/bin/${targets[0]}")
    for target in "${targets[@]:1}"; do what+=(-object "build/coverage/bin/$target"); done
    run llvm-cov-19 show -format html -output-dir build/coverage/html "${what[@]}" \
        -sources "${sources[@]}"
    run llvm-cov-19 report -show-region-summary=false -show-branch-summary=false "${what[@]}" \
        -sources "${sources[@]}"
    say "Line by line: build/coverage/html/index.html"
}
