// Words and tables for people.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::ctl {

// "30s", "5min", "1h 30min".
std::string duration_text(long seconds);

// Two columns, two spaces apart, each row ended by a newline. `width` in characters, 0 for no
// bound: what is too long for it ends in "...".
std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows,
                        std::size_t width);

// Characters (code points) of valid UTF-8.
std::size_t characters(std::string_view text);

// The first `count` characters; one that ends in "..." where that is less than all of them.
std::string shortened(std::string_view text, std::size_t count);

// As one word of a POSIX shell: as it is where that is safe, else in single quotes.
std::string shell_word(std::string_view text);

}  // namespace postern::ctl
