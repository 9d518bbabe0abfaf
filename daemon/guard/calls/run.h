// One Run, from its decision to its program running: the order in which things are asked, and what
// is said where the answer is no.
//
// Decide, then look at the way and at the arguments, then at the limits, then record, audit, and
// only then start: so whoever may not run an action learns nothing about it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/calls/job_audit.h"
#include "daemon/guard/config/limits.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"
#include "model/call.h"

namespace postern {

// What calls are served with. `snapshot` is what is in force.
struct CallEnvironment {
    jobs::JobManager& jobs;
    JobAudit& job_audit;
    const Limits& limits;
    policy::SnapshotPtr snapshot;
};

class Run : public std::enable_shared_from_this<Run> {
  public:
    enum class State : std::uint8_t {
        received,
        decided,   // the caller may run it, by this way
        bound,     // the arguments are what they must be
        admitted,  // within the limits
        recorded,  // the job's record and its audit are written
        starting,  // the supervisor is asked
        running,   // the program runs; the follower has the rest
        over,      // refused, or answered with another job
    };

    // `environment` outlives it.
    Run(CallPtr call, RunCall asked, CallEnvironment& environment)
        : call_(std::move(call)), asked_(std::move(asked)), environment_(environment) {}

    // As far as it goes at once. Whoever waits for the job keeps this.
    void begin();

    // What the job's follower was told.
    void started();
    // True: it never began through no fault of its own, and is begun anew.
    bool start_again(const jobs::StartFailure& failure);

  private:
    void set_state(State state);
    // What the key stands for, where there is one.
    using Known = Result<std::optional<jobs::Record>>;
    // A call that is made again, whatever its file says by now, is answered with its job.
    bool answered_as_before(const Known& found);
    // The job that the key stands for answers the call. True: it did, or the call is refused.
    bool answered_by_key(const Known& found, const policy::Command& command);
    void start(const policy::Verdict& verdict, const policy::Command& command);
    void refuse(const std::string& reason, const std::string& job, Refusal refusal,
                const std::string& subject, const std::string& message);

    CallPtr call_;
    RunCall asked_;  // with its secrets, until the program runs
    CallEnvironment& environment_;
    std::uint64_t digest_ = 0;  // of the call, for its key
    State state_ = State::received;
    int starts_ = 0;
};

}  // namespace postern
