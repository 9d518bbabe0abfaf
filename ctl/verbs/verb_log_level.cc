#include <nlohmann/json.hpp>

#include "ctl/text/exit_codes.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

int run_log_level(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.SetLogLevel",
                           {{"level", invocation.words.front()}});
    if (!reply) return reply.error().code;
    return invocation.target.json ? finish_json(*reply) : exit_code::success;
}

}  // namespace

constinit const Verb verb_log_level{
    .name = "log-level",
    .synopsis = "LEVEL",
    .summary = "for the administrator: change what the daemon logs",
    .help =
        R"(LEVEL is debug, info, warning, error or critical. It counts until the daemon ends.

Examples:
  posternctl log-level debug
)",
    .least_words = 1,
    .most_words = 1,
    .asks = Asks::administrator,
    .run = run_log_level,
};

}  // namespace postern::ctl
