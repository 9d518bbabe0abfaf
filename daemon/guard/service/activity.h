// What the guard is busy with: told to systemd as STATUS=, and the reason to leave when it is
// nothing.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "daemon/guard/service/service_notice.h"
#include "daemon/loop/event_source.h"

namespace postern {

class Activity {
  public:
    struct Figures {
        std::size_t connections = 0;
        std::size_t sessions = 0;
        std::size_t packets = 0;
        std::size_t jobs = 0;
        // What is amiss, for the end of the line; empty: nothing. While it lasts it is not idle.
        // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
        std::string trouble = {};
    };

    // What it asks and tells.
    struct Hooks {
        std::function<Figures()> figures;
        // Called once there was neither a connection nor a packet nor a job for the idle time.
        std::function<void()> idle;
        // Called with each look().
        std::function<void()> looked;
    };
    // `idle_time`: 0: never.
    Activity(sd_event* event, ServiceNotice& notice, std::chrono::microseconds idle_time,
             Hooks hooks);
    ~Activity() = default;
    Activity(const Activity&) = delete;
    Activity& operator=(const Activity&) = delete;

    // A figure may have changed: that is looked at soon, once for all that comes until then.
    void touch();
    // At once.
    void look();
    // Says no more, and never calls `idle`.
    void stop();
    // What stands in front of the figures: "3 actions are loaded, 0 files are bad".
    void set_policy(std::string text);
    // The whole line.
    [[nodiscard]] std::string text() const;

  private:
    void on_idle_timer();

    ServiceNotice& notice_;
    std::chrono::microseconds idle_time_;
    Hooks hooks_;
    std::string policy_;
    Figures told_;
    bool policy_told_ = false;
    bool stopped_ = false;
    bool looking_ = false;   // soon
    bool counting_ = false;  // the time until it is idle
    std::chrono::steady_clock::time_point touched_ = std::chrono::steady_clock::now();
    Timer look_timer_;
    Timer idle_timer_;
};

}  // namespace postern
