#include <nlohmann/json.hpp>

#include "ctl/text/action.h"
#include "ctl/text/action_text.h"
#include "ctl/text/json_fields.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/peer.h"

namespace postern::ctl {
namespace {

int run_describe(const Invocation& invocation) {
    const auto reply = ask_once(invocation.target, "org.postern.Actions.Describe",
                                {{"action", invocation.words.front()}});
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);

    const auto* action = field(*reply, "action");
    if (action == nullptr) return nonsense(invocation.target.socket, "it contains no action").code;
    const auto description = decode_action(*action);
    if (!description) return nonsense(invocation.target.socket, description.error().message).code;
    return finish(describe_action(*description));
}

}  // namespace

constinit const Verb verb_describe{
    .name = "describe",
    .synopsis = "ACTION",
    .summary = "show what an action does and which arguments it takes",
    .help =
        R"(Examples:
  posternctl describe web.restart
  posternctl describe web.restart --json
)",
    .options = datagram_options,
    .least_words = 1,
    .most_words = 1,
    .run = run_describe,
};

}  // namespace postern::ctl
