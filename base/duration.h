// Spans of time as administrators write them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern {

// "30s", "5min", "1h 30min", "500ms"; units us, ms, s, min, h, d, each at most once and the larger
// ones first; a plain number counts seconds. No sign, no fraction.
Result<std::chrono::microseconds> parse_duration(std::string_view text);

// The shortest way to write it that parse_duration reads back: "1h 30min".
std::string show_duration(std::chrono::microseconds span);

}  // namespace postern
