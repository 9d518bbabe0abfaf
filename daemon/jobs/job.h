// One job from its launcher's start to its end: the state machine.
//
//     starting --ready--> released --exec--> running --time is up, end()--> terminating
//        |                   |                  |                               |  kill_grace
//        |                   |                  |                               v
//        |                   |                  +--main gone, rest too---+   killing
//        |                   |                                           v      |
//        +---- failed -------+------------------------------------> ended <-----+
//
// Main process gone, others of the job not: terminating as well.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "daemon/event_source.h"
#include "daemon/jobs/file_watcher.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/launch.h"
#include "daemon/jobs/output_file.h"
#include "daemon/jobs/processes.h"
#include "daemon/jobs/record.h"
#include "daemon/jobs/record_store.h"
#include "daemon/launcher/order.h"

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
    // Calls Job::tell_output() from the loop.
    virtual void tell_later(Job& job) = 0;
    // The job is over, its observer told nothing yet. Destroys it. Exactly one of both is set.
    virtual void over(Job& job, std::optional<StartFailure> failure,
                      std::optional<JobResult> result) = 0;
};

// What was made for a job before its launcher.
struct JobFiles {
    std::array<OutputFile, 2> output;  // stdout, stderr
    std::array<UniqueFd, 2> readers;   // for the observer
    std::unique_ptr<Processes> processes;
};

class Job {
  public:
    Job(JobHost& host, Record record, JobFiles files, std::uint64_t timeout_usec,
        std::unique_ptr<Observer> observer);
    // Kills what still runs.
    ~Job();
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    [[nodiscard]] const Record& record() const { return record_; }
    [[nodiscard]] const std::string& id() const { return record_.job; }
    std::unique_ptr<Observer> take_observer() { return std::move(observer_); }

    // Its launcher stands. False: the event loop takes no more (it is killed and reaped then).
    bool begin(Launched launched);
    // Nothing was launched, or it came to nothing. Calls JobHost::over().
    void fail_start(StartFailure failure);

    // As in JobManager. Never calls back.
    void end(Outcome outcome);
    void await_output(std::uint64_t stdout_offset, std::uint64_t stderr_offset);

    void file_changed(int watch);
    // Bounds the stored output, and watches again what has changed. True: look again.
    bool look_at_output();
    void tell_output();

  private:
    enum class State : std::uint8_t {
        starting,     // the launcher prepares
        released,     // it was told to go
        running,      // the program runs
        terminating,  // TERM was sent
        killing,      // KILL was sent
        ended,
    };

    static int on_control(sd_event_source* source, int fd, std::uint32_t events, void* self);
    static int on_exit(sd_event_source* source, int fd, std::uint32_t events, void* self);
    static int on_timer(sd_event_source* source, std::uint64_t usec, void* self);
    static int on_poll(sd_event_source* source, std::uint64_t usec, void* self);

    void set_state(State state);
    void read_control();
    void control_closed();
    void release();
    void program_runs();
    // The launcher is no use any more; what it was about comes with its exit.
    void give_up(StartFailure failure);
    void main_gone();
    void reap();
    void terminate();
    void kill_all();
    void look_at_processes();
    void finish();
    void arm(EventSource& timer, std::uint64_t usec, sd_event_time_handler_t handler);
    bool watch_output(std::size_t stream);
    [[nodiscard]] bool has_more() const;

    JobHost& host_;
    Record record_;
    JobFiles files_;
    std::uint64_t timeout_usec_;
    std::unique_ptr<Observer> observer_;

    State state_ = State::starting;
    std::optional<Outcome> cause_;           // why we end it, if we do
    std::optional<StartFailure> giving_up_;  // why its launcher was killed
    bool main_gone_ = false;
    bool reaped_ = false;
    bool trims_ = true;

    Launched launched_;
    EventSource control_source_;
    EventSource exit_source_;
    EventSource timer_;
    EventSource poll_timer_;

    std::array<int, 2> output_watch_{-1, -1};
    int cgroup_watch_ = -1;
    bool awaited_ = false;
    std::array<std::uint64_t, 2> offsets_{};
};

}  // namespace postern::jobs
