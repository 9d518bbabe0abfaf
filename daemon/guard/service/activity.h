// What the guard is busy with: told to systemd as STATUS=, and the reason to leave when it is
// nothing.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "daemon/guard/service/service_notice.h"
#include "daemon/guard/sessions/session_pool.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/loop/event_source.h"

namespace postern {

class Activity {
  public:
    // `idle` is called once there was neither a connection nor a packet nor a job for `idle_usec`;
    // 0: never.
    Activity(sd_event* event, ServiceNotice& notice, const SessionPool& pool,
             const jobs::JobManager& jobs, std::uint64_t idle_usec, std::function<void()> idle);
    ~Activity() = default;
    Activity(const Activity&) = delete;
    Activity& operator=(const Activity&) = delete;

    // From now on. Error: the event loop is full.
    Status start();
    // Says no more, and never calls `idle`.
    void stop();
    // What stands in front of the figures: "3 actions in force, 0 files bad".
    void set_policy(std::string text);
    // The whole line.
    [[nodiscard]] std::string text() const;

  private:
    static int on_turn(sd_event_source* source, void* self);
    static int on_tell(sd_event_source* source, std::uint64_t usec, void* self);
    static int on_idle(sd_event_source* source, std::uint64_t usec, void* self);
    [[nodiscard]] bool is_idle() const;
    void look();

    sd_event* event_;
    ServiceNotice& notice_;
    const SessionPool& pool_;
    const jobs::JobManager& jobs_;
    std::uint64_t idle_usec_;
    std::function<void()> idle_;
    std::string policy_;
    std::string told_;
    bool telling_ = false;   // soon
    bool counting_ = false;  // the time until it is idle
    EventSource turn_;
    EventSource tell_timer_;
    EventSource idle_timer_;
};

}  // namespace postern
