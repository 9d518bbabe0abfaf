// A Run whose data goes straight between the job and the client: the ends of the pipes, and how
// the client gets its own.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/guard/calls/following.h"
#include "daemon/jobs/follower.h"
#include "daemon/policy/snapshot.h"
#include "model/call.h"

namespace postern {

// What of this call goes straight.
jobs::Straight straight_of(const RunCall& asked, const policy::Action& action);

// The client's side of it, until it has its ends. The job may be over by then: its end waits for
// that, as what it wrote waits in the pipe.
struct DirectRun {
    DirectRun(jobs::JobManager& manager, jobs::Straight what) : jobs(manager), straight(what) {}
    ~DirectRun() { jobs.close_pipes(std::move(of_client)); }
    DirectRun(const DirectRun&) = delete;
    DirectRun& operator=(const DirectRun&) = delete;

    // Once, when the job is made.
    void take(jobs::ClientEnds ends);

    jobs::JobManager& jobs;
    jobs::Straight straight;
    // Of the client: output, then input.
    std::vector<UniqueFd> of_client;
    std::optional<JobResult> ended;
};

// What its connection keeps.
class DirectlyFollowed final : public OngoingCall {
  public:
    DirectlyFollowed(jobs::JobManager& jobs, JobId job, std::shared_ptr<DirectRun> run)
        : jobs_(jobs),
          job_(job),
          followed_(jobs, std::move(job), jobs::first_follower),
          run_(std::move(run)) {}

    void await_output(const AwaitOutput& read) override { followed_.await_output(read); }
    bool output_taken(const OutputTaken& taken) override { return followed_.output_taken(taken); }
    void hand_over(const CallPtr& call, const HandOver& asked) override;
    void left(jobs::Leaving leaving) override { followed_.left(leaving); }

  private:
    jobs::JobManager& jobs_;
    JobId job_;
    Followed followed_;
    std::shared_ptr<DirectRun> run_;
};

}  // namespace postern
