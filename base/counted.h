// Numbers with their nouns.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern {

// "1 file", "2 files", "0 files"; the plural where it is no "s" more: counted(2, "address",
// "addresses").
inline std::string counted(std::size_t count, std::string_view one, std::string_view several = {}) {
    std::string text = std::to_string(count) + ' ';
    if (count == 1) return text.append(one);
    return several.empty() ? text.append(one) + 's' : text.append(several);
}

// "1 file is", "2 files are": a sentence can continue.
inline std::string counted_is(std::size_t count, std::string_view one) {
    return counted(count, one) + (count == 1 ? " is" : " are");
}

}  // namespace postern
