// How a spare that was taken is told what to execute, and what becomes of that.
//
//     held --give--> given --"taken"--> taken --executed, for all that is known--> begun
//                      |
//                      +--refused, dead, or no answer in time--> withdrawn --seen dead--> failed
//
// A launcher that has said "taken" executes the program once, and nobody else ever does for this
// job: if it dies then, that was the run. One that has not is killed and seen dead before anybody
// else may; what it said before counts even then.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "daemon/jobs/job_host.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/jobs/unit/spare.h"
#include "daemon/jobs/unit/spares.h"
#include "daemon/jobs/unit/unit_view.h"
#include "daemon/launcher/spare_order.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class SpareOrder {
  public:
    // From the loop, or from changed(). Each may destroy this.
    struct Hooks {
        std::function<void()> taken;
        // The program was executed, for all that is known. Never where it could not be.
        std::function<void()> begun;
        // Nothing was run; the unit is forgotten, and its name free.
        std::function<void()> failed;
    };
    SpareOrder(JobHost& host, ServiceManager& services, Spares& spares,
               std::unique_ptr<Spare> spare, Hooks hooks);
    // One that was given nothing is let go.
    ~SpareOrder();
    SpareOrder(const SpareOrder&) = delete;
    SpareOrder& operator=(const SpareOrder&) = delete;

    // What was told of its unit so far.
    [[nodiscard]] const UnitView& view() const { return spare_->view; }
    std::unique_ptr<MainProcess> take_main() { return std::move(spare_->main); }
    // The record of its job is written. Never calls back.
    void give(const launcher::SpareOrder& order);
    [[nodiscard]] bool is_taken() const { return state_ >= State::taken; }
    [[nodiscard]] bool has_begun() const { return state_ == State::begun; }
    // Whether that is what the launcher has said by now. Once it is taken.
    bool was_not_executed();
    // systemd has told of its unit. Until it is taken.
    void changed(const UnitView& view);

  private:
    enum class State : std::uint8_t { held, given, withdrawn, failed, taken, begun };
    using Hook = std::function<void()> Hooks::*;

    void call(Hook hook);
    void hear();
    void read();
    void look_again();
    [[nodiscard]] bool is_still_the_launcher() const;
    void take();
    void withdraw();
    void look_whether_it_is_dead();

    JobHost& host_;
    ServiceManager& services_;
    Spares& spares_;
    std::unique_ptr<Spare> spare_;
    Hooks hooks_;
    State state_ = State::held;
    int looks_ = 0;
    bool was_reset_ = false;
    // What it has said.
    std::array<std::uint8_t, 2 + 2 * launcher::spare_error_bytes> heard_{};
    std::size_t heard_bytes_ = 0;
    pid_t pid_ = 0;
    EventSource source_;
    Timer timer_;
    std::shared_ptr<SpareOrder*> self_;  // for answers: the others are weak
};

}  // namespace postern::jobs
