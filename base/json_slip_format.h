// Files of other formats and encodings, where JSON is wanted: by how they begin. A part of
// base/json_slips.h.
#pragma once

#include <optional>
#include <string_view>

#include "base/json_slip.h"

namespace postern {

// Absent: it does not look like one of those that are known here.
std::optional<JsonSlip> find_other_format(std::string_view text);

}  // namespace postern
