#include <array>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/verbs/action_call.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/peer.h"

namespace postern::ctl {
namespace {

// The parameters of the reply. What went wrong was said.
Result<nlohmann::json, Failed> check(const Target& target, ActionCall& call) {
    POSTERN_TRY(auto peer, Peer::open(target));
    if (const auto found = look_up(call, peer); !found) {
        peer.close();
        return Unexpected(report(found.error()));
    }
    if (call.refusal) {
        peer.close();
        return Unexpected(report(target, *call.refusal));
    }
    POSTERN_TRY(const auto parameters, parameters_of(call));
    return peer.ask("org.postern.Actions.Check", parameters);
}

int run_check(const Invocation& invocation) {
    auto call = action_call(invocation);
    if (!call) return call.error().code;
    const auto reply = check(invocation.target, *call);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);
    return finish(printable(call->action) + ": would run\n");
}

constexpr std::array check_options = {option_datagram, option_file};

}  // namespace

constinit const Verb verb_check{
    .name = "check",
    .synopsis = "ACTION [NAME=VALUE ...]",
    .summary = "check whether an action would run, without starting it",
    .help =
        R"(Exit code 0: it would run; 122: an argument is not valid; 123: not now, the disk is full;
126: not permitted, or no such action; 127: the program could not be started.

Examples:
  posternctl check web.restart service=nginx
)",
    .options = check_options,
    .least_words = 1,
    .most_words = any_number,
    .completes = Completes::calls,
    .run = run_check,
};

}  // namespace postern::ctl
