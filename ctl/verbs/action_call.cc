#include "ctl/verbs/action_call.h"

#include <nlohmann/json.hpp>
#include <span>

#include "base/limits.h"
#include "base/utf8.h"
#include "ctl/text/action.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"

namespace postern::ctl {
namespace {

constexpr std::string_view describe = "org.postern.Actions.Describe";

void take_description(ActionCall& call, const protocol::Reply& reply) {
    call.looked_up = true;
    const auto* action = field(reply.parameters, "action");
    if (!reply.error.empty() || action == nullptr) return;
    // One that can't be understood (of a newer daemon, perhaps) is as good as none.
    if (auto description = decode_action(*action)) call.description = std::move(*description);
}

}  // namespace

Result<ActionCall, Failed> action_call(const Invocation& invocation) {
    ActionCall call;
    call.action = invocation.words.front();
    if (!valid_utf8(call.action)) {
        complain(in_quotes(call.action) + ": the name of an action is valid UTF-8");
        return Unexpected(Failed{exit_code::invalid});
    }
    auto arguments = split_arguments(std::span(invocation.words).subspan(1));
    if (!arguments) {
        complain(arguments.error().message);
        return Unexpected(Failed{exit_code::usage});
    }
    call.arguments = std::move(*arguments);
    return call;
}

Result<void, NoReply> look_up(ActionCall& call, Connection& connection, int interrupt) {
    connection.queue(protocol::encode_call(describe, {{"action", call.action}}));
    POSTERN_TRY(const auto message, connection.wait(answer_patience, interrupt));
    take_description(call, message.reply);
    return {};
}

Result<void, NoAnswer> look_up(ActionCall& call, Peer& peer) {
    POSTERN_TRY(const auto message, peer.call(describe, {{"action", call.action}}));
    take_description(call, message.reply);
    return {};
}

Result<nlohmann::json, Failed> parameters_of(const ActionCall& call) {
    auto arguments =
        typed_arguments(call.arguments, call.description ? &*call.description : nullptr);
    if (!arguments) {
        complain(arguments.error().message);
        return Unexpected(Failed{exit_code::invalid});
    }
    nlohmann::json parameters = {{"action", call.action}};
    if (!arguments->empty()) parameters["arguments"] = std::move(*arguments);
    return parameters;
}

}  // namespace postern::ctl
