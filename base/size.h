// Sizes as administrators write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern {

// "64K", "32KiB", "32 KiB", "64MiB", "1G"; K, M, G, T are powers of 1024, with or without "iB". A
// plain number counts bytes. ("KB" is refused: to some it means 1000.)
Result<std::uint64_t> parse_size(std::string_view text);

// "64 KiB" where it divides, else "1000 bytes".
std::string show_size(std::uint64_t bytes);

}  // namespace postern
