#include "daemon/guard/calls/direct_run.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "base/limits.h"

namespace postern {

Straight straight_of(const RunCall& asked, const policy::Action& action) {
    if (!asked.descriptors) return {};
    // What it gave already is what the program gets.
    return {action.description.input == Input::direct && !asked.input,
            action.description.direct_output};
}

Result<std::shared_ptr<DirectRun>> DirectRun::make(Straight straight, bool merge_stderr) {
    auto run = std::make_shared<DirectRun>();
    run->straight = straight;
    if (straight.output) {
        POSTERN_TRY(auto pipe, jobs::make_job_pipe(jobs::JobEnd::writes));
        if (merge_stderr) {
            POSTERN_TRY(run->of_job.stderr_end, jobs::write_end_again(pipe.write_end));
        }
        run->of_job.stdout_end = std::move(pipe.write_end);
        run->of_client.push_back(std::move(pipe.read_end));
    }
    if (straight.input) {
        POSTERN_TRY(auto pipe, jobs::make_job_pipe(jobs::JobEnd::reads));
        run->of_job.stdin_end = std::move(pipe.read_end);
        run->of_client.push_back(std::move(pipe.write_end));
    }
    return run;
}

void DirectlyFollowed::hand_over(const CallPtr& call, const HandOver& asked) {
    if (run_->of_client.empty() || asked.reply.empty()) {
        return call->link().violated("it handed over what there is not");
    }
    const auto run = run_;  // to let go of the call may destroy this
    const auto ends = std::exchange(run->of_client, {});
    if (call->link().hand_over(asked.reply, ends)) {
        call->answer(HandedOver{});
        const auto ended = run->ended;
        if (!ended) return;
        call->link().forget();
        return call->answer(JobEnded{*ended});
    }
    const JobId job = job_;
    spdlog::warn("job {}: its client could not be given its descriptors; it is ended", job.text());
    jobs_.end(job, Outcome::disconnected);
    jobs_.leave(job, jobs::first_follower, jobs::Leaving::gone);
    call->link().forget();
    call->refuse(
        Refusal::start_failed, job.text(),
        "what goes straight could not be handed over, so the job is ended: the kernel takes "
        "no more descriptors at the moment, or the connection no more bytes; try again");
}

}  // namespace postern
