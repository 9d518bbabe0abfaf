#include <array>
#include <nlohmann/json.hpp>

#include "ctl/text/job_text.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/text.h"
#include "ctl/verbs/job_options.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

constexpr std::array show_options = {option_all};

int run_show(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Jobs.Get",
                           {{"job", invocation.words.front()}});
    if (!reply) return reply.error().code;
    const auto* job = field(*reply, "job");
    if (job == nullptr) return nonsense(*connection, "no job in it").code;
    if (invocation.target.json) return finish_json(known_of_job(*job));
    return finish(two_columns(job_rows(*job), 0));
}

}  // namespace

constinit const Verb verb_show{
    .name = "show",
    .synopsis = "JOB",
    .summary = "show everything that is recorded about a job",
    .help =
        R"(JOB is the id of a job, or its beginning: at least four digits, enough to identify one job. So it
is with every verb that takes a JOB. Without --all it is one of your jobs.

Examples:
  posternctl show 3f1c
  posternctl show 3f1c09a2 --json
  sudo posternctl show --all 3f1c
)",
    .options = show_options,
    .least_words = 1,
    .most_words = 1,
    .completes = Completes::jobs,
    .asks_with = whom_jobs_ask,
    .run = run_show,
};

}  // namespace postern::ctl
