#include "protocol/framing.h"

#include <cstring>

#include "protocol/eight_bytes.h"

namespace postern::protocol {
namespace {

// How many of the first bytes of a string's inside can't end it, or the message. Most of what comes
// is in long strings: eight bytes at a time.
std::size_t boring_prefix(std::string_view text) {
    std::size_t length = 0;
    for (std::uint64_t word = 0; text.size() - length >= sizeof word; length += sizeof word) {
        std::memcpy(&word, text.data() + length, sizeof word);
        if ((has_byte(word, 0) | has_byte(word, '"') | has_byte(word, '\\')) != 0) break;
    }
    while (length < text.size() && text[length] != '\0' && text[length] != '"' &&
           text[length] != '\\') {
        ++length;
    }
    return length;
}

}  // namespace

void Framer::reset() {
    begun_ = in_string_ = escaped_ = false;
    depth_ = 0;
}

std::size_t Framer::scan(std::string_view input) {
    for (std::size_t i = 0; i < input.size(); ++i) {
        if (in_string_ && !escaped_) i += boring_prefix(input.substr(i));
        if (i == input.size()) break;
        const char c = input[i];
        if (c == '\0') return i;
        if (in_string_) {
            if (escaped_) {
                escaped_ = false;
            } else if (c == '\\') {
                escaped_ = true;
            } else if (c == '"') {
                in_string_ = false;
            }
            continue;
        }
        switch (c) {
            case '"':
                in_string_ = true;
                break;
            case '{':
            case '[':
                ++depth_;
                break;
            case '}':
            case ']':
                // Which bracket closes which is the JSON parser's question.
                if (depth_ > 0) --depth_;
                break;
            case '\n':
                if (depth_ == 0) return i;
                break;
            default:
                break;
        }
    }
    return std::string_view::npos;
}

std::optional<Frame> Framer::next(std::string_view& input) {
    if (returned_) {
        returned_ = false;
        buffer_.clear();
        if (buffer_.capacity() > kept_) buffer_.shrink_to_fit();
    }
    if (too_long_) {
        input = {};
        return std::nullopt;
    }
    if (!begun_) {
        std::size_t skip = 0;
        while (skip < input.size() && (is_space(input[skip]) || input[skip] == '\0')) ++skip;
        input.remove_prefix(skip);
        if (input.empty()) return std::nullopt;
        begun_ = true;
    }
    const std::size_t end = scan(input);
    const std::size_t part = end == std::string_view::npos ? input.size() : end;
    if (part > maximum_ - buffer_.size()) {
        too_long_ = true;
        buffer_.clear();
        buffer_.shrink_to_fit();
        input = {};
        return std::nullopt;
    }
    if (end == std::string_view::npos) {
        buffer_.append(input);
        input = {};
        return std::nullopt;
    }
    Frame frame{input.substr(0, end), input[end]};
    if (!buffer_.empty()) {
        buffer_.append(frame.text);
        frame.text = buffer_;
        returned_ = true;
    }
    input.remove_prefix(end + 1);
    reset();
    return frame;
}

}  // namespace postern::protocol
