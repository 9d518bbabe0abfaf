#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/text/text.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

int run_list(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Actions.List", nullptr);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);

    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto& action : array_field(*reply, "actions")) {
        rows.emplace_back(printable(string_field(action, "name").value_or("?")),
                          printable(string_field(action, "summary").value_or("")));
    }
    if (rows.empty()) complain("you may not run any action (see: posternctl whoami)");
    return finish(two_columns(rows, terminal_width()));
}

}  // namespace

constinit const Verb verb_list{
    .name = "list",
    .synopsis = "",
    .summary = "list the actions that you may run",
    .help =
        R"(Actions that you may not run are not listed.

Examples:
  posternctl list
  posternctl list --json
)",
    .run = run_list,
};

}  // namespace postern::ctl
