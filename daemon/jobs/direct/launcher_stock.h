// Launchers that wait for a job, so that the next one need not wait for a launcher. There are none
// until there was a job, and some time after the last job they are gone again.
//
// One that waits has nothing but its control socket, and leaves when this process ends. Jobs can't
// tell whether theirs has waited, but for the time at which their process began. (What somebody
// changes of this process meanwhile, as its priority, comes to jobs with the next launcher.)
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "daemon/jobs/direct/launch.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/spawner.h"

namespace postern::jobs {

class LauncherStock {
  public:
    struct Settings {
        Spawner* spawner = nullptr;  // outlives it
        int program = -1;            // postern-launcher; it stays the caller's
        std::size_t most = 0;        // that wait
        std::chrono::microseconds wait{};
    };
    LauncherStock(sd_event* event, const Settings& settings);
    ~LauncherStock();
    LauncherStock(const LauncherStock&) = delete;
    LauncherStock& operator=(const LauncherStock&) = delete;

    // The one that has waited longest; absent: there is none. It may have died meanwhile.
    std::optional<Launched> take();
    // There was a job. One more is started when the loop has nothing else to do, if there are not
    // enough.
    void ran();

  private:
    using Clock = std::chrono::steady_clock;

    void add_one();
    void look();

    sd_event* event_;  // the loop's owner outlives it
    Settings settings_;
    std::vector<Launched> waiting_;
    std::size_t wanted_ = 0;  // how many are to be started
    EventSource idle_;
    Timer timer_;  // armed while some wait; may be early
    bool watches_ = false;
    Clock::time_point last_job_;
};

}  // namespace postern::jobs
