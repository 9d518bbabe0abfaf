// What must hold for every input.
#pragma once

#include <cstdio>
#include <cstdlib>

// A property that does not hold is a finding like a crash.
inline void must_hold(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}
