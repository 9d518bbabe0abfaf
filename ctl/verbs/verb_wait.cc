#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "ctl/text/exit_codes.h"
#include "ctl/verbs/attached.h"
#include "ctl/verbs/job_options.h"
#include "ctl/verbs/verbs.h"

namespace postern::ctl {
namespace {

constexpr std::array wait_options = {option_all};

int run_wait(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    // All of them first: one that does not exist is told before the others have ended.
    std::vector<FoundJob> jobs;
    for (const auto& job : invocation.words) {
        auto found = find_job(*connection, invocation.target, job);
        if (!found) return found.error().code;
        jobs.push_back(std::move(*found));
    }
    int code = exit_code::success;
    for (auto& job : jobs) {
        auto own = open_connection(invocation.target);
        if (!own) return own.error().code;
        code = Attached(invocation, std::move(job), {{"output", false}}, std::move(*own), nullptr,
                        {.output = false})
                   .run();
    }
    return code;
}

}  // namespace

constinit const Verb verb_wait{
    .name = "wait",
    .synopsis = "JOB ...",
    .summary = "wait until your jobs have ended",
    .help =
        R"(Their output is not printed. The exit code is that of the job that is named last, as run would
have it. With --json each job is one line, with its result. Root waits for jobs of any user with
--all.

Examples:
  posternctl wait 5fab0c1d2e3f405162738495a6b7c8d9
  job=$(posternctl run --detach backup.start) && posternctl wait "$job"
)",
    .options = wait_options,
    .least_words = 1,
    .most_words = any_number,
    .completes = Completes::jobs,
    .asks_with = whom_jobs_ask,
    .run = run_wait,
};

}  // namespace postern::ctl
