// The two clocks of the daemon, in microseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace postern {

namespace detail {
inline std::uint64_t clock_usec(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}
}  // namespace detail

// For spans: never set back, and the same for all processes (CLOCK_MONOTONIC).
inline std::uint64_t monotonic_usec() {
    return detail::clock_usec(CLOCK_MONOTONIC);
}

// For people and records: since the epoch (CLOCK_REALTIME).
inline std::uint64_t wall_clock_usec() {
    return detail::clock_usec(CLOCK_REALTIME);
}
inline std::chrono::sys_time<std::chrono::microseconds> wall_clock() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace postern
