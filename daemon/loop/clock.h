// The wall clock of the daemon. For spans there is std::chrono::steady_clock, which is
// CLOCK_MONOTONIC.
#pragma once

#include <chrono>

namespace postern {

// For people and records, in the resolution in which they are written.
inline std::chrono::sys_time<std::chrono::microseconds> wall_clock() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace postern
