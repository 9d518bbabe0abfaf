#include "protocol/call.h"

#include <array>
#include <utility>

#include "base/strict_json.h"
#include "base/utf8.h"

namespace postern::protocol {

using nlohmann::json;

namespace {

std::string encode(const json& message, char terminator) {
    std::string text = message.dump(-1, ' ', false, json::error_handler_t::replace);
    text += terminator;
    return text;
}

// What carries whole texts. Which arguments may ("multiline"), the guard knows, when it has decided
// whether the action is granted at all.
constexpr std::array<std::string_view, 2> input_path = {"parameters", "input"};
constexpr std::array<std::string_view, 2> input_base64_path = {"parameters", "inputBase64"};
constexpr std::array<std::string_view, 3> argument_path = {"parameters", "arguments", "*"};
constexpr std::array long_string_places = {
    LongString{input_path, limits::input_bytes},
    LongString{input_base64_path, (limits::input_bytes + 2) / 3 * 4},
    LongString{argument_path, limits::multiline_bytes},
};

}  // namespace

std::span<const LongString> long_strings() {
    return long_string_places;
}

Result<Call> decode_call(std::string_view message) {
    auto parsed = parse_strict_json(message, {.long_strings = long_strings()});
    if (!parsed) return fail(std::move(parsed).error().message);
    if (!parsed->is_object()) {
        return fail(
            R"(a message must be a JSON object such as {"method": "org.postern.Actions.List"})");
    }
    Call call;
    call.parameters = json::object();
    bool has_method = false;
    for (auto& [key, value] : parsed->items()) {
        bool* flag = nullptr;
        if (key == "method") {
            if (!value.is_string()) return fail("method: must be a string");
            call.method = value.get_ref<const std::string&>();
            has_method = true;
        } else if (key == "parameters") {
            // Clients that have none send null, or leave the key out.
            if (value.is_null()) continue;
            if (!value.is_object()) return fail("parameters: must be an object");
            call.parameters = std::move(value);
            continue;
        } else if (key == "more") {
            flag = &call.more;
        } else if (key == "oneway") {
            flag = &call.oneway;
        } else if (key == "upgrade") {
            flag = &call.upgrade;
        } else {
            return fail(
                in_quotes(key) +
                ": no such key in a call; there are method, parameters, more, oneway, upgrade");
        }
        if (flag != nullptr) {
            if (!value.is_boolean()) return fail(key + ": must be true or false");
            *flag = value.get<bool>();
        }
    }
    if (!has_method) return fail("method: is required");
    if (call.more && call.oneway) {
        return fail("oneway: excludes more, because a one-way call has no reply");
    }
    return call;
}

std::string encode_reply(const json& parameters, bool continues, char terminator) {
    // `continues` only where it is true: it may not stand in the reply to a call without "more",
    // and clients drop the connection at any key that they do not expect.
    json reply = json::object();
    if (continues) reply["continues"] = true;
    reply["parameters"] = parameters;
    return encode(reply, terminator);
}

std::string encode_error(std::string_view error, const json& parameters, char terminator) {
    json reply = json::object();
    reply["error"] = error;
    reply["parameters"] = parameters;
    return encode(reply, terminator);
}

}  // namespace postern::protocol
