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

    // `figures` is asked with each look(). `idle` is called once there was neither a
    // connection nor a packet nor a job for `idle_time`; 0: never.
    Activity(sd_event* event, ServiceNotice& notice, std::function<Figures()> figures,
             std::chrono::microseconds idle_time, std::function<void()> idle);
    ~Activity() = default;
    Activity(const Activity&) = delete;
    Activity& operator=(const Activity&) = delete;

    // To be called after each turn of the loop in which anything happened.
    void look();
    // Says no more, and never calls `idle`.
    void stop();
    // What stands in front of the figures: "3 actions are loaded, 0 files are bad".
    void set_policy(std::string text);
    // The whole line.
    [[nodiscard]] std::string text() const;

  private:
    void tell();

    ServiceNotice& notice_;
    std::function<Figures()> figures_;
    std::chrono::microseconds idle_time_;
    std::function<void()> idle_;
    std::string policy_;
    Figures told_;
    bool policy_told_ = false;
    bool telling_ = false;   // soon
    bool counting_ = false;  // the time until it is idle
    Timer tell_timer_;
    Timer idle_timer_;
};

}  // namespace postern
