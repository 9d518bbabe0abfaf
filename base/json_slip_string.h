// One string of JSON, and what people write in it. A part of base/json_slips.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/json_slip.h"

namespace postern {

// Moves `at` from the quotation mark that begins it to behind the one that ends it, where there is
// no slip.
std::optional<JsonSlip> skip_json_string(std::string_view text, std::size_t& at);

}  // namespace postern
