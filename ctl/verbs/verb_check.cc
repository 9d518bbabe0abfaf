#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/verbs/action_call.h"
#include "ctl/wire/peer.h"

namespace postern::ctl {
namespace {

// The parameters of the reply. What went wrong was said.
Result<nlohmann::json, Failed> check(const Invocation& invocation, ActionCall& call) {
    auto peer = Peer::open(invocation.target);
    if (!peer) return fail_with(peer.error());
    if (const auto found = look_up(call, *peer); !found) {
        peer->close();
        return fail_with(report(found.error()));
    }
    const auto parameters = parameters_of(call);
    if (!parameters) return fail_with(parameters.error());
    return peer->ask("org.postern.Actions.Check", *parameters);
}

}  // namespace

int run_check(const Invocation& invocation) {
    auto call = action_call(invocation);
    if (!call) return call.error().code;
    const auto reply = check(invocation, *call);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);
    return finish(printable(call->action) + ": would run\n");
}

}  // namespace postern::ctl
