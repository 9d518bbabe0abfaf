// Has systemd forget the units of jobs that are over: later, since nobody waits for that, and
// systemd may have starts to do that somebody waits for. Where it was known before systemd told so
// that nothing of a unit runs, it is awaited that systemd knows it too.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <functional>
#include <memory>
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
    // As many wait at most, and so long; both stay below what JobTable gives a unit. Those that are
    // awaited are no part of that: systemd tells of them as soon as it has time.
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
    // One of which systemd has still to tell that nothing of it runs. `missed`: it may have, to a
    // connection that broke.
    void await(const std::string& unit, UnitView view, bool missed);
    // False: it is none of those.
    bool changed(const std::string& unit, Told told, const UnitNews& news);
    // What systemd said of those may not have been heard.
    void look_at_awaited();

  private:
    struct Waiting {
        std::string unit;
        bool has_failed;
    };
    void look();
    void look_at(const std::string& unit);
    // It is awaited no longer if it is over.
    void judge(const std::string& unit);

    ServiceManager& services_;
    std::function<bool()> is_busy_;
    std::vector<Waiting> waiting_;
    std::unordered_map<std::string, UnitView> awaited_;
    std::chrono::steady_clock::time_point due_;  // of the first of them
    Timer timer_;
    std::shared_ptr<UnitCleaner*> self_;  // for answers: the others are weak
};

}  // namespace postern::jobs
