// What a fuzz target says of its input: it holds, or that is a finding.
#pragma once

#include <cstdlib>

namespace postern::fuzz {

inline void check(bool holds) {
    if (!holds) std::abort();
}

}  // namespace postern::fuzz
