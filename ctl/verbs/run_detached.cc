#include "ctl/verbs/run_detached.h"

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/verbs/action_call.h"
#include "ctl/wire/peer.h"
#include "host/random_id.h"

namespace postern::ctl {
namespace {

bool goes_straight(const ActionCall& call) {
    return call.description && call.description->input == Input::direct;
}

// The parameters of the reply that names the job. What went wrong was said.
Result<nlohmann::json, Failed> start(const Target& target, ActionCall& call) {
    const auto name = printable(call.action);
    POSTERN_TRY(auto peer, Peer::open(target));
    if (const auto found = look_up(call, peer); !found) {
        peer.close();
        auto none = found.error();
        none.sent = false;  // not the one that counts
        return Unexpected(report(none, name + " was not started"));
    }
    if (call.refusal) {
        peer.close();
        return Unexpected(report(target, *call.refusal));
    }
    POSTERN_TRY(auto parameters, parameters_of(call));
    if (!target.datagram) {
        parameters["detach"] = true;
        // An answer that is lost is asked for a second time.
        if (auto key = random_id()) parameters["key"] = std::move(*key);
    }
    // What would go straight is not read: the daemon refuses to detach it, and says why.
    if (target.datagram || !goes_straight(call)) {
        POSTERN_TRY(const auto there, put_input(call, parameters, -1));
        if (!there) return Unexpected(Failed{exit_code::interrupted});
    }
    auto message = peer.call("org.postern.Actions.Run", parameters);
    peer.close();
    if (!message) {
        const bool sent = message.error().sent;
        return Unexpected(
            report(message.error(), sent ? "whether " + name + " was started is not known"
                                         : name + " was not started"));
    }
    if (!message->reply.error.empty()) return Unexpected(report(target, message->reply));
    return std::move(message->reply.parameters);
}

}  // namespace

int run_detached(const Invocation& invocation) {
    auto call = action_call(invocation);
    if (!call) return call.error().code;
    const auto reply = start(invocation.target, *call);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);
    const auto job = string_field(*reply, "job");
    if (!job) return nonsense(invocation.target.socket, "it names no job").code;
    return finish(printable(*job) + "\n");
}

}  // namespace postern::ctl
