// How much the daemon's log can be told to have; the first has most.
#pragma once

#include <array>
#include <string_view>

namespace postern {

inline constexpr std::array<std::string_view, 5> log_levels = {"debug", "info", "warning", "error",
                                                               "critical"};

}  // namespace postern
