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

#include <cstdint>
#include <memory>
#include <optional>

#include "daemon/jobs/direct/launch.h"
#include "daemon/jobs/direct/processes.h"
#include "daemon/jobs/job.h"
#include "daemon/launcher/order.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class DirectJob final : public Job {
  public:
    DirectJob(JobHost& host, Record record, JobFiles files, std::unique_ptr<Processes> processes,
              std::uint64_t timeout_usec, Audience audience);
    // Kills what still runs.
    ~DirectJob() override;
    DirectJob(const DirectJob&) = delete;
    DirectJob& operator=(const DirectJob&) = delete;

    // Its launcher stands. False: the event loop takes no more (it is killed and reaped then).
    bool begin(Launched launched);

    void end(Outcome outcome) override;
    [[nodiscard]] bool outlives_the_guard() const override { return false; }
    void file_changed(int watch) override;

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

    void clean_up() override;
    void set_state(State state);
    void read_control();
    void release();
    void run();
    // The launcher is no use any more; what it was about comes with its exit.
    void give_up(StartFailure failure);
    void main_gone();
    void reap();
    void terminate();
    void kill_all();
    void look_at_processes();
    void conclude();
    void arm(EventSource& timer, std::uint64_t usec, sd_event_time_handler_t handler);

    std::unique_ptr<Processes> processes_;
    std::uint64_t timeout_usec_;

    State state_ = State::starting;
    std::optional<Outcome> cause_;           // why we end it, if we do
    std::optional<StartFailure> giving_up_;  // why its launcher was killed
    bool main_gone_ = false;
    bool reaped_ = false;

    Launched launched_;
    EventSource control_source_;
    EventSource exit_source_;
    EventSource timer_;
    EventSource poll_timer_;
    int cgroup_watch_ = -1;
};

}  // namespace postern::jobs
