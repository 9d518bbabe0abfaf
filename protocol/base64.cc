#include "protocol/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace postern::protocol {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint8_t no_digit = 0x80;
constexpr std::array<std::uint8_t, 256> digit_values = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(no_digit);
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
        values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
    }
    return values;
}();

std::uint32_t byte_at(std::string_view bytes, std::size_t at) {
    return static_cast<unsigned char>(bytes[at]);
}

std::uint32_t value_at(std::string_view text, std::size_t at) {
    return digit_values[static_cast<unsigned char>(text[at])];
}

}  // namespace

void append_base64(std::string& to, std::string_view bytes) {
    const std::size_t begin = to.size();
    to.resize(begin + (bytes.size() + 2) / 3 * 4, '=');
    char* out = to.data() + begin;
    const auto put = [&out](std::uint32_t digits) { *out++ = alphabet[digits & 63U]; };
    std::size_t i = 0;
    for (; bytes.size() - i >= 3; i += 3) {
        const std::uint32_t group =
            byte_at(bytes, i) << 16U | byte_at(bytes, i + 1) << 8U | byte_at(bytes, i + 2);
        put(group >> 18U);
        put(group >> 12U);
        put(group >> 6U);
        put(group);
    }
    if (i == bytes.size()) return;
    const bool two = bytes.size() - i == 2;
    const std::uint32_t group = byte_at(bytes, i) << 16U | (two ? byte_at(bytes, i + 1) << 8U : 0U);
    put(group >> 18U);
    put(group >> 12U);
    if (two) put(group >> 6U);
}

std::string encode_base64(std::string_view bytes) {
    std::string text;
    append_base64(text, bytes);
    return text;
}

std::optional<std::string> decode_base64(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && !text.empty() && text.back() == '=') {
        text.remove_suffix(1);
        ++padding;
    }
    std::string bytes(text.size() * 3 / 4, '\0');
    char* out = bytes.data();
    std::uint32_t all = 0;  // of the values, to find one that is none
    std::size_t i = 0;
    for (; text.size() - i >= 4; i += 4) {
        const std::uint32_t a = value_at(text, i);
        const std::uint32_t b = value_at(text, i + 1);
        const std::uint32_t c = value_at(text, i + 2);
        const std::uint32_t d = value_at(text, i + 3);
        all |= a | b | c | d;
        *out++ = static_cast<char>(a << 2U | b >> 4U);
        *out++ = static_cast<char>(b << 4U | c >> 2U);
        *out++ = static_cast<char>(c << 6U | d);
    }
    // Bits that are in no byte must be zero: else two texts would mean the same bytes.
    std::uint32_t left = 0;
    if (i < text.size()) {
        const std::uint32_t a = value_at(text, i);
        const std::uint32_t b = value_at(text, i + 1);
        all |= a | b;
        *out++ = static_cast<char>(a << 2U | b >> 4U);
        left = b << 4U;
        if (text.size() - i == 3) {
            const std::uint32_t c = value_at(text, i + 2);
            all |= c;
            *out++ = static_cast<char>(b << 4U | c >> 2U);
            left = c << 6U;
        }
    }
    if ((all & no_digit) != 0 || (left & 0xFFU) != 0) return std::nullopt;
    return bytes;
}

}  // namespace postern::protocol
