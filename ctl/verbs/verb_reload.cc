#include <nlohmann/json.hpp>

#include "base/counted.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/field_text.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

int run_reload(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.Reload", nullptr);
    if (!reply) return reply.error().code;
    const auto& bad = array_field(*reply, "bad");
    const auto& problems = array_field(*reply, "problems");
    int printed = exit_code::success;
    if (invocation.target.json) {
        printed = finish_json(*reply);
    } else {
        for (const auto& warning : array_field(*reply, "warnings")) {
            complain("warning: " + text_of(warning, "message"));
        }
        for (const auto& file : bad) complain("not loaded: " + text_of(file, "message"));
        for (const auto& problem : problems) complain(text_of(problem, "message"));
        const auto actions = static_cast<std::size_t>(number_of(*reply, "actions"));
        printed = finish(counted_is(actions, "action") + " loaded, " +
                         counted_is(bad.size(), "file") + " bad\n");
    }
    const bool all_well = bad.empty() && problems.empty();
    return printed == exit_code::success && !all_well ? 1 : printed;
}

}  // namespace

constinit const Verb verb_reload{
    .name = "reload",
    .synopsis = "",
    .summary = "for the administrator: load the action files again",
    .help =
        R"(Returns when the files are loaded. A bad file disables only its own action; each one is
named, and the exit code is 1. Also opens the audit file again if it was renamed or removed, binds
sockets whose files were removed, and creates the state directory again; whatever fails is named as
well, with what to do, and the exit code is 1. systemctl reload posternd does the same.

Examples:
  posternctl reload
)",
    .asks = Asks::administrator,
    .run = run_reload,
};

}  // namespace postern::ctl
