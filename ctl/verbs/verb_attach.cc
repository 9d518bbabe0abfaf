#include <array>
#include <nlohmann/json.hpp>

#include "ctl/text/exit_codes.h"
#include "ctl/text/output.h"
#include "ctl/verbs/attached.h"
#include "ctl/verbs/job_options.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/interrupt.h"

namespace postern::ctl {
namespace {

constexpr Option option_from_now{
    .name = "from-now", .value = "", .help = "start with what the job writes from now on"};
constexpr std::array attach_options = {option_all, option_tail, option_from_now};

std::string object_to_attach(const Invocation& invocation) {
    if (invocation.given(option_tail) && invocation.given(option_from_now)) {
        return "--tail and --from-now contradict each other";
    }
    return object_to_tail(invocation);
}

int run_attach(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    auto found = find_job(*connection, invocation.target, invocation.words.front());
    if (!found) return found.error().code;
    nlohmann::json parameters = nlohmann::json::object();
    put_tail(parameters, invocation);
    if (invocation.given(option_from_now)) parameters["fromNow"] = true;
    // Until here Ctrl-C has its plain effect: there is nothing to tell.
    const auto interrupt = Interrupt::watch();
    if (!interrupt) {
        complain(interrupt.error().message);
        return exit_code::broken;
    }
    Attached attached(invocation, std::move(*found), std::move(parameters), std::move(*connection),
                      &*interrupt, {.notice = true});
    const auto described = attached.describe();
    return described ? attached.run() : described.error().code;
}

}  // namespace

constinit const Verb verb_attach{
    .name = "attach",
    .synopsis = "JOB",
    .summary = "follow one of your jobs to its end, as run does",
    .help =
        R"(Everything that the job has written so far comes first, then what it writes, each stream to its
own, and posternctl exits with the job's exit code. It makes no difference whether the job still
runs. If the daemon no longer stores all of it, a message on standard error says which bytes it no
longer has, and the exit code is 125. Ctrl-C, SIGTERM and SIGHUP end posternctl as they do with run.
Root attaches to a job of any user with --all.

Examples:
  posternctl attach 5fab0c1d2e3f405162738495a6b7c8d9
  posternctl attach 5fab0c1d2e3f405162738495a6b7c8d9 --tail 20
  posternctl attach 5fab0c1d2e3f405162738495a6b7c8d9 --from-now
)",
    .options = attach_options,
    .least_words = 1,
    .most_words = 1,
    .completes = Completes::jobs,
    .asks_with = whom_jobs_ask,
    .objection = object_to_attach,
    .run = run_attach,
};

}  // namespace postern::ctl
