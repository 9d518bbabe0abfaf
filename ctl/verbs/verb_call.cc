#include <array>
#include <nlohmann/json.hpp>

#include "base/strict_json.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/verbs/call_lines.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

constexpr Option option_more{.name = "more",
                             .value = "",
                             .help = "ask for all replies of a method that gives more than one"};
constexpr Option option_lines{
    .name = "lines", .value = "", .help = "read calls from standard input"};
constexpr std::array call_options = {option_more, option_lines};

std::string object_to_call(const Invocation& invocation) {
    const bool beside = !invocation.words.empty() || invocation.given(option_more);
    if (invocation.given(option_lines)) {
        return beside ? "--lines reads whole calls from standard input; give no METHOD, JSON or "
                        "--more with it"
                      : "";
    }
    return invocation.words.empty() ? "call: METHOD is required" : "";
}

// The parameters on the command line. The error was said.
Result<nlohmann::json, Failed> parameters_in(const Invocation& invocation) {
    if (invocation.words.size() < 2) return nlohmann::json(nullptr);
    auto parameters = parse_strict_json(invocation.words[1]);
    if (!parameters) {
        complain("call: the parameters are not JSON: " + parameters.error().message);
        return Unexpected(Failed{exit_code::usage});
    }
    if (!parameters->is_object()) {
        complain(R"(call: the parameters must be a JSON object, e.g. '{"ping": "hello"}')");
        return Unexpected(Failed{exit_code::usage});
    }
    return std::move(*parameters);
}

int run_call(const Invocation& invocation) {
    if (invocation.given(option_lines)) return call_lines(invocation);
    const auto& method = invocation.words.front();
    auto parameters = parameters_in(invocation);
    if (!parameters) return parameters.error().code;
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    connection->queue(
        protocol::encode_call(method, *parameters, {.more = invocation.given(option_more)}));
    for (;;) {
        // How long a method may take is its own affair.
        const auto message = connection->wait(std::chrono::milliseconds::zero(), -1);
        if (!message) return report(message.error()).code;
        const int printed = finish(safe_json_text(message->text) + "\n");
        if (printed != exit_code::success) return printed;
        if (!message->reply.error.empty()) return exit_code_of_error(message->reply.error);
        if (!message->reply.continues) return exit_code::success;
    }
}

}  // namespace

constinit const Verb verb_call{
    .name = "call",
    .synopsis = "METHOD [JSON] [--more] | --lines",
    .summary = "call a method of the protocol, JSON in and out",
    .help =
        R"(Replies are printed as they arrive, one per line. JSON is an object with the method's
parameters. With --lines, each line of standard input is one whole call, e.g.
  {"method": "org.postern.Actions.List"}
All calls use one connection, and some are sent before earlier ones are answered; the exit code is
that of the first answer that is an error. This is also the way to pass a secret, because others
can read the command line of a program.

Examples:
  posternctl call org.postern.Actions.WhoAmI
  posternctl call org.postern.Actions.Ping '{"ping": "hello"}'
  posternctl call --more org.postern.Actions.Run '{"action": "hello", "arguments": {"name": "Ada"}}'
  posternctl call --lines < calls
)",
    .options = call_options,
    .most_words = 2,
    .objection = object_to_call,
    .run = run_call,
};

}  // namespace postern::ctl
