#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "ctl/verbs/attached.h"
#include "ctl/verbs/job_options.h"
#include "ctl/verbs/verbs.h"

namespace postern::ctl {
namespace {

constexpr Option option_follow{.name = "follow",
                               .letter = 'f',
                               .value = "",
                               .help = "keep printing new output until the job ends"};
constexpr Option option_stdout{.name = "stdout", .value = "", .help = "only standard output"};
constexpr Option option_stderr{
    .name = "stderr", .value = "", .help = "only standard error, to standard output"};
constexpr std::array logs_options = {option_all, option_follow, option_stdout, option_stderr,
                                     option_tail};

std::string object_to_logs(const Invocation& invocation) {
    if (invocation.given(option_stdout) && invocation.given(option_stderr)) {
        return "--stdout and --stderr contradict each other; without them both streams are printed";
    }
    return object_to_tail(invocation);
}

int run_logs(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    auto found = find_job(*connection, invocation.target, invocation.words.front());
    if (!found) return found.error().code;
    FollowWish wish{.stored = !invocation.given(option_follow), .job_code = false};
    if (invocation.given(option_stdout)) wish.to = {STDOUT_FILENO, -1};
    if (invocation.given(option_stderr)) wish.to = {-1, STDOUT_FILENO};
    nlohmann::json parameters = nlohmann::json::object();
    put_tail(parameters, invocation);
    if (wish.stored) parameters["stored"] = true;
    return Attached(invocation, std::move(*found), std::move(parameters), std::move(*connection),
                    nullptr, wish)
        .run();
}

}  // namespace

constinit const Verb verb_logs{
    .name = "logs",
    .synopsis = "JOB",
    .summary = "print the stored output of one of your jobs",
    .help =
        R"(Standard output goes to standard output and standard error to standard error. The exit code is 0
once all of it is printed, however the job ended. If the daemon no longer stores the beginning, a
message on standard error says which bytes it no longer has. Root prints that of any user's job with
--all.

Examples:
  posternctl logs 5fab0c1d2e3f405162738495a6b7c8d9
  posternctl logs -f 5fab0c1d2e3f405162738495a6b7c8d9 --tail 20
  posternctl logs 5fab0c1d2e3f405162738495a6b7c8d9 --stderr
  sudo posternctl logs --all 5fab0c1d2e3f405162738495a6b7c8d9
)",
    .options = logs_options,
    .least_words = 1,
    .most_words = 1,
    .completes = Completes::jobs,
    .asks_with = whom_jobs_ask,
    .objection = object_to_logs,
    .run = run_logs,
};

}  // namespace postern::ctl
