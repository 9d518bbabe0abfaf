// What JSON's texts are scanned with, eight bytes at a time (Hacker's Delight, "Find First
// 0-Byte").
#pragma once

#include <cstdint>

namespace postern::protocol {

constexpr bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

constexpr std::uint64_t each_byte(std::uint64_t byte) {
    return ~std::uint64_t{0} / 255 * byte;
}
inline constexpr std::uint64_t high_bits = each_byte(0x80);

// Not 0: some byte of the word is `byte`; is a control character; is no ASCII, or DEL. The lowest
// bit that is set is the top bit of the lowest such byte.
constexpr std::uint64_t has_byte(std::uint64_t word, std::uint64_t byte) {
    const std::uint64_t zero = word ^ each_byte(byte);
    return (zero - each_byte(1)) & ~zero & high_bits;
}
constexpr std::uint64_t has_control(std::uint64_t word) {
    return (word - each_byte(0x20)) & ~word & high_bits;
}
constexpr std::uint64_t has_past_tilde(std::uint64_t word) {
    return (word | (word + each_byte(1))) & high_bits;
}

}  // namespace postern::protocol
