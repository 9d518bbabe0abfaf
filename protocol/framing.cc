#include "protocol/framing.h"

namespace postern::protocol {
namespace {

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

}  // namespace

void Framer::reset() {
    begun_ = in_string_ = escaped_ = false;
    depth_ = 0;
}

std::size_t Framer::scan(std::string_view input) {
    for (std::size_t i = 0; i < input.size(); ++i) {
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
        // One long message must not cost its memory for the rest of the connection.
        if (buffer_.capacity() > 4096) buffer_.shrink_to_fit();
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
