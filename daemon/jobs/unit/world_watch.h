// Notices that the mount table has changed.
//
// What is mounted later is seen in the units that are set up already, but not as they would have
// been set up with it: in one with ProtectSystem=strict it can be written to.
//
// It is the guard's own table, to which the host's mounts are passed on. What is below a place that
// the guard's own sandbox hides is not in there: systemd tells of that (ServiceManager).
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class WorldWatch {
  public:
    // `mounts` is /proc/self/mountinfo. `changed` comes from the loop.
    WorldWatch(sd_event* event, std::string mounts, std::function<void()> changed);
    ~WorldWatch() = default;
    WorldWatch(const WorldWatch&) = delete;
    WorldWatch& operator=(const WorldWatch&) = delete;

    // From now on. False: it can't be noticed.
    bool start();
    void stop();
    // Whether it has changed and `changed` did not come yet; that does not come for it any more.
    [[nodiscard]] bool has_changed() const;

  private:
    sd_event* event_;
    std::string path_;
    std::function<void()> changed_;
    UniqueFd table_;
    EventSource source_;
};

}  // namespace postern::jobs
