// A table of any number of columns.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace postern::ctl {

// Two spaces between the columns, each row ended by a newline. `width` in characters, 0 for no
// bound: what is too wide for it takes it from the column `elastic` first (never below 8). Where
// that is not enough the column `dispensable` is left out, and what is still too wide ends in
// "...". All rows have as many columns as the first.
std::string columns(std::vector<std::vector<std::string>> rows, std::size_t width,
                    std::size_t elastic, std::optional<std::size_t> dispensable = std::nullopt);

}  // namespace postern::ctl
