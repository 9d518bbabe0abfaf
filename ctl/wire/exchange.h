// What the verbs share: connect, ask, and say what went wrong.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "ctl/wire/connection.h"
#include "ctl/wire/target.h"

namespace postern::ctl {

// For a place in the daemon's queue.
inline constexpr std::chrono::seconds connect_patience{10};
// For the answer to a call that the daemon answers at once: it may have to be started for it.
inline constexpr std::chrono::seconds answer_patience{30};

// The exit code of a verb that has said already what went wrong.
struct Failed {
    int code;
};

Result<Connection, Failed> open_connection(const Target& target);

// One call, one reply, which may be an error. Where the connection ends without one it is made
// again, once: nothing is asked so that may not be asked twice. `call`: with its terminator.
Result<Message, NoReply> ask_twice(Connection& connection, const Target& target,
                                   const std::string& call);

// The same for those who want nothing but success: the reply's parameters. What went wrong was
// said.
Result<nlohmann::json, Failed> ask(Connection& connection, const Target& target,
                                   std::string_view method, const nlohmann::json& parameters);

// Says why there is no reply. For every reason but `interrupted`.
Failed report(const NoReply& none);

// Says that the daemon answered with an error: as JSON on standard output, or in words.
Failed report(const Target& target, const protocol::Reply& error);

// Whether a limit of connections or sessions was reached: the reply is to the connection and not to
// a call, and the connection is over.
bool is_turned_away(const protocol::Reply& reply);

// Whether a call with direct data was refused because this connection can't carry it, and a new one
// can: the action's file changed after this one was made. The call has not begun.
bool needs_new_connection(const protocol::Reply& reply);

// The error in words: one line, or one for each wrong argument.
std::string error_text(const protocol::Reply& error, const Target& target);

// Prints text, or JSON and a newline, and returns the exit code.
int finish(std::string_view text);
int finish_json(const nlohmann::json& value);

// For replies that are not what the interface promises.
Failed nonsense(const Connection& connection, std::string_view what);
// The same, by the socket's path.
Failed nonsense(std::string_view path, std::string_view what);

}  // namespace postern::ctl
