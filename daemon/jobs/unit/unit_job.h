// A job that systemd supervises, as a transient service: the state machine.
//
//     submitting --accepted--> watching --final--> stopping --unit gone--> ended
//         |  |                    ^
//         |  +--not answered--> fencing --the unit is there
//         |                       |
//         +---- refused ----------+--it is not, and never will be--> ended
//
// A guard that died left a job in `submitting` (fencing goes on from there) or in `watching`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/jobs/job.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class UnitJob;
// Those that are not over, by the names of their units.
using UnitJobs = std::unordered_map<std::string, UnitJob*>;

class UnitJob final : public Job {
  public:
    UnitJob(JobHost& host, ServiceManager& services, UnitJobs& all, JobParts parts);
    ~UnitJob() override;
    UnitJob(const UnitJob&) = delete;
    UnitJob& operator=(const UnitJob&) = delete;

    // What a guard that died left goes on from there.
    void resume();

    void start(const policy::Action& action, const policy::Command& command) override;
    void end(Outcome outcome) override;
    [[nodiscard]] bool outlives_the_guard() const override { return true; }
    [[nodiscard]] bool is_unproven() const override { return unseen_; }
    [[nodiscard]] bool is_found_out() const override {
        return !unseen_ || state_ >= State::stopping;
    }

    // systemd says something new of the unit.
    void changed(const UnitChanges& changes);
    // It is there again, and what it said meanwhile was not heard.
    void reconnected();

  private:
    enum class State : std::uint8_t { submitting, fencing, watching, stopping, ended };

    void clean_up() override;
    void set_state(State state);
    void answered(const std::optional<CallError>& error);
    void refused(const CallError& error);
    void accepted();
    void fence();
    void fenced(const std::optional<CallError>& error);
    void recognised(const std::optional<UnitState>& state);
    void never_began();
    void take(const UnitChanges& changes);
    void look();
    // How many processes the unit has besides its main one, which has ended.
    std::size_t left_behind();
    void look_at_left_behind();
    void process_ended();
    void seen(const std::optional<UnitState>& state);
    void gone();
    void conclude();
    void take_result();
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
    UnitJobs& all_;
    State state_ = State::submitting;
    std::vector<policy::UnitProperty> sandbox_;
    UniqueFd stdin_file_;
    std::optional<Outcome> cause_;
    UnitState last_;
    bool told_ = false;    // that the program runs
    bool ends_ = false;    // it was asked to end, and has its time until KILL
    bool killed_ = false;  // KILL was said: the time after TERM is over
    bool missed_ = false;  // what systemd said for a while
    // Its process has ended by itself, and others of the unit have a moment to do so too.
    bool lingers_ = false;
    bool unseen_ = false;   // a guard before left it, and this one has not seen it run
    bool looking_ = false;  // an answer is on its way,
    bool again_ = false;    // and older than what has happened since
    Timer retry_timer_;
    Timer kill_timer_;
    Timer linger_timer_;
    std::shared_ptr<UnitJob*> self_;  // for guarded(): the others are weak
};

}  // namespace postern::jobs
