// The limits that the administrator may set, by their names (--limit NAME=VALUE, "limits" in the
// configuration). Fixed ones are in base/limits.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace postern {

struct Limits {
    // Counts.
    std::uint64_t connections_per_user = 256;
    std::uint64_t connections = 16384;
    std::uint64_t sessions_per_user = 8;
    std::uint64_t sessions = 512;
    std::uint64_t jobs_per_user = 32;
    std::uint64_t jobs = 512;
    std::uint64_t starts_per_user = 20;  // a second
    std::uint64_t records_per_user = 256;
    std::uint64_t records = 4096;
    std::uint64_t spares = 8;  // 0: none
    // Spans of time.
    std::chrono::microseconds session_idle = std::chrono::seconds(30);
    std::chrono::microseconds idle_exit = std::chrono::minutes(1);  // 0: never
    std::chrono::microseconds kill_grace = std::chrono::seconds(10);
    std::chrono::microseconds follower_stall = std::chrono::minutes(1);
    std::chrono::microseconds timeout = std::chrono::hours(1);
    // Bytes.
    std::uint64_t reply_output = 32ULL << 10;
    std::uint64_t stored_output = 64ULL << 20;
    std::uint64_t stored_output_per_user = 0;  // 0: half of the total
    std::uint64_t stored_output_total = 0;     // 0: as jobs::with_defaults()
};

// The limit's name, which may be given in the spelling of an older version too (jobs-per-uid for
// jobsPerUser). Error: no such limit (names those that are).
Result<std::string> limit_name(std::string_view name);

// Whether its value is a number, and no span of time or size. `name`: of limit_name().
bool limit_is_count(std::string_view name);

// In any of these spellings. Error: no such limit (names those that are), not a value of its kind,
// or out of its bounds.
Status set_limit(Limits& limits, std::string_view name, std::string_view value);
// The same where it is said elsewhere which limit it is: the error is about the value alone.
Status set_known_limit(Limits& limits, std::string_view name, std::string_view value);

// Name and value, as they would be written in the configuration.
std::vector<std::pair<std::string, std::string>> show_limits(const Limits& limits);

}  // namespace postern
