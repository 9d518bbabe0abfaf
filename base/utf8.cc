#include "base/utf8.h"

#include <array>
#include <cstring>

namespace postern {
namespace {

// What stands at the beginning of a text.
struct Decoded {
    enum class State : std::uint8_t { character, incomplete, invalid };
    State state = State::invalid;
    char32_t code_point = 0;
    // Of the character; of the bytes that begin it (incomplete); else of the maximal invalid part.
    std::size_t bytes = 1;
};

constexpr bool is_between(unsigned char byte, unsigned low, unsigned high) {
    return byte >= low && byte <= high;
}

// Precondition: text is not empty.
Decoded decode(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x80) return {Decoded::State::character, first, 1};

    // The second byte's range depends on the first: that keeps overlong forms, surrogates and what
    // is past U+10FFFF out.
    std::size_t length = 0;
    char32_t code_point = 0;
    unsigned low = 0x80;
    unsigned high = 0xBF;
    if (is_between(first, 0xC2, 0xDF)) {
        length = 2;
        code_point = first & 0x1FU;
    } else if (is_between(first, 0xE0, 0xEF)) {
        length = 3;
        code_point = first & 0x0FU;
        if (first == 0xE0) low = 0xA0;
        if (first == 0xED) high = 0x9F;
    } else if (is_between(first, 0xF0, 0xF4)) {
        length = 4;
        code_point = first & 0x07U;
        if (first == 0xF0) low = 0x90;
        if (first == 0xF4) high = 0x8F;
    } else {
        return {Decoded::State::invalid, 0, 1};
    }
    for (std::size_t i = 1; i < length; ++i) {
        if (i == text.size()) return {Decoded::State::incomplete, 0, i};
        const auto byte = static_cast<unsigned char>(text[i]);
        if (!is_between(byte, low, high)) return {Decoded::State::invalid, 0, i};
        low = 0x80;
        high = 0xBF;
        code_point = (code_point << 6U) | (byte & 0x3FU);
    }
    return {Decoded::State::character, code_point, length};
}

struct Range {
    char32_t first;
    char32_t last;
};
constexpr std::array forbidden_ranges = {
    Range{0x0000, 0x001F}, Range{0x007F, 0x009F}, Range{0x061C, 0x061C}, Range{0x200E, 0x200F},
    Range{0x2028, 0x202E}, Range{0x2066, 0x2069}, Range{0xFDD0, 0xFDEF}, Range{0xFEFF, 0xFEFF},
};

bool is_forbidden(char32_t code_point) {
    for (const Range& range : forbidden_ranges) {
        if (code_point >= range.first && code_point <= range.last) return true;
    }
    return (code_point & 0xFFFEU) == 0xFFFE;  // the last two of every plane are noncharacters
}

std::string hex(char32_t number, std::size_t digits, std::string_view alphabet) {
    std::string text;
    for (; number != 0 || text.size() < digits; number >>= 4U) {
        text.insert(text.begin(), alphabet[number & 0xFU]);
    }
    return text;
}

}  // namespace

bool valid_utf8(std::string_view text) {
    while (!text.empty()) {
        // Most text is ASCII: eight bytes at a time.
        std::uint64_t word = 0;
        while (text.size() >= sizeof word) {
            std::memcpy(&word, text.data(), sizeof word);
            if ((word & 0x8080808080808080U) != 0) break;
            text.remove_prefix(sizeof word);
        }
        if (text.empty()) return true;
        const Decoded next = decode(text);
        if (next.state != Decoded::State::character) return false;
        text.remove_prefix(next.bytes);
    }
    return true;
}

std::size_t incomplete_utf8_tail(std::string_view text) {
    // The beginning of an unfinished character is among the last three bytes.
    for (std::size_t tail = 1; tail <= 3 && tail <= text.size(); ++tail) {
        const Decoded last = decode(text.substr(text.size() - tail));
        if (last.state == Decoded::State::incomplete) return tail;
        if (last.state == Decoded::State::character) return 0;
    }
    return 0;
}

std::optional<std::string> forbidden_character(std::string_view text) {
    while (!text.empty()) {
        const Decoded next = decode(text);
        if (next.state != Decoded::State::character) return "invalid UTF-8";
        if (is_forbidden(next.code_point))
            return "U+" + hex(next.code_point, 4, "0123456789ABCDEF");
        text.remove_prefix(next.bytes);
    }
    return std::nullopt;
}

std::string printable(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string shown;
    shown.reserve(text.size());
    while (!text.empty()) {
        const Decoded next = decode(text);
        if (next.state != Decoded::State::character) {
            for (const char byte : text.substr(0, next.bytes)) {
                shown += "\\x" + hex(static_cast<unsigned char>(byte), 2, digits);
            }
        } else if (!is_forbidden(next.code_point)) {
            shown += text.substr(0, next.bytes);
        } else if (next.code_point <= 0xFFFF) {
            shown += "\\u" + hex(next.code_point, 4, digits);
        } else {
            shown += "\\U" + hex(next.code_point, 8, digits);
        }
        text.remove_prefix(next.bytes);
    }
    return shown;
}

std::string in_quotes(std::string_view text, std::size_t bytes) {
    if (text.size() <= bytes) return '"' + printable(text) + '"';
    std::string_view head = text.substr(0, bytes);
    head.remove_suffix(incomplete_utf8_tail(head));
    return '"' + printable(head) + "...\"";
}

}  // namespace postern
