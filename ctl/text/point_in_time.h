// Points in time as people write and read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::ctl {

// "10m", "2h", "1d": so long before `now_usec`; "2026-11-01", "2026-11-01 12:00" and
// "2026-11-01 12:00:30": by the local clock. In microseconds since 1970-01-01 UTC. The error says
// what to write instead.
Result<std::int64_t> parse_point_in_time(std::string_view text, std::int64_t now_usec);

// "2026-11-01 12:00:30", by the local clock.
std::string point_in_time_text(std::int64_t usec);

}  // namespace postern::ctl
