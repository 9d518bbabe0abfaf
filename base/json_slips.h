// What people write by hand where JSON wants something else, and what they would have to write.
//
// The strict reader says that a text is not JSON and where it noticed; this says what the mistake
// probably is, and where: a comma is missing at the end of one line, and the reader notices it at
// the beginning of the next. For files that people write; programs get the reader's own words.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/json_slip.h"

namespace postern {

// The first slip of a text in which comments may occur, and which the strict reader refused at the
// offset `noticed`. Absent: up to there it is none of those that are known here.
std::optional<JsonSlip> find_json_slip(std::string_view text, std::size_t noticed);

}  // namespace postern
