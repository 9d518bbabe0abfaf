#include "base/utf8.h"
#include "ctl/action_call.h"
#include "ctl/exchange.h"

namespace postern::ctl {

int run_check(const Invocation& invocation) {
    auto call = action_call(invocation);
    if (!call) return call.error().code;
    auto connection = open_connection(invocation);
    if (!connection) return connection.error().code;
    if (const auto found = look_up(*call, *connection, -1); !found) {
        return report(found.error()).code;
    }
    const auto parameters = parameters_of(*call);
    if (!parameters) return parameters.error().code;
    const auto reply = ask(*connection, invocation, "org.postern.Actions.Check", *parameters);
    if (!reply) return reply.error().code;
    if (invocation.json) return finish_json(*reply);
    return finish(printable(call->action) + ": would run\n");
}

}  // namespace postern::ctl
