// A job that the guard started itself, from its launcher's start to its end: the state machine.
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

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "daemon/jobs/direct/launch.h"
#include "daemon/jobs/direct/launcher_stock.h"
#include "daemon/jobs/direct/processes.h"
#include "daemon/jobs/job.h"
#include "daemon/launcher/order.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class DirectJob final : public Job {
  public:
    // `launchers` outlives it.
    DirectJob(JobHost& host, JobParts parts, std::unique_ptr<Processes> processes,
              LauncherStock& launchers);
    // Kills what still runs.
    ~DirectJob() override;
    DirectJob(const DirectJob&) = delete;
    DirectJob& operator=(const DirectJob&) = delete;

    void start(const policy::Action& action, const policy::Command& command) override;
    void end(Outcome outcome) override;
    [[nodiscard]] bool outlives_the_guard() const override { return false; }
    void file_changed(int watch) override;

  private:
    enum class State : std::uint8_t {
        starting,     // the launcher prepares, if it has begun
        released,     // it was told to go
        running,      // the program runs
        lingering,    // the main process has ended, and others of it have not yet
        terminating,  // TERM was sent
        killing,      // KILL was sent
        ended,
    };

    // Its launcher stands. False: the event loop takes no more (it is killed and reaped then).
    bool watch(Launched launched);
    void clean_up() override;
    void carry_out(const Cancellation& how) override;
    // Somebody ends it: by what it was cancelled with, if it was, else by TERM.
    void begin_to_end();
    void set_state(State state);
    bool read_control();
    void release();
    void run();
    // The launcher is no use any more; what it was about comes with its exit.
    void give_up(StartFailure failure);
    void main_gone();
    void reap();
    void watch_processes();
    void terminate(int signal);
    // To what is left, once more: what forks has lost a signal that came before its exec.
    void terminate_rest();
    void count_left_behind();
    void end_left_behind();
    void kill_all();
    void time_is_up();
    void poll();
    void look_at_processes();
    void conclude();

    std::unique_ptr<Processes> processes_;
    LauncherStock& launchers_;
    std::chrono::microseconds timeout_{};

    State state_ = State::starting;
    std::optional<Outcome> cause_;           // why we end it, if we do
    std::optional<StartFailure> giving_up_;  // why its launcher was killed
    bool main_gone_ = false;
    bool reaped_ = false;

    Launched launched_;
    EventSource control_source_;
    EventSource exit_source_;
    Timer timer_;
    Timer poll_timer_;
    Timer again_timer_;  // the rest gets its signal once more
    int cgroup_watch_ = -1;
};

}  // namespace postern::jobs
