// The options of all verbs, seen together.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ctl/verbs/option.h"

namespace postern::ctl {

// Those in the tables of verbs, each once.
std::vector<Option> own_options();

// The verbs that take such an option: "run, describe and check".
std::string verbs_with(std::string_view own_option);

}  // namespace postern::ctl
