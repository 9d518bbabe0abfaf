// What somebody who mistyped a word probably meant.
#pragma once

#include <span>
#include <string_view>

namespace postern {

// The first of the words nearest to `typed`; empty where none is near: one slip is forgiven in a
// word of up to four bytes, two in a longer one. A slip is one byte too many, too few, or another,
// or two neighbours the wrong way round.
std::string_view nearest_word(std::string_view typed, std::span<const std::string_view> words);

}  // namespace postern
