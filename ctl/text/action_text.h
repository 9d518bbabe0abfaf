// An action for people.
#pragma once

#include <optional>
#include <string>

#include "model/action.h"

namespace postern::ctl {

// For people: what it is for, its arguments, an example. Ends in a newline, and is printable
// whatever the daemon sent.
std::string describe_action(const ActionDescription& action);

// A command line that runs it, with values for what must be given that the action takes. Absent:
// there is no value of which that is certain, for instance where one must match a pattern.
std::optional<std::string> example_command(const ActionDescription& action);

}  // namespace postern::ctl
