// NAME=VALUE words as the typed values that the protocol wants.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/action.h"

namespace postern::ctl {

struct NamedText {
    std::string name;
    std::string value;
};

// Splits at the first "=". The error names the word that is not NAME=VALUE.
Result<std::vector<NamedText>> split_arguments(std::span<const std::string> words);

// One member for each name. The action's description (nullptr: not known) says what a value is to
// become; one that can't become that is left a string, so that the daemon's own message tells what
// is wrong with it. A name that stands several times makes a list.
// The error: a name or value that is not UTF-8, which JSON can't carry.
Result<nlohmann::json> typed_arguments(std::span<const NamedText> arguments,
                                       const ActionDescription* action);

}  // namespace postern::ctl
