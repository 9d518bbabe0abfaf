// One job: its record, its output files and who is told of it. How its processes are started,
// watched and ended is for the kinds of jobs: DirectJob and UnitJob.
#pragma once

#include <systemd/sd-event.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "daemon/jobs/file_watcher.h"
#include "daemon/jobs/followers.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/record/output_file.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/record/record_store.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class Job;

// What a job needs of its surroundings.
class JobHost {
  public:
    virtual ~JobHost() = default;
    [[nodiscard]] virtual sd_event* event() const = 0;
    [[nodiscard]] virtual const Settings& settings() const = 0;
    virtual RecordStore& records() = 0;
    // As FileWatcher::watch; a change comes as Job::file_changed().
    virtual int watch(Job& job, const std::string& path, FileWatcher::Times times) = 0;
    virtual void unwatch(int watch) = 0;
    // Calls Job::look_at_output() soon, and again until it says that there is no need.
    virtual void look_soon(Job& job) = 0;
    // Calls it from the loop, if the job is not over by then.
    virtual void later(Job& job, void (Job::*what)()) = 0;
    // The job is over, its audience told nothing yet. Destroys it. Exactly one of both is set.
    virtual void over(Job& job, std::optional<StartFailure> failure,
                      std::optional<JobResult> result) = 0;
};

struct JobFiles {
    std::array<OutputFile, 2> output;  // stdout, stderr
    std::array<UniqueFd, 2> readers;   // for the first follower
};

class Job {
  public:
    virtual ~Job();
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    [[nodiscard]] const Record& record() const { return record_; }
    [[nodiscard]] const std::string& id() const { return record_.job; }
    std::unique_ptr<Witness> take_witness() { return std::move(witness_); }
    Followers take_followers() { return std::move(followers_); }

    // Nothing was started, or it came to nothing. Calls JobHost::over().
    void fail_start(StartFailure failure);

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
    Job(JobHost& host, Record record, JobFiles files, Audience audience);

    JobHost& host() { return host_; }
    Record& own_record() { return record_; }
    // Precondition: no descriptor is open for writing that the program does not have.
    void program_runs();
    // Nothing of it runs any more; how it ended stands in the record's result, but for when. Calls
    // JobHost::over().
    void finish();
    // A timer with the accuracy that callers who wait for a job are owed.
    static void arm(sd_event* event, EventSource& timer, std::uint64_t usec,
                    sd_event_time_handler_t handler, void* userdata);
    // What else there is to let go when it is over.
    virtual void clean_up() {}

  private:
    bool watch_output(std::size_t stream);
    [[nodiscard]] bool has_more(const Offsets& offsets) const;
    void tell_started();
    void tell_output();
    static int on_nobody_came(sd_event_source* source, std::uint64_t usec, void* self);

    JobHost& host_;
    Record record_;
    JobFiles files_;
    std::unique_ptr<Witness> witness_;
    Followers followers_;
    EventSource return_timer_;

    bool runs_ = false;  // its followers were told so, and it is not over
    bool trims_ = true;
    std::array<int, 2> output_watch_{-1, -1};
};

}  // namespace postern::jobs
