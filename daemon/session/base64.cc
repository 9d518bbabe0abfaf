#include "daemon/session/base64.h"

#include <cstddef>
#include <cstdint>

namespace postern::session {

std::string base64(std::string_view bytes) {
    static constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t rest = bytes.size() - i;
        const auto at = [&](std::size_t n) {
            return n < rest ? std::uint32_t{static_cast<unsigned char>(bytes[i + n])} : 0U;
        };
        const std::uint32_t group = at(0) << 16 | at(1) << 8 | at(2);
        text += digits[group >> 18];
        text += digits[(group >> 12) & 63];
        text += rest > 1 ? digits[(group >> 6) & 63] : '=';
        text += rest > 2 ? digits[group & 63] : '=';
    }
    return text;
}

}  // namespace postern::session
