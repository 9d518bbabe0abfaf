// One Run, from its decision to its program running: the order in which things are asked, and what
// is said where the answer is no.
//
// First the action files are read where they have changed (current_policy.h). Then decide, look at
// the way and at the arguments, then at the limits; wait for its turn, and decide anew, since
// another policy may be in force by then; then record, audit, and only then start. So whoever may
// not run an action learns nothing about it.
//
// While it waits nothing of it is written down: it has had no answer, and who gets none calls
// again. A call with the same key waits behind it and finds its job.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/calls/current_policy.h"
#include "daemon/guard/calls/job_audit.h"
#include "daemon/guard/config/limits.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/start_queue.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"
#include "model/call.h"

namespace postern {

// What calls are served with. `snapshot` is what is in force.
struct CallEnvironment {
    jobs::JobManager& jobs;
    jobs::StartQueue& starts;
    JobAudit& job_audit;
    const Limits& limits;
    CurrentPolicy& current;
    policy::SnapshotPtr snapshot;
};

class Run : public std::enable_shared_from_this<Run> {
  public:
    enum class State : std::uint8_t {
        received,
        reading,   // the action files have changed, and are read; then it is received anew
        decided,   // the caller may run it, by this way
        bound,     // the arguments are what they must be
        waiting,   // within the limits, for its turn; then it is received anew
        admitted,  // it has its turn, and is still what may be run
        recorded,  // the job's record and its audit are written
        starting,  // the supervisor is asked
        running,   // the program runs; the follower has the rest
        over,      // refused, or answered with another job
    };

    // `environment` outlives it.
    Run(CallPtr call, RunCall asked, CallEnvironment& environment)
        : call_(std::move(call)), asked_(std::move(asked)), environment_(environment) {}

    // Until it waits for the action files or for its turn. The queue keeps this, then whoever waits
    // for the job.
    void begin();
    // The connection is over while it waits for its turn.
    void left();

    // What the job's follower was told.
    void started();
    // True: it never began through no fault of its own, and is begun anew.
    bool start_again(const jobs::StartFailure& failure);

  private:
    // What may be run, as far as it could be decided without the limits.
    struct Decided {
        policy::SnapshotPtr snapshot;  // what the verdict points into
        policy::Verdict verdict;
        policy::Command command;
    };

    void set_state(State state);
    bool is_current();
    void read_first();
    void proceed();
    // What the key stands for, where there is one.
    using Known = Result<std::optional<jobs::Record>>;
    // Absent: it is over, and answered.
    std::optional<Decided> decide();
    bool key_fits();
    // Nobody waits for the end of its job.
    [[nodiscard]] bool is_detached() const { return asked_.detach || call_->is_packet(); }
    void answer_known(const jobs::Record& record);
    bool may_go_straight(const Decided& decided);
    void wait(bool needs_its_caller);
    void take_turn(jobs::StartPlace place);
    void refuse_turn(jobs::StartQueue::Refusal why);
    // A call that is made again, whatever its file says by now, is answered with its job.
    bool answered_as_before(const Known& found);
    // The job that the key stands for answers the call. True: it did, or the call is refused.
    bool answered_by_key(const Known& found, const policy::Command& command);
    // True: what is over gives way to it, and it waits for that.
    bool waits_for_room();
    void start(const Decided& decided, jobs::StartPlace place);
    void refuse(const std::string& reason, const std::string& job, Refusal refusal,
                const std::string& subject, const std::string& message);

    CallPtr call_;
    RunCall asked_;  // with its secrets, until the program runs
    CallEnvironment& environment_;
    CurrentPolicy::Clock::time_point compared_;    // what is in force with what stands there
    CurrentPolicy::Clock::time_point read_until_;  // the action files
    std::uint64_t digest_ = 0;                     // of the call, for its key
    State state_ = State::received;
    int starts_ = 0;
    jobs::StartQueue::Ticket ticket_ = 0;  // while it waits
    bool hands_over_ = false;              // the connection's one call that does is this one
    bool needs_its_caller_ = false;        // else it is started though nobody waits for it
};

}  // namespace postern
