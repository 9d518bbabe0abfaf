#include "host/random_id.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace postern {

Status fill_with_random(std::span<std::uint8_t> bytes) {
    ssize_t got = 0;
    while ((got = getrandom(bytes.data(), bytes.size(), 0)) < 0 && errno == EINTR) {
    }
    // Never short, up to 256 bytes.
    if (got != static_cast<ssize_t>(bytes.size())) {
        return fail(std::string("getrandom: ") + std::strerror(errno));
    }
    return {};
}

Result<std::string> random_id() {
    std::array<std::uint8_t, random_id_length / 2> random{};
    POSTERN_TRY(fill_with_random(random));
    constexpr std::string_view digits = "0123456789abcdef";
    std::string id;
    for (const std::uint8_t byte : random) {
        id.push_back(digits[byte >> 4]);
        id.push_back(digits[byte & 0xf]);
    }
    return id;
}

}  // namespace postern
