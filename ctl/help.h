// What posternctl says of itself, from the tables of verbs and options.
#pragma once

#include <string>

#include "ctl/verbs/verb.h"

namespace postern::ctl {

// `posternctl --help`.
std::string general_help();

// `posternctl VERB --help`.
std::string verb_help(const Verb& verb);

// What is said to those who type nothing at all.
std::string short_usage();

// One line. nullptr: of no verb.
std::string usage_line(const Verb* verb);

}  // namespace postern::ctl
