#include "daemon/guard/calls/following.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "base/limits.h"

namespace postern {
namespace {

void answer_started(CallContext& call, const JobStarted& started, UniqueFd stdout_file,
                    UniqueFd stderr_file) {
    std::vector<UniqueFd> files;
    files.push_back(std::move(stdout_file));
    files.push_back(std::move(stderr_file));
    call.answer(started, std::move(files));
}

}  // namespace

void Following::started(const JobId& job, UniqueFd stdout_file, UniqueFd stderr_file) {
    announced_.job = job;
    announced_.stdout_not_kept = stdout_not_kept_;
    answer_started(*call_, announced_, std::move(stdout_file), std::move(stderr_file));
}

void Following::start_failed(const JobId& job, const jobs::StartFailure& failure) {
    if (failure.again) {
        finish(Refused{Refusal::unavailable, "", action_ + ": " + failure.message + "; try again"});
    } else {
        finish(Refused{Refusal::start_failed, job.text(), action_ + ": " + failure.message});
    }
}

void Following::output(const JobId& /*job*/) {
    call_->answer(JobOutput{});
}

void Following::ended(const JobId& /*job*/, const JobResult& result) {
    finish(JobEnded{result});
}

void Following::finish(CallAnswer answer) {
    call_->link().forget();
    call_->answer(std::move(answer));
}

void Followed::await_output(const AwaitOutput& read) {
    jobs_.await_output(job_, follower_, read.stdout_offset, read.stderr_offset);
}

bool Followed::output_taken(const OutputTaken& taken) {
    return jobs_.taken(job_, follower_, taken.stdout_offset, taken.stderr_offset);
}

void Followed::left(jobs::Leaving leaving) {
    jobs_.leave(job_, follower_, leaving);
}

void answer_with(const CallPtr& call, jobs::JobManager& jobs, const jobs::Record& record,
                 bool stored) {
    if (record.state == jobs::RecordState::failed) {
        return call->refuse(Refusal::start_failed, record.job.text(),
                            record.action + ": " + record.told);
    }
    if (call->is_packet()) return call->answer(Detached{record.job});
    if (call->link().kept_by_connection() >= limits::followed_by_connection) {
        return call->refuse(Refusal::limit_reached, "connection",
                            "this connection follows " +
                                std::to_string(limits::followed_by_connection) +
                                " jobs already; connect once more for another");
    }
    if (!is_over(record.state) && !stored) {
        // The administrator may follow any job.
        const bool is_owners =
            call->origin().way != Way::administrator || call->caller().uid == record.requester.uid;
        auto follower = jobs.follow(
            record.job,
            std::make_unique<Following>(call, record.action, record.stdout_not_kept, is_owners));
        if (follower) {
            return call->link().keep(std::make_unique<Followed>(jobs, record.job, *follower));
        }
        spdlog::error("job {} can't be followed: {}", record.job.text(), follower.error().message);
    } else if (auto output = jobs.open_output(record.job)) {
        answer_started(*call, {.job = record.job, .stdout_not_kept = record.stdout_not_kept},
                       std::move((*output)[0]), std::move((*output)[1]));
        return is_over(record.state) ? call->answer(JobEnded{record.result})
                                     : call->answer(JobStored{});
    } else {
        spdlog::error("the output of job {} can't be read: {}", record.job.text(),
                      output.error().message);
    }
    call->refuse(Refusal::unavailable, "",
                 "the output of job " + record.job.text() +
                     " can't be read at the moment; try again later, the "
                     "administrator finds more in the log");
}

}  // namespace postern
