// SHA-256 of a text, in small hexadecimal digits, as sha256sum(1) writes it: for what is named
// where there is no room for it, or no business.
#pragma once

#include <string>
#include <string_view>

namespace postern {

std::string sha256(std::string_view text);

}  // namespace postern
