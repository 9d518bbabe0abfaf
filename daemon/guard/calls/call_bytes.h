// A call of Run as bytes that no other call has, for the digest by which a key given again knows
// its call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/argument.h"

namespace postern {

// Of the action's name and the arguments as they were given, in whatever order. Each text stands
// behind its length, each value behind its kind; the input comes last, where there is any. Holds
// the secret ones: not to be kept.
std::vector<std::uint8_t> call_bytes(std::string_view action, const Arguments& arguments,
                                     const std::optional<std::string>& input);

}  // namespace postern
