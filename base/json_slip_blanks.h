// Blanks and comments between the tokens of JSON, and what people write for them. A part of
// base/json_slips.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/json_slip.h"

namespace postern {

bool is_line_end(char c);
bool is_blank(char c);

// Moves `at` behind them, as far as there is no slip.
std::optional<JsonSlip> skip_json_blanks(std::string_view text, std::size_t& at);

}  // namespace postern
