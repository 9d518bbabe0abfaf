// Cuts a stream of bytes into messages.
//
// NUL ends a message. A newline outside an open JSON value ends one too; a newline inside an
// object, an array or a string does not (pretty-printed JSON is legal). Messages of nothing but
// white space are skipped, and white space before a message does not belong to it.
//
// Every byte is looked at once, however the input is split.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/limits.h"

namespace postern::protocol {

struct Frame {
    // Without the terminator. Points into the input or into the framer: valid until the next call
    // of next(), and as long as the input.
    std::string_view text;
    // '\0' or '\n': what ended it.
    char terminator = '\0';
};

class Framer {
  public:
    // `maximum`: bytes of one message, without its terminator. `kept`: bytes of memory that one
    // long message may cost until the next, and so for the rest of the connection.
    explicit Framer(std::size_t maximum = limits::message_bytes, std::size_t kept = 4096)
        : maximum_(maximum), kept_(kept) {}

    // Takes bytes off the front of `input`, up to the end of the next message. Without a value all
    // of the input is taken and the message goes on, or it is too long (see too_long()).
    std::optional<Frame> next(std::string_view& input);

    // The message is longer than the maximum. It stays so: where the next one begins is not known.
    [[nodiscard]] bool too_long() const { return too_long_; }

    // A message has begun and not ended.
    [[nodiscard]] bool mid_message() const { return begun_; }

  private:
    // Returns the position of the byte that ends the message, or npos.
    std::size_t scan(std::string_view input);
    void reset();

    std::size_t maximum_;
    std::size_t kept_;
    std::string buffer_;     // the part of an unfinished message that came with earlier input
    bool returned_ = false;  // the buffer was given out by the last call
    bool begun_ = false;     // a byte that is not white space was seen
    bool in_string_ = false;
    bool escaped_ = false;  // the byte after a backslash in a string
    bool too_long_ = false;
    std::uint32_t depth_ = 0;  // open objects and arrays
};

}  // namespace postern::protocol
