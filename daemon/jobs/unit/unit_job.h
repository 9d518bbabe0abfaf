// A job that systemd supervises, as a transient service: the state machine.
//
//     submitting --accepted--> watching --nothing of it runs--> measuring ------------> ended
//         |  |                    ^  |                              |                     ^
//         |  +--not answered--> fencing                             +--something does--> stopping
//         |                       |
//         +---- refused ----------+--it is not there, and never will be--> ended
//
// What systemd tells of the unit by itself is all that is needed to follow it (unit_view.h). Where
// some of that may not have been heard, it is looked at (ServiceManager::state()). A unit of which
// nothing runs is left to UnitCleaner, once the job's caller has its answer.
//
// Where the kernel tells how its main process has ended and nothing of it is left, and that says
// all, the caller need not wait until systemd tells the same: `watching` becomes `ended` then.
//
// One whose unit has waited for it (spares.h) is in `submitting` until its launcher has taken the
// order (spare_order.h). Where that comes to nothing its start is asked for as any other's is.
//
// A guard that died left a job in `submitting` (fencing goes on from there) or in `watching`.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/jobs/job.h"
#include "daemon/jobs/unit/main_process.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/jobs/unit/spare.h"
#include "daemon/jobs/unit/spare_order.h"
#include "daemon/jobs/unit/spares.h"
#include "daemon/jobs/unit/unit_cleaner.h"
#include "daemon/jobs/unit/unit_spec.h"
#include "daemon/jobs/unit/unit_view.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class UnitJob;
// Those that are not over, by the names of their units.
using UnitJobs = std::unordered_map<std::string, UnitJob*>;

class UnitJob final : public Job {
  public:
    // All outlive it.
    struct Around {
        ServiceManager& services;
        UnitCleaner& cleaner;
        Spares& spares;
        UnitJobs& all;
    };
    // `spare`: its unit, where that is there already; else null.
    UnitJob(JobHost& host, const Around& around, JobParts parts, std::unique_ptr<Spare> spare);
    ~UnitJob() override;
    UnitJob(const UnitJob&) = delete;
    UnitJob& operator=(const UnitJob&) = delete;

    // Asks systemd what a start has to know. So it answers while the job's record is written.
    void prepare();
    // What a guard that died left goes on from there.
    void resume();

    void start(const policy::Action& action, const policy::Command& command) override;
    void end(Outcome outcome) override;
    [[nodiscard]] bool outlives_the_guard() const override { return true; }
    [[nodiscard]] bool is_unproven() const override { return unseen_; }
    [[nodiscard]] bool is_found_out() const override {
        return !unseen_ || state_ >= State::measuring;
    }

    // systemd says something new of the unit.
    void changed(Told told, const UnitNews& news);
    // It has read all units anew.
    void reloaded();
    // It is there again, and what it said meanwhile was not heard.
    void reconnected();
    // Whether its program is not known to run, nor to have ended.
    [[nodiscard]] bool is_being_started() const { return !told_ && state_ < State::measuring; }

  private:
    enum class State : std::uint8_t { submitting, fencing, watching, measuring, stopping, ended };

    void clean_up() override;
    void set_state(State state);
    void asked(const Result<std::vector<std::string>, CallError>& environment_names);
    void answered(const std::optional<CallError>& error);
    void refused(const CallError& error);
    void set_order(std::unique_ptr<Spare> spare);
    void start_without_spare();
    void not_executed();
    void keep_time_limit();
    void accepted();
    void fence();
    void fenced(const std::optional<CallError>& error);
    void recognised(const std::optional<UnitState>& state);
    void never_began();
    void look();
    void seen(const std::optional<UnitState>& state);
    // Does what is to be done as far as it is known now.
    void act();
    void act_while_watching();
    void watch_main_process();
    void main_ended(const std::optional<MainExit>& exit);
    void read_usage();
    [[nodiscard]] bool says_all(const MainExit& exit);
    void tell_that_it_runs();
    void find_left_behind();
    void found(const std::optional<std::string>& control_group);
    void count_left_behind();
    void ask_usage();
    void process_ended();
    void measured(const UnitUsage& usage);
    void conclude();
    void take_result();
    void write_how_it_ended();
    // Whether it is ended, for whatever reason.
    [[nodiscard]] bool is_being_ended() const { return cause_ || is_cancelled(); }
    void carry_out(const Cancellation& how) override;
    void terminate();
    void ask_to_end();
    void kill();
    void ask_again();
    // A callback that does nothing once this job is no more.
    template <typename Argument>
    auto guarded(void (UnitJob::*method)(Argument));

    ServiceManager& services_;
    UnitCleaner& cleaner_;
    Spares& spares_;
    UnitJobs& all_;
    State state_ = State::submitting;
    std::optional<UnitSpec> spec_;  // until its start is accepted
    UniqueFd stdin_file_;
    std::unique_ptr<SpareOrder> order_;  // where its unit has waited for it
    bool may_be_leaving_ = false;        // what has waited, for a guard that died
    std::optional<Outcome> cause_;
    UnitView view_;
    std::unique_ptr<MainProcess> main_;  // until it is known how it has ended
    bool main_was_seen_ = false;
    bool told_ = false;    // that the program runs
    bool ends_ = false;    // it was asked to end, and has its time until KILL
    bool killed_ = false;  // KILL was said: the time after TERM is over
    bool missed_ = false;  // what systemd said for a while
    // Its process has ended by itself, and others of the unit have a moment to do so too.
    bool lingers_ = false;
    bool unseen_ = false;          // a guard before left it, and this one has not seen it run
    std::string control_group_;    // of those others
    bool start_done_ = false;      // systemd's own job, the start, is done or given up
    bool usage_is_known_ = false;  // all of it
    bool lacks_memory_ = false;    // or may have lacked it
    bool is_early_ = false;        // it was over before systemd told so
    // Before that systemd does not end it. Of one that this guard has started.
    std::optional<std::chrono::steady_clock::time_point> has_time_until_;
    bool asked_early_ = false;  // what it has used, while systemd ended it
    bool looking_ = false;      // an answer is on its way,
    bool again_ = false;        // and older than why it is to be looked,
    bool heard_ = false;        // or than what was told
    Timer retry_timer_;
    Timer kill_timer_;
    Timer linger_timer_;
    Timer limit_timer_;               // where systemd's own is later
    std::shared_ptr<UnitJob*> self_;  // for guarded(): the others are weak
};

}  // namespace postern::jobs
