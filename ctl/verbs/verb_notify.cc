// notify: one packet, and no answer.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "base/strict_json.h"
#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/output.h"
#include "ctl/verbs/action_call.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/datagram.h"
#include "ctl/wire/peer.h"
#include "protocol/call.h"

namespace postern::ctl {
namespace {

bool is_scalar(const nlohmann::json& value) {
    return value.is_string() || value.is_boolean() || value.is_number_integer();
}

// Of NAME:=JSON. The daemon would refuse anything else, and could not say so.
Result<nlohmann::json> value_of(const NamedText& argument) {
    auto value = parse_strict_json(argument.value);
    if (!value) return fail("the value is not JSON: " + value.error().message);
    if (is_scalar(*value) || (value->is_array() && std::ranges::all_of(*value, is_scalar))) {
        return std::move(*value);
    }
    return fail("the value must be text, an integer, true or false, or a list of these");
}

// Takes those that were written NAME:=JSON out of the call. Each name once. The error is one line.
Result<nlohmann::json> take_json_arguments(ActionCall& call) {
    auto typed = nlohmann::json::object();
    std::vector<NamedText> texts;
    for (auto& argument : call.arguments) {
        if (argument.name.back() != ':') {
            texts.push_back(std::move(argument));
            continue;
        }
        argument.name.pop_back();
        if (argument.name.empty() || !valid_utf8(argument.name)) {
            return fail(in_quotes(argument.name + ":=" + argument.value) +
                        ": write an argument as NAME=VALUE or NAME:=JSON");
        }
        auto value = value_of(argument);
        if (!value) return fail(printable(argument.name) + ": " + value.error().message);
        const bool first = typed.emplace(argument.name, std::move(*value)).second;
        if (!first) {
            return fail(printable(argument.name) + ": given twice; write a list as NAME:=[1,2]");
        }
    }
    for (const auto& text : texts) {
        if (typed.contains(text.name)) {
            return fail(printable(text.name) + ": given twice; write a list as NAME:=[1,2]");
        }
    }
    call.arguments = std::move(texts);
    return typed;
}

int run_notify(const Invocation& invocation) {
    auto call = action_call(invocation);
    if (!call) return call.error().code;
    const auto typed = take_json_arguments(*call);
    if (!typed) {
        complain(typed.error().message);
        return exit_code::usage;
    }
    auto parameters = parameters_of(*call);
    if (!parameters) return parameters.error().code;
    if (!typed->empty()) (*parameters)["arguments"].update(*typed);

    auto text = protocol::encode_call("org.postern.Actions.Run", *parameters);
    text.pop_back();  // a packet needs no terminator
    // The daemon's own limits for text, keys and lists, since it could not say that one is passed.
    if (text.size() <= limits::message_bytes) {
        if (const auto readable =
                parse_strict_json(text, {.long_strings = protocol::long_strings()});
            !readable) {
            complain("notify: " + readable.error().message);
            return exit_code::invalid;
        }
    }
    const auto sent = send_datagram(invocation.target.socket, text, connect_patience);
    if (!sent) return report(sent.error()).code;
    return invocation.target.json ? finish_json({{"sent", true}}) : exit_code::success;
}

}  // namespace

constinit const Verb verb_notify{
    .name = "notify",
    .synopsis = "ACTION [NAME=VALUE ...] [NAME:=JSON ...]",
    .summary = "start an action with one datagram, without waiting for it",
    .help =
        R"(For hooks, udev rules and cron: sends one datagram to the daemon's datagram socket.
There is no answer. The action must allow it ("datagram": true). The daemon's audit shows what
became of it.

The daemon can't be asked for the types of arguments, so you give them: NAME=VALUE is text,
NAME:=JSON an integer, true or false, text, or a list of these.

Exit code 0: the datagram is in the daemon's queue; 2: usage; 122: too long for one datagram;
123: the queue stayed full for 10 seconds; 125: nobody receives there, or you may not send.

The socket: --socket PATH, else $POSTERN_DATAGRAM, else /run/postern/postern.dgram; with --user
$XDG_RUNTIME_DIR/postern/postern.dgram.

Examples:
  posternctl notify backup.start
  posternctl notify disk.added device=/dev/sdb size:=512 removable:=true
  posternctl notify web.purge 'paths:=["/a", "/b"]'
)",
    .least_words = 1,
    .most_words = any_number,
    .asks = Asks::by_packets,
    .run = run_notify,
};

}  // namespace postern::ctl
