#include <nlohmann/json.hpp>

#include "ctl/action.h"
#include "ctl/exchange.h"
#include "ctl/json_fields.h"

namespace postern::ctl {

int run_describe(const Invocation& invocation) {
    auto connection = open_connection(invocation);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation, "org.postern.Actions.Describe",
                           {{"action", invocation.words.front()}});
    if (!reply) return reply.error().code;
    if (invocation.json) return finish_json(*reply);

    const auto* action = field(*reply, "action");
    if (action == nullptr) return nonsense(*connection, "no action in it").code;
    const auto description = decode_action(*action);
    if (!description) return nonsense(*connection, description.error().message).code;
    return finish(describe_action(*description));
}

}  // namespace postern::ctl
