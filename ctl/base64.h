#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::ctl {

// RFC 4648, section 4: padded, one line. Nothing where the text is anything else.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace postern::ctl
