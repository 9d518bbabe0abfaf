// One job: its record, its output files and who is told of it. How its processes are started,
// watched and ended is for the kinds of jobs: DirectJob and UnitJob.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "daemon/jobs/follower.h"
#include "daemon/jobs/followers.h"
#include "daemon/jobs/job_files.h"
#include "daemon/jobs/job_host.h"
#include "daemon/jobs/job_pipe.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/start_failure.h"
#include "daemon/jobs/start_queue.h"
#include "daemon/loop/event_source.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"
#include "model/job.h"

namespace postern::jobs {

// What a job is made of.
struct JobParts {
    Record record;
    JobFiles files;
    std::unique_ptr<Follower> follower = nullptr;  // null: nobody follows it yet
    StartPlace place = nullptr;                    // until its program runs, or never will
    JobEnds ends = {};                             // where they take the place of files
};

class Job {
  public:
    virtual ~Job();
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    [[nodiscard]] const Record& record() const { return record_; }
    [[nodiscard]] const JobId& id() const { return record_.job; }
    Followers take_followers() { return std::move(followers_); }

    // Its record is written and it was admitted. What goes wrong comes as start_failed, from the
    // loop.
    virtual void start(const policy::Action& action, const policy::Command& command) = 0;
    // As in JobManager. Never calls back.
    virtual void end(Outcome outcome) = 0;
    void await_output(FollowerId follower, const Offsets& offsets);
    Result<FollowerId> follow(std::unique_ptr<Follower> follower);
    void leave(FollowerId follower, Leaving leaving);
    // Of one whose action wants it to end with its caller: it is ended, unless one comes soon.
    void expect_return();
    // Whether it goes on when the guard stops.
    [[nodiscard]] virtual bool outlives_the_guard() const = 0;

    virtual void file_changed(int watch);
    // Bounds the stored output, and watches again what has changed. True: look again.
    bool look_at_output();

  protected:
    Job(JobHost& host, JobParts parts);

    JobHost& host() { return host_; }
    Record& own_record() { return record_; }
    [[nodiscard]] const JobFiles& files() const { return files_; }
    // Until the program has them: to be let go then.
    JobEnds& ends() { return ends_; }
    // A step of its states, for the observer.
    void moved(std::string_view from, std::string_view to);
    // Precondition: no descriptor is open for writing that the program does not have.
    void program_runs();
    // Nothing was started, or it came to nothing. Calls JobHost::over().
    void fail_start(const StartFailure& failure);
    // The same, from the loop.
    void fail_later(StartFailure failure);
    // Nothing of it runs any more; how it ended stands in the record's result, but for when. Calls
    // JobHost::over().
    void finish();
    // A timer as exact as callers who wait for a job are owed.
    Timer make_timer(std::function<void()> what);
    // Fails only where there is no memory or the kernel has no timer (one serves the whole loop);
    // the job then goes on without.
    static void arm(Timer& timer, std::chrono::microseconds delay) {
        static_cast<void>(timer.arm(delay));
    }
    // What else there is to let go when it is over.
    virtual void clean_up() {}

  private:
    bool watch_output(std::size_t stream);
    [[nodiscard]] bool has_more(const Offsets& offsets) const;
    void tell_started();
    void tell_output();

    JobHost& host_;
    Record record_;
    JobFiles files_;
    JobEnds ends_;
    Followers followers_;
    StartPlace place_;
    Timer return_timer_;  // until somebody comes

    bool runs_ = false;  // its followers were told so, and it is not over
    bool trims_ = true;
    std::array<int, 2> output_watch_{-1, -1};
};

}  // namespace postern::jobs
