#include "daemon/jobs/unit/world_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <utility>

namespace postern::jobs {

WorldWatch::WorldWatch(sd_event* event, std::string mounts, std::function<void()> changed)
    : event_(event), path_(std::move(mounts)), changed_(std::move(changed)) {}

// The table as it is now is the one that later ones are held against (proc_pid_mountinfo(5)).
bool WorldWatch::start() {
    if (source_) return true;
    table_.reset(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    return table_ && add_io(event_, source_, table_.get(), EPOLLPRI,
                            [this](std::uint32_t) { changed_(); }) >= 0;
}

void WorldWatch::stop() {
    source_.reset();
    table_.reset();
}

bool WorldWatch::has_changed() const {
    pollfd table{table_.get(), POLLPRI, 0};
    return !table_ || poll(&table, 1, 0) != 0;
}

}  // namespace postern::jobs
