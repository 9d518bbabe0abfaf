#include "daemon/guard/calls/direct_run.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "base/limits.h"

namespace postern {

jobs::Straight straight_of(const RunCall& asked, const policy::Action& action) {
    if (!asked.descriptors) return {};
    // What it gave already is what the program gets.
    return {action.description.input == Input::direct && !asked.input,
            action.description.direct_output};
}

void DirectRun::take(jobs::ClientEnds ends) {
    if (ends.output) of_client.push_back(std::move(ends.output));
    if (ends.input) of_client.push_back(std::move(ends.input));
}

void DirectlyFollowed::hand_over(const CallPtr& call, const HandOver& asked) {
    if (run_->of_client.empty() || asked.reply.empty()) {
        return call->link().violated("it handed over what there is not");
    }
    const auto run = run_;  // to let go of the call may destroy this
    auto ends = std::exchange(run->of_client, {});
    const bool handed_over = call->link().hand_over(asked.reply, ends);
    jobs_.close_pipes(std::move(ends));
    if (handed_over) {
        call->answer(HandedOver{});
        const auto ended = run->ended;
        if (!ended) return;
        call->link().forget();
        return call->answer(JobEnded{*ended});
    }
    const JobId job = job_;
    spdlog::warn("job {}: its client could not be given its descriptors; the job is ended",
                 job.text());
    jobs_.end(job, Outcome::disconnected);
    jobs_.leave(job, jobs::first_follower, jobs::Leaving::gone);
    call->link().forget();
    call->refuse(
        Refusal::start_failed, job.text(),
        "the pipe for direct data could not be handed over, so the job was ended: the kernel takes "
        "no more descriptors at the moment, or the connection no more bytes; try again");
}

}  // namespace postern
