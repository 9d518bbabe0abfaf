#include "protocol/reply.h"

#include <utility>

namespace postern::protocol {

using nlohmann::json;

Result<Reply> decode_reply(std::string_view message) {
    json parsed = json::parse(message, nullptr, false);
    if (parsed.is_discarded()) return fail("the reply is not JSON");
    if (!parsed.is_object()) return fail("the reply is not a JSON object");
    Reply reply;
    reply.parameters = json::object();
    if (const auto it = parsed.find("parameters"); it != parsed.end() && !it->is_null()) {
        if (!it->is_object()) return fail("the reply's \"parameters\" is not an object");
        reply.parameters = std::move(*it);
    }
    if (const auto it = parsed.find("continues"); it != parsed.end() && !it->is_null()) {
        if (!it->is_boolean()) return fail("the reply's \"continues\" is neither true nor false");
        reply.continues = it->get<bool>();
    }
    if (const auto it = parsed.find("error"); it != parsed.end() && !it->is_null()) {
        if (!it->is_string()) return fail("the reply's \"error\" is not a string");
        reply.error = it->get<std::string>();
        if (reply.error.empty()) return fail("the reply's \"error\" is empty");
    }
    return reply;
}

std::string encode_call(std::string_view method, const json& parameters,
                        const CallOptions& options) {
    json call = json::object();
    call["method"] = method;
    if (!parameters.is_null()) call["parameters"] = parameters;
    if (options.more) call["more"] = true;
    if (options.oneway) call["oneway"] = true;
    std::string text = call.dump(-1, ' ', false, json::error_handler_t::replace);
    text += options.terminator;
    return text;
}

}  // namespace postern::protocol
