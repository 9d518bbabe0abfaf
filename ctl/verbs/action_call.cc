#include "ctl/verbs/action_call.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "base/io.h"
#include "base/limits.h"
#include "base/unique_fd.h"
#include "base/utf8.h"
#include "ctl/text/action.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/text/text.h"
#include "ctl/wire/connect.h"

namespace postern::ctl {
namespace {

constexpr std::string_view describe = "org.postern.Actions.Describe";
// The same for Describe, Check and Run: to ask again would only be a second refusal in the audit.
constexpr std::string_view not_granted = "org.postern.Actions.NotGranted";

void take_description(ActionCall& call, const protocol::Reply& reply) {
    if (is_turned_away(reply)) {
        call.refusal = reply;
        return;
    }
    call.looked_up = true;
    if (reply.error == not_granted) call.refusal = reply;
    const auto* action = field(reply.parameters, "action");
    if (!reply.error.empty() || action == nullptr) return;
    // One that can't be understood (of a newer daemon, perhaps) is as good as none.
    if (auto description = decode_action(*action)) call.description = std::move(*description);
}

// What the first word that is not NAME=VALUE was meant to be; empty: it can't be told. Waits
// hardly, and says nothing of what goes wrong: the command line is wrong in any case.
std::string meant_argument(const Target& target, const std::string& action,
                           std::span<const std::string> words) {
    constexpr std::chrono::seconds patience{2};
    const auto* const bare = find_bare_word(words);
    if (bare == nullptr || !valid_utf8(*bare) || target.datagram) return {};
    auto socket = connect_to(target.socket, patience);
    if (!socket) return {};
    Connection connection(std::move(*socket), target.socket);
    connection.queue(protocol::encode_call(describe, {{"action", action}}));
    const auto message = connection.wait(patience, -1);
    if (!message) return {};
    ActionCall call;
    take_description(call, message->reply);
    return call.description ? meant_by(*bare, words, *call.description) : "";
}

// --file NAME=PATH: the argument is what the file has, byte for byte.
Result<NamedText, Failed> argument_of_file(const std::string& word) {
    const auto sign = word.find('=');
    if (sign == std::string::npos || sign == 0) {
        complain("--file " + in_quotes(word) + ": it is written --file NAME=PATH");
        return Unexpected(Failed{exit_code::usage});
    }
    const auto path = word.substr(sign + 1);
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    auto content = file ? read_all(file.get(), limits::multiline_bytes)
                        : Result<std::string, int>(Unexpected(errno));
    if (content) return NamedText{word.substr(0, sign), std::move(*content)};
    complain("--file " + word + ": " +
             (content.error() == EFBIG ? "longer than " + std::to_string(limits::multiline_bytes) +
                                             " bytes, which is the most that an argument may have"
                                       : std::strerror(content.error())));
    return Unexpected(Failed{exit_code::invalid});
}

}  // namespace

Result<ActionCall, Failed> action_call(const Invocation& invocation) {
    ActionCall call;
    call.action = invocation.words.front();
    if (!valid_utf8(call.action)) {
        complain(in_quotes(call.action) + ": the name of an action is valid UTF-8");
        return Unexpected(Failed{exit_code::invalid});
    }
    const auto words = std::span(invocation.words).subspan(1);
    auto arguments = split_arguments(words);
    if (!arguments) {
        const auto meant = meant_argument(invocation.target, call.action, words);
        complain(arguments.error().message +
                 (meant.empty() ? "" : "; did you mean " + shell_word(meant) + "?"));
        return Unexpected(Failed{exit_code::usage});
    }
    call.arguments = std::move(*arguments);
    for (const auto& option : invocation.options) {
        if (option.name != option_file.name) continue;
        POSTERN_TRY(auto argument, argument_of_file(option.value));
        call.arguments.push_back(std::move(argument));
    }
    POSTERN_TRY(call.input, ActionInput::open(invocation));
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

Result<bool, Failed> put_input(ActionCall& call, nlohmann::json& parameters, int interrupt) {
    POSTERN_TRY(const bool wanted,
                call.input.wanted(call.description ? &*call.description : nullptr));
    if (!wanted) return true;
    return call.input.put(parameters, interrupt);
}

}  // namespace postern::ctl
