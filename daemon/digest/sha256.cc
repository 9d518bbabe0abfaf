#include "daemon/digest/sha256.h"

#include <nettle/sha2.h>
#include <nettle/version.h>

#include <array>
#include <cstdint>

namespace postern {

std::string sha256(std::string_view text) {
    std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
    sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, text.size(), reinterpret_cast<const std::uint8_t*>(text.data()));
#if NETTLE_VERSION_MAJOR >= 4  // which always writes all of it
    sha256_digest(&context, digest.data());
#else
    sha256_digest(&context, digest.size(), digest.data());
#endif
    constexpr std::string_view digits = "0123456789abcdef";
    std::string hexadecimal;
    for (const std::uint8_t byte : digest) {
        hexadecimal += digits[byte >> 4U];
        hexadecimal += digits[byte & 0xfU];
    }
    return hexadecimal;
}

}  // namespace postern
