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

// Splits at the first "=".
Result<std::vector<NamedText>> split_arguments(std::span<const std::string> words);
// The first word that is not NAME=VALUE; nullptr: there is none. split_arguments() fails with it.
const std::string* find_bare_word(std::span<const std::string> words);

// NAME=VALUE for a word that is only a value, where there is just one argument that it could be: it
// was not given otherwise, and the value is of its type and one of its values. Empty: none or
// several.
std::string meant_by(const std::string& word, std::span<const std::string> words,
                     const ActionDescription& action);

// One member for each name. The action's description (nullptr: not known) says what a value is to
// become; one that can't become that is left a string, so that the daemon's own message tells what
// is wrong with it. A name that stands several times makes a list.
// The error: a name or value that is not UTF-8, which JSON can't carry.
Result<nlohmann::json> typed_arguments(std::span<const NamedText> arguments,
                                       const ActionDescription* action);

}  // namespace postern::ctl
