// Base64 (RFC 4648, section 4), padded, one line: how bytes travel that are no text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::protocol {

std::string encode_base64(std::string_view bytes);
void append_base64(std::string& to, std::string_view bytes);

// Absent where the text is anything else, or not the one text for its bytes.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace postern::protocol
