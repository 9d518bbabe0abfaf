// Has systemd forget the units of jobs that are over: later, since nobody waits for that, and
// systemd may have starts to do that somebody waits for.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/jobs/unit/service_manager.h"
#include "daemon/jobs/unit/unit_news.h"
#include "daemon/jobs/unit/unit_view.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class UnitCleaner {
  public:
    // As many wait at most, and so long; both stay below what JobTable gives a unit.
    static constexpr std::size_t most_waiting = 64;
    static constexpr std::chrono::milliseconds longest_wait{1000};

    // `is_busy`: whether systemd has something to start for us. `services` outlives it.
    UnitCleaner(sd_event* event, ServiceManager& services, std::function<bool()> is_busy);
    ~UnitCleaner() = default;
    UnitCleaner(const UnitCleaner&) = delete;
    UnitCleaner& operator=(const UnitCleaner&) = delete;

    // What of it is told to a connection that breaks is not told again: who connects again looks
    // for units that are over.
    void add(std::string unit, bool has_failed);
    // One of which systemd has still to tell that nothing of it runs.
    void await(std::string unit, UnitView view);
    // False: it is none of those.
    bool changed(const std::string& unit, Told told, const UnitNews& news);
    void reconnected();

  private:
    struct Waiting {
        std::string unit;
        bool has_failed;
    };
    void look();
    // Whether it is awaited no longer.
    bool is_over(const std::string& unit, const UnitView& view);

    ServiceManager& services_;
    std::function<bool()> is_busy_;
    std::vector<Waiting> waiting_;
    std::unordered_map<std::string, UnitView> awaited_;
    std::chrono::steady_clock::time_point due_;  // of the first of them
    Timer timer_;
};

}  // namespace postern::jobs
