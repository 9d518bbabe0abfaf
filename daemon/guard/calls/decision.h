// The first steps of the choke point: may this caller do it, by this way, with these arguments.
// Each refuses the call and audits it where not, in words that tell a stranger nothing.
#pragma once

#include <optional>
#include <string>

#include "daemon/guard/calls/call_context.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"

namespace postern {

// Without an action: it is refused.
policy::Verdict decide_or_refuse(CallContext& call, const policy::Snapshot& snapshot,
                                 const std::string& action);

// Whether it may be run by the way that the call came: a packet needs the action's own word.
bool reachable_or_refuse(CallContext& call, const policy::Action& action);

// Whether it may be run though nobody waits for it, where that is what the call asks for.
bool detachable_or_refuse(CallContext& call, const policy::Action& action, bool detach);

// Absent: the arguments are not what they must be, or there is input (absent: none) which the
// action does not take, and it is refused.
std::optional<policy::Command> bind_or_refuse(CallContext& call, const policy::Action& action,
                                              const Arguments& arguments,
                                              const std::optional<std::string>& input = {});

// Whether the program can be started as it is now. For Check: a Run finds out when it starts it.
bool startable_or_refuse(CallContext& call, const policy::Action& action);

}  // namespace postern
