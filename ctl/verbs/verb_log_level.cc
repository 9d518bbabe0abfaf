#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

constexpr std::array<std::string_view, 5> log_levels = {"debug", "info", "warning", "error",
                                                        "critical"};

std::string object_to_level(const Invocation& invocation) {
    if (invocation.words.empty()) return {};
    const std::string& level = invocation.words.front();
    if (std::ranges::find(log_levels, level) != log_levels.end()) return {};
    return "log-level: " + in_quotes(level) +
           " is not a log level; give debug, info, warning, error or critical";
}

int show_log_level(Connection& connection, const Invocation& invocation) {
    const auto reply = ask(connection, invocation.target, "org.postern.Admin.Status", nullptr);
    if (!reply) return reply.error().code;
    const auto level = string_field(*reply, "logLevel");
    if (!level) return nonsense(connection, "it names no log level").code;
    if (invocation.target.json) return finish_json({{"logLevel", *level}});
    return finish(printable(*level) + "\n");
}

int run_log_level(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    if (invocation.words.empty()) return show_log_level(*connection, invocation);
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.SetLogLevel",
                           {{"level", invocation.words.front()}});
    if (!reply) return reply.error().code;
    return invocation.target.json ? finish_json(*reply) : exit_code::success;
}

}  // namespace

constinit const Verb verb_log_level{
    .name = "log-level",
    .synopsis = "[LEVEL]",
    .summary = "for the administrator: show or change what the daemon logs",
    .help =
        R"(LEVEL is debug, info, warning, error or critical. It holds until the daemon exits, and the audit
says who set it. Without LEVEL the current one is printed.

Examples:
  posternctl log-level
  posternctl log-level debug
)",
    .most_words = 1,
    .completes = Completes::listed,
    .listed = log_levels,
    .asks = Asks::administrator,
    .objection = object_to_level,
    .run = run_log_level,
};

}  // namespace postern::ctl
