// One job: its record, its output and who is told of it. How its processes are started,
// watched and ended is for the kinds of jobs: DirectJob and UnitJob.
#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/jobs/follower.h"
#include "daemon/jobs/followers.h"
#include "daemon/jobs/job_host.h"
#include "daemon/jobs/job_output.h"
#include "daemon/jobs/record/cancellation.h"
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
    JobStreams streams;
    std::array<UniqueFd, stream_count> readers;    // for that follower
    std::unique_ptr<Follower> follower = nullptr;  // null: nobody follows it yet
    StartPlace place = nullptr;                    // until its program runs, or never will
    UniqueFd stdin_end;                            // where standard input is a pipe
};

class Job {
  public:
    virtual ~Job();
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    [[nodiscard]] const Record& record() const { return record_; }
    [[nodiscard]] const JobId& id() const { return record_.job; }
    Followers take_followers() { return std::move(followers_); }
    // The ends of its pipes. Closing the last one may have to wait for whoever writes to the pipe.
    std::vector<UniqueFd> take_ends();

    // Its record is written and it was admitted. What goes wrong comes as start_failed, from the
    // loop.
    virtual void start(const policy::Action& action, const policy::Command& command) = 0;
    // Nothing of it is to be started: start_failed, from the loop.
    void fail_later(StartFailure failure);
    // As in JobManager. Never calls back.
    virtual void end(Outcome outcome) = 0;
    // As in JobManager. Never calls back.
    std::optional<Cancelled> cancel(const Cancellation& how);
    void await_output(FollowerId follower, const Offsets& offsets);
    // As in JobManager.
    bool taken(FollowerId follower, const Offsets& offsets);
    Result<FollowerId> follow(std::unique_ptr<Follower> follower);
    void leave(FollowerId follower, Leaving leaving);
    // Of one whose action wants it to end with its caller: it is ended, unless one comes soon.
    void expect_return();
    // Whether it goes on when the guard stops.
    [[nodiscard]] virtual bool outlives_the_guard() const = 0;
    // Of one that a guard before left: whether it still runs is not known yet; or, with
    // `is_found_out`, it is known that it does not.
    [[nodiscard]] virtual bool is_unproven() const { return false; }
    [[nodiscard]] virtual bool is_found_out() const { return true; }

    // A file that it watches was changed.
    virtual void file_changed(int /*watch*/) {}

    // ---- What postern-output says ----

    [[nodiscard]] JobOutput& output() { return output_; }
    [[nodiscard]] const JobOutput& output() const { return output_; }
    // It has more of this stream than somebody waits for.
    void output_has_grown(std::size_t stream);
    // It has this stream, and knows what the followers of the guard before this one needed.
    void output_is_kept(const output::Message& kept, std::vector<UniqueFd>& descriptors);
    // It has said which streams it has: what nobody has any more is lost.
    void keeper_is_here();
    // It finds no room for what the job writes.
    void output_is_in_trouble() { in_trouble_ = true; }
    // It has taken the rest.
    void output_is_finished(const output::Message& finished);

  protected:
    Job(JobHost& host, JobParts parts);

    JobHost& host() { return host_; }
    Record& own_record() { return record_; }
    // Where it has standard input from a pipe: the end of it; else -1.
    [[nodiscard]] int stdin_end() const { return stdin_end_.get(); }
    // A step of its states, for the observer.
    void moved(std::string_view from, std::string_view to);
    void program_runs();
    // Nothing was started, or it came to nothing. Calls JobHost::over().
    void fail_start(const StartFailure& why);
    // Nothing of it runs any more; how it ended stands in the record's result, but for when. Calls
    // JobHost::over(), at once or when the rest of its output is in its files.
    void finish();
    // A timer as exact as callers who wait for a job are owed.
    Timer make_timer(std::function<void()> what);
    // Fails only where there is no memory or the kernel has no timer (one serves the whole loop);
    // the job then goes on without.
    static void arm(Timer& timer, std::chrono::microseconds delay) {
        static_cast<void>(timer.arm(delay));
    }
    // It is cancelled, perhaps once more and in another way, and its record says so. Something of
    // it runs, or is being started.
    virtual void carry_out(const Cancellation& how) = 0;
    [[nodiscard]] bool is_cancelled() const { return record_.cancelling.has_value(); }
    // By KILL.
    [[nodiscard]] bool ends_at_once() const {
        const auto& how = record_.cancelling;
        return how && how->now;
    }
    // What it is asked to end by.
    [[nodiscard]] int ending_signal() const {
        const auto& how = record_.cancelling;
        return how ? how->signal : SIGTERM;
    }
    void write_record(const char* what);
    // What else there is to let go when it is over.
    virtual void clean_up() {}

  private:
    void tell_started();
    void tell_output();
    // What followers need has changed.
    void sync();
    void look_at_followers();
    void await_rest();
    void look_at_rest();
    void note_lost(const Offsets& from);
    void complete();

    JobHost& host_;
    Record record_;
    JobOutput output_;
    UniqueFd stdin_end_;
    Followers followers_;
    StartPlace place_;
    Timer return_timer_;  // until somebody comes
    Timer look_timer_;    // while its followers, or its files, are to be looked at
    bool looks_ = false;  // it is armed
    Timer rest_timer_;    // while the rest of its output is awaited
    Offsets rest_{};      // the sizes when it was looked at last
    bool in_trouble_ = false;
    Offsets lost_{not_awaited, not_awaited};

    std::uint32_t asked_signals_ = 0;  // by which it was cancelled: a bit for each

    bool runs_ = false;      // its followers were told so, and it is not over
    bool finishes_ = false;  // nothing of it runs any more
};

}  // namespace postern::jobs
