#include <nlohmann/json.hpp>

#include "base/strict_json.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/verbs/call_lines.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

// The parameters on the command line. The error was said.
Result<nlohmann::json, Failed> parameters_in(const Invocation& invocation) {
    if (invocation.words.size() < 2) return nlohmann::json(nullptr);
    auto parameters = parse_strict_json(invocation.words[1]);
    if (!parameters) {
        complain("call: the parameters are not JSON: " + parameters.error().message);
        return fail_with(Failed{exit_code::usage});
    }
    if (!parameters->is_object()) {
        complain(R"(call: the parameters are a JSON object, e.g. '{"ping": "hello"}')");
        return fail_with(Failed{exit_code::usage});
    }
    return std::move(*parameters);
}

}  // namespace

int run_call(const Invocation& invocation) {
    if (invocation.lines) return call_lines(invocation);
    const auto& method = invocation.words.front();
    auto parameters = parameters_in(invocation);
    if (!parameters) return parameters.error().code;
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    connection->queue(protocol::encode_call(method, *parameters, {.more = invocation.more}));
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

}  // namespace postern::ctl
