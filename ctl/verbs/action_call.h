// What `run` and `check` share: an action and its arguments, typed as the action wants them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ctl/text/argument_values.h"
#include "ctl/verbs/action_input.h"
#include "ctl/verbs/invocation.h"
#include "ctl/wire/exchange.h"
#include "ctl/wire/peer.h"
#include "model/action.h"

namespace postern::ctl {

struct ActionCall {
    std::string action;
    std::vector<NamedText> arguments;
    // Nothing: Describe failed. The call is made all the same, with plain strings: what it is
    // answered, and what the administrator finds in the audit, is then the daemon's own reason.
    std::optional<ActionDescription> description;
    bool looked_up = false;  // the daemon was asked for it
    // Describe was denied, and so would be the call; or a limit turned the connection away. The
    // call is not to be made.
    std::optional<protocol::Reply> refusal;
    ActionInput input;
};

// From ACTION and NAME=VALUE ..., and the options of action_input.h. The error was said.
Result<ActionCall, Failed> action_call(const Invocation& invocation);

// Asks the daemon what the action's arguments must be. `interrupt`: a descriptor, or -1.
Result<void, NoReply> look_up(ActionCall& call, Connection& connection, int interrupt);
Result<void, NoAnswer> look_up(ActionCall& call, Peer& peer);

// The parameters of Run and Check, without input. The error was said.
Result<nlohmann::json, Failed> parameters_of(const ActionCall& call);

// Adds what it gets for standard input to the parameters of Run, where it gets any. As
// ActionInput::put().
Result<bool, Failed> put_input(ActionCall& call, nlohmann::json& parameters, int interrupt);

}  // namespace postern::ctl
