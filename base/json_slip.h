// What find_json_slip() (base/json_slips.h) and its parts find.
#pragma once

#include <cstddef>
#include <string>

namespace postern {

struct JsonSlip {
    // What is wrong, and what to write; printable whatever the text was.
    std::string message;
    // Bytes from the beginning of the text to the mistake; at most the text's length.
    std::size_t offset = 0;
};

}  // namespace postern
