// The one inotify instance of all jobs: uid 0 has few of them (fs.inotify.max_user_instances).
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class FileWatcher {
  public:
    // `changed` gets the number that watch() returned; `overflow`: some were lost, any may have
    // changed. Both come from the loop.
    static Result<std::unique_ptr<FileWatcher>> create(sd_event* event,
                                                       std::function<void(int)> changed,
                                                       std::function<void()> overflow);

    // Calls `changed` when the file is modified. The file of a number that is watched already keeps
    // its number. -1: the kernel has no watch left (fs.inotify.max_user_watches).
    int watch(const std::string& path);
    void forget(int watch);

  private:
    FileWatcher(UniqueFd inotify, std::function<void(int)> changed, std::function<void()> overflow)
        : inotify_(std::move(inotify)),
          changed_(std::move(changed)),
          overflow_(std::move(overflow)) {}
    void read_events();

    UniqueFd inotify_;
    std::function<void(int)> changed_;
    std::function<void()> overflow_;
    EventSource source_;
};

}  // namespace postern::jobs
