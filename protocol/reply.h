// The client's half of the wire: calls out, replies in. (The session's half is call.h.)
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::protocol {

// The longest reply that a client of ours takes, without its terminator. The daemon sends at most
// 1 MiB; the rest is room for other daemons of this protocol.
inline constexpr std::size_t reply_bytes = 16 * 1024 * 1024;

struct Reply {
    // An object; empty where the reply has none.
    nlohmann::json parameters;
    // More replies to the same call follow.
    bool continues = false;
    // The full name of the error, e.g. "org.postern.Actions.NotGranted"; empty: success.
    std::string error;
};

// Decodes one message, without its terminator. Keys that Varlink does not define are passed over: a
// newer daemon may send them. Errors: not JSON, not an object, a key of the wrong type.
Result<Reply> decode_reply(std::string_view message);

struct CallOptions {
    bool more = false;
    bool oneway = false;
    // '\0', or '\n' for the line form; the reply ends the same way.
    char terminator = '\0';
};

// One call, with its terminator. `parameters` is an object, or null for none. Text that is not
// valid UTF-8 is sent with replacement characters: check it before.
std::string encode_call(std::string_view method, const nlohmann::json& parameters,
                        const CallOptions& options = {});

}  // namespace postern::protocol
