# The builds, one folder each below build/.

# configure NAME OPTION...: sets up build/NAME once, and again when the options change.
configure() {
    local name=$1
    shift
    local -a options=(-G Ninja -S . -B "build/$name" "$@")
    command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    if [[ -f build/$name/build.ninja && "${options[*]}" == "$(cat "build/$name/options" 2>/dev/null)" ]]; then
        return 0
    fi
    mkdir -p "build/$name"
    run cmake "${options[@]}" >"build/$name/configure.log" 2>&1 || {
        cat "build/$name/configure.log" >&2
        die "cmake failed; the lines above are build/$name/configure.log"
    }
    printf '%s' "${options[*]}" >"build/$name/options"
}

# compile NAME [TARGET...]
politely=()  # or what makes a build give way to others
compile() {
    local name=$1
    shift
    run "${politely[@]}" ninja -C "build/$name" "$@" || die "the build in build/$name failed"
}

# Line numbers for backtraces, and no more: full debug information takes a quarter of the build.
configure_release() {
    configure release "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG" "$@"
}

# ON: of the unit tests only those that the sanitized builds leave out. OFF: all.
configure_release_tests() {
    configure_release -DPOSTERN_TESTS=ON -DPOSTERN_TEST_PREFIX=release. "-DPOSTERN_TESTS_UNSANITIZED=$1"
}

# By clang, which has libFuzzer: one build for the sanitized tests and for the fuzz targets. Optimized a
# little: without, what it saves here it takes three times as long to run.
configure_asan() {
    configure asan -DPOSTERN_TESTS=ON -DPOSTERN_TEST_PREFIX=asan. -DPOSTERN_FUZZ=ON \
        -DPOSTERN_PCH=ON -DPOSTERN_SANITIZE=address,undefined -DCMAKE_CXX_COMPILER=clang++-19 \
        -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1"
}

# What has threads: the folders whose row in HACKING.md says so.
configure_tsan() {
    local areas
    areas=$(sed -n 's,^| `\([a-z/]*\)/` .*`threads`.*,\1,p' HACKING.md | paste -sd';')
    configure tsan -DPOSTERN_TESTS=ON -DPOSTERN_TEST_PREFIX=tsan. "-DPOSTERN_TEST_AREAS=$areas" \
        -DPOSTERN_PCH=ON -DPOSTERN_SANITIZE=thread -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1"
}

# For the developer: nothing is optimized, and a change to one file compiles that file alone.
configure_unit() {
    configure unit -DPOSTERN_TESTS=ON -DPOSTERN_UNITY=OFF -DPOSTERN_PCH=ON \
        -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g1"
}

# The programs; with their tests once these have been asked for.
build_release() {
    say "Release build"
    [[ -f build/release/build.ninja ]] || configure_release
    compile release
}
