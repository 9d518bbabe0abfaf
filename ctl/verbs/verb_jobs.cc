#include <array>
#include <nlohmann/json.hpp>

#include "ctl/text/field_text.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/text/text.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

constexpr Option option_all{.name = "all", .value = "", .help = "those of all users"};
constexpr std::array jobs_options = {option_all};

std::string object_to_jobs(const Invocation& invocation) {
    return invocation.given(option_all) ? "" : "jobs: --all is required: the jobs of all users";
}

int run_jobs(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.Jobs", nullptr);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto& job : array_field(*reply, "jobs")) {
        rows.emplace_back(text_of(job, "job"), text_of(job, "action") + ", for " +
                                                   time_since(number_of(job, "createdAt")) +
                                                   ", by " + user_of(job) + " pid " +
                                                   std::to_string(number_of(job, "pid")));
    }
    if (rows.empty()) complain("no job runs");
    return finish(two_columns(rows, 0));
}

}  // namespace

constinit const Verb verb_jobs{
    .name = "jobs",
    .synopsis = "--all",
    .summary = "for the administrator: list the jobs of all users that run",
    .help =
        R"(Examples:
  posternctl jobs --all
  posternctl jobs --all --json
)",
    .options = jobs_options,
    .asks = Asks::administrator,
    .objection = object_to_jobs,
    .run = run_jobs,
};

}  // namespace postern::ctl
