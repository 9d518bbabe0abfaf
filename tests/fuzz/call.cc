// A message is a call within all limits, or an error that is fit to be shown.
#include "protocol/call.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/limits.h"
#include "base/utf8.h"
#include "tests/fuzz/property.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern;
    const std::string_view message(reinterpret_cast<const char*>(data), size);
    const auto call = protocol::decode_call(message);
    if (!call) {
        must_hold(!call.error().message.empty(), "an error says something");
        must_hold(!forbidden_character(call.error().message), "an error is printable");
        return 0;
    }
    must_hold(size <= limits::message_bytes, "no call over the maximum");
    must_hold(call->parameters.is_object(), "parameters are an object");
    must_hold(valid_utf8(message), "no call out of invalid UTF-8");
    // What is said again is understood in the same way.
    nlohmann::json again = {{"method", call->method}, {"parameters", call->parameters}};
    const auto text = again.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (text.size() > limits::message_bytes) return 0;
    const auto second = protocol::decode_call(text);
    must_hold(second && second->method == call->method && second->parameters == call->parameters,
              "said again it is the same call");
    return 0;
}
