// The daemon's half of the wire: calls in, replies out. (The client's half is reply.h.)
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern {
struct LongString;
}  // namespace postern

namespace postern::protocol {

// The errors that a call can end with, by their full names.
namespace errors {
inline constexpr std::string_view interface_not_found = "org.varlink.service.InterfaceNotFound";
inline constexpr std::string_view method_not_found = "org.varlink.service.MethodNotFound";
inline constexpr std::string_view invalid_parameter = "org.varlink.service.InvalidParameter";
inline constexpr std::string_view permission_denied = "org.varlink.service.PermissionDenied";
inline constexpr std::string_view not_granted = "org.postern.Actions.NotGranted";
inline constexpr std::string_view invalid_argument = "org.postern.Actions.InvalidArgument";
inline constexpr std::string_view limit_reached = "org.postern.Actions.LimitReached";
inline constexpr std::string_view unavailable = "org.postern.Actions.Unavailable";
inline constexpr std::string_view start_failed = "org.postern.Actions.StartFailed";
inline constexpr std::string_view no_such_job = "org.postern.Jobs.NoSuchJob";
inline constexpr std::string_view job_ended = "org.postern.Jobs.JobEnded";
inline constexpr std::string_view invalid_signal = "org.postern.Jobs.InvalidSignal";
inline constexpr std::string_view ambiguous_job = "org.postern.Jobs.AmbiguousJob";
inline constexpr std::string_view key_in_use = "org.postern.Actions.KeyInUse";
inline constexpr std::string_view not_by_datagram = "org.postern.Actions.NotByDatagram";
inline constexpr std::string_view not_detachable = "org.postern.Actions.NotDetachable";
inline constexpr std::string_view invalid_message = "org.postern.Actions.InvalidMessage";
}  // namespace errors

struct Call {
    std::string method;
    nlohmann::json parameters;  // always an object
    bool more = false;
    bool oneway = false;
    bool upgrade = false;
};

// The strings of a call that may be longer than others: its input, and texts among its arguments.
std::span<const LongString> long_strings();

// Decodes one message, without its terminator, strictly: valid JSON within the limits, only the
// keys that Varlink defines, each of its type. The error says what is wrong and names the key.
Result<Call> decode_call(std::string_view message);

// One reply, with its terminator. `parameters` is an object. Bytes that are not valid UTF-8 become
// replacement characters.
std::string encode_reply(const nlohmann::json& parameters, bool continues, char terminator);
std::string encode_error(std::string_view error, const nlohmann::json& parameters, char terminator);

}  // namespace postern::protocol
