#include "protocol/output_reply.h"

#include <cstring>
#include <utility>

#include "base/utf8.h"
#include "protocol/base64.h"
#include "protocol/eight_bytes.h"

namespace postern::protocol {
namespace {

struct Names {
    std::string_view text;
    std::string_view base64;
    std::string_view missed;
};
// In the order of nlohmann's objects, as their index in OutputPart's array.
constexpr std::array<std::pair<std::size_t, Names>, 2> streams = {{
    {1, {R"(,"stderr":")", R"(,"stderrBase64":")", R"(,"stderrMissed":)"}},
    {0, {R"(,"stdout":")", R"(,"stdoutBase64":")", R"(,"stdoutMissed":)"}},
}};
constexpr std::string_view head = R"({"continues":true,"parameters":{"job":")";

// What stands after the backslash for a character in a JSON string: '\0' for one that stands there
// as it is, 'u' for one that has no short form.
constexpr std::string_view short_escapes = "\"\"\\\\\bb\ff\nn\rr\tt";
constexpr std::array<char, 256> escapes = [] {
    std::array<char, 256> all{};
    for (std::size_t control = 0; control < 0x20; ++control) all[control] = 'u';
    for (std::size_t i = 0; i < short_escapes.size(); i += 2) {
        all[static_cast<unsigned char>(short_escapes[i])] = short_escapes[i + 1];
    }
    return all;
}();

char escape_of(char c) {
    return escapes[static_cast<unsigned char>(c)];
}

// How many of the first bytes stand in a JSON string as they are.
std::size_t plain_prefix(std::string_view text) {
    std::size_t length = 0;
    for (std::uint64_t word = 0; text.size() - length >= sizeof word; length += sizeof word) {
        std::memcpy(&word, text.data() + length, sizeof word);
        if ((has_control(word) | has_byte(word, '"') | has_byte(word, '\\')) != 0) break;
    }
    while (length < text.size() && escape_of(text[length]) == '\0') ++length;
    return length;
}

void append_text(std::string& to, std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    while (!text.empty()) {
        const std::size_t plain = plain_prefix(text);
        to.append(text.substr(0, plain));
        text.remove_prefix(plain);
        if (text.empty()) return;
        const char c = text.front();
        to += '\\';
        to += escape_of(c);
        if (escape_of(c) == 'u') {
            to += "00";
            to += c < 0x10 ? '0' : '1';
            to += digits[static_cast<unsigned char>(c) & 0xFU];
        }
        text.remove_prefix(1);
    }
}

// A text that is being read from its front.
class Cursor {
  public:
    explicit Cursor(std::string_view text) : rest_(text) {}

    bool take(std::string_view text) {
        if (!rest_.starts_with(text)) return false;
        rest_.remove_prefix(text.size());
        return true;
    }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

    // The string whose opening quote was taken, up to its closing one. Only what append_text()
    // writes; other forms are for the JSON parser.
    std::optional<std::string> text() {
        std::string text;
        const std::string_view from_here = rest_;
        for (;;) {
            const std::size_t plain = plain_prefix(rest_);
            text.append(rest_.substr(0, plain));
            rest_.remove_prefix(plain);
            if (rest_.empty()) return std::nullopt;
            if (rest_.front() == '"') break;
            const auto character = escaped();
            if (!character) return std::nullopt;
            text += *character;
        }
        if (!valid_utf8(from_here.substr(0, from_here.size() - rest_.size()))) return std::nullopt;
        rest_.remove_prefix(1);
        return text;
    }
    std::optional<std::string> base64() {
        const std::size_t end = rest_.find('"');
        if (end == std::string_view::npos) return std::nullopt;
        auto bytes = decode_base64(rest_.substr(0, end));
        rest_.remove_prefix(end + 1);
        return bytes;
    }

  private:
    std::optional<char> escaped() {
        if (!take("\\") || rest_.empty()) return std::nullopt;
        for (std::size_t i = 0; i < short_escapes.size(); i += 2) {
            if (short_escapes[i + 1] != rest_.front()) continue;
            rest_.remove_prefix(1);
            return short_escapes[i];
        }
        if (!take("u00") || rest_.size() < 2 || (rest_[0] != '0' && rest_[0] != '1')) {
            return std::nullopt;
        }
        constexpr std::string_view digits = "0123456789abcdef";
        const auto low = digits.find(rest_[1]);
        if (low == std::string_view::npos) return std::nullopt;
        const char character = static_cast<char>((rest_[0] - '0') * 16 + static_cast<int>(low));
        rest_.remove_prefix(2);
        return character;
    }

    std::string_view rest_;
};

}  // namespace

bool travels_as_text(std::string_view bytes) {
    // First, since bytes that are no text mostly show that soon.
    if (!valid_utf8(bytes)) return false;
    std::size_t more = 0;  // characters than bytes
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        i += plain_prefix(bytes.substr(i));
        if (i == bytes.size()) break;
        more += escape_of(bytes[i]) == 'u' ? 5 : 1;
        if (more > (most_per_byte - 1) * bytes.size()) return false;
    }
    return true;
}

void append_output_reply(std::string& to, std::string_view job,
                         const std::array<OutputPart, 2>& parts, char terminator) {
    to += head;
    to += job;
    to += '"';
    for (const auto& [index, names] : streams) {
        const OutputPart& part = parts.at(index);
        if (!part.bytes.empty()) {
            if (travels_as_text(part.bytes)) {
                to += names.text;
                append_text(to, part.bytes);
            } else {
                to += names.base64;
                append_base64(to, part.bytes);
            }
            to += '"';
        }
        if (part.missed > 0) {
            to += names.missed;
            to += std::to_string(part.missed);
        }
    }
    to += "}}";
    to += terminator;
}

std::optional<std::array<std::string, 2>> decode_output_reply(std::string_view message,
                                                              std::string_view job) {
    Cursor cursor(message);
    if (!cursor.take(head) || !cursor.take(job) || !cursor.take("\"")) return std::nullopt;
    std::array<std::string, 2> output;
    for (const auto& [index, names] : streams) {
        std::optional<std::string> bytes;
        if (cursor.take(names.text)) {
            bytes = cursor.text();
        } else if (cursor.take(names.base64)) {
            bytes = cursor.base64();
        } else {
            continue;
        }
        if (!bytes) return std::nullopt;
        output.at(index) = std::move(*bytes);
    }
    const bool whole = cursor.take("}}") && cursor.at_end();
    if (!whole || (output[0].empty() && output[1].empty())) return std::nullopt;
    return output;
}

}  // namespace postern::protocol
