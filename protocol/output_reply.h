// The replies of Run and Follow that carry what a job writes, while it writes it: the same texts
// that encode_reply() makes and decode_reply() reads, byte for byte, without a JSON value in
// between. All output of all jobs goes this way, so a byte of it is looked at as seldom as can be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::protocol {

// Bytes travel as text, or else as base64: where they are not valid UTF-8, or where so many of them
// are control characters ("\u0000") that the text would have more than twice as many.
bool travels_as_text(std::string_view bytes);
// The most that one byte of output becomes in a reply.
inline constexpr std::size_t most_per_byte = 2;

// Of one stream: what is missing before the bytes, and the bytes.
struct OutputPart {
    std::uint64_t missed = 0;
    std::string_view bytes;
};

// Adds to `to` a reply that continues, with its terminator; stdout, then stderr.
void append_output_reply(std::string& to, std::string_view job,
                         const std::array<OutputPart, 2>& parts, char terminator);

// The bytes of stdout and stderr in a message, without its terminator, that append_output_reply()
// may have made, with nothing missing and bytes of one stream at least. Nothing: it is another one,
// for decode_reply() to read or to refuse. `job`: whose it must be.
std::optional<std::array<std::string, 2>> decode_output_reply(std::string_view message,
                                                              std::string_view job);

}  // namespace postern::protocol
