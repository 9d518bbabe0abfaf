#include "daemon/jobs/direct/process_group.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <vector>

#include "daemon/jobs/direct/proc.h"

namespace postern::jobs {

// kill(-1) would be everyone and kill(0) our own group; set_main() comes first, but nothing may
// hang on that.
void ProcessGroup::terminate(int signal) {
    if (main_ <= 1) return;
    ::kill(-main_, signal);
    ::kill(-main_, SIGCONT);
}

bool ProcessGroup::kill() {
    if (main_ > 1) ::kill(-main_, SIGKILL);
    return false;
}

// kill(-main_, 0) can't tell: it succeeds for zombies, of which there is at least the main process;
// and in a container process 1 may never reap the others.
bool ProcessGroup::empty() const {
    return std::ranges::none_of(all_processes(), [this](pid_t pid) { return is_left(pid); });
}

std::size_t ProcessGroup::count() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(all_processes(), [this](pid_t pid) { return is_left(pid); }));
}

bool ProcessGroup::is_left(pid_t pid) const {
    if (pid == main_ || getpgid(pid) != main_) return false;
    const std::optional<ProcessStat> stat = stat_of(pid);
    return stat && !stat->zombie;
}

}  // namespace postern::jobs
