// A call that follows a job: to its end, or until the connection is over.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/record/record.h"

namespace postern {

// The side of it that the job tells. Each answer goes to the call.
class Following : public jobs::Follower {
  public:
    // `stdout_not_kept`: as JobStarted has it.
    Following(CallPtr call, std::string action, bool stdout_not_kept, bool is_owners = true)
        : call_(std::move(call)),
          action_(std::move(action)),
          stdout_not_kept_(stdout_not_kept),
          is_owners_(is_owners) {}

    [[nodiscard]] bool is_owners() const override { return is_owners_; }
    void started(const JobId& job, UniqueFd stdout_file, UniqueFd stderr_file) override;
    void start_failed(const JobId& job, const jobs::StartFailure& failure) override;
    void output(const JobId& job) override;
    void ended(const JobId& job, const JobResult& result) override;

  protected:
    // The client gets descriptors first.
    void announce(JobStarted started) { announced_ = std::move(started); }

  private:
    void finish(CallAnswer answer);

    CallPtr call_;
    std::string action_;
    bool stdout_not_kept_;
    bool is_owners_;
    JobStarted announced_;
};

// The other side: the connection keeps it, as long as the job is followed.
class Followed final : public OngoingCall {
  public:
    Followed(jobs::JobManager& jobs, JobId job, jobs::FollowerId follower)
        : jobs_(jobs), job_(std::move(job)), follower_(follower) {}

    void await_output(const AwaitOutput& read) override;
    bool output_taken(const OutputTaken& taken) override;
    void left(jobs::Leaving leaving) override;

  private:
    jobs::JobManager& jobs_;
    JobId job_;
    jobs::FollowerId follower_;
};

// Answers the call with this job, from its beginning: follows it, or gives what is kept of it.
// `stored`: does not follow it, but gives what is stored by now.
void answer_with(const CallPtr& call, jobs::JobManager& jobs, const jobs::Record& record,
                 bool stored = false);

}  // namespace postern
