// Random bytes and ids that nobody can guess.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace postern {

// At most 256 bytes. Waits until the kernel's pool is ready (getrandom(2)), which it is once the
// machine has booted.
Status fill_with_random(std::span<std::uint8_t> bytes);

// 128 bits as that many lowercase hexadecimal digits.
inline constexpr std::size_t random_id_length = 32;
Result<std::string> random_id();

}  // namespace postern
