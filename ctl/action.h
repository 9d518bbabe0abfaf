// What Describe says of an action, as posternctl needs it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "daemon/channel/types.h"

namespace postern::ctl {

// The wire's type Action. Fields and values that this version does not know are passed over. The
// error says which field is not what the interface promises.
Result<ActionDescription> decode_action(const nlohmann::json& action);

// For people: what it is for, its arguments, an example. Ends in a newline, and is printable
// whatever the daemon sent.
std::string describe_action(const ActionDescription& action);

// A command line that runs it, with sample values for what must be given.
std::string example_command(const ActionDescription& action);

}  // namespace postern::ctl
