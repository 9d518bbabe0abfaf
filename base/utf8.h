// UTF-8 as Unicode 15 (section 3.9, table 3-7) defines it, and the characters that no name and no
// argument may contain, since they can make a terminal or a reader see something else than is
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

// Well-formed: no overlong form, no surrogate, nothing past U+10FFFF.
bool valid_utf8(std::string_view text);

// How many bytes (0 to 3) at the end begin a character and lack the rest of it. Bytes that can't
// become a character do not count.
std::size_t incomplete_utf8_tail(std::string_view text);

// The first character that may not stand in text from a caller: controls (C0, DEL, C1), U+2028 and
// U+2029, those that set the direction of text (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to
// U+2069), the byte order mark and noncharacters. By name ("U+001B"), or "invalid UTF-8".
std::optional<std::string> forbidden_character(std::string_view text);

// For messages and logs: forbidden characters as \u001b, bytes that are no UTF-8 as \xNN, the rest
// as it is. A backslash stays one backslash: the result is for readers and can't be undone.
std::string printable(std::string_view text);

// The same in double quotes, and at most about `bytes` of the text: "abc..." where it is longer.
std::string in_quotes(std::string_view text, std::size_t bytes = 200);

}  // namespace postern
