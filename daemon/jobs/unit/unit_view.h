// What is known of a job's unit, from all that systemd has said of it. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "daemon/jobs/unit/unit_news.h"

namespace postern::jobs {

class UnitView {
  public:
    enum class Phase : std::uint8_t {
        unseen,       // systemd has said nothing of it
        queued,       // it waits for its turn
        starting,     // its process is there, its program is not known to be executed
        running,      // ... and is
        left_behind,  // its main process has ended, others of it have not
        ending,       // systemd ends what is left of it
        over,         // none of its processes is left; it stays so until it is stopped or reset
        gone,         // stopped and forgotten
    };

    void take(const UnitNews& news);
    // What a whole look found. Precondition: nothing was told since it began.
    void take(const UnitState& looked);
    void take(const UnitUsage& usage);
    void take(const MainExit& exit) { take_end(exit.code, exit.status, ""); }
    void removed() { removed_ = true; }

    [[nodiscard]] Phase phase() const;
    // Its name is free, and nothing more will be told of it.
    [[nodiscard]] bool is_removed() const { return removed_; }
    [[nodiscard]] const UnitState& state() const { return state_; }
    // Of its main process, until that has ended; 0: there is none.
    [[nodiscard]] pid_t main_pid() const { return main_pid_; }

  private:
    void take_end(std::int32_t code, std::int32_t status, const std::string& result);

    UnitState state_;
    pid_t main_pid_ = 0;
    bool has_job_ = false;
    bool removed_ = false;
};

}  // namespace postern::jobs
