#include "daemon/jobs/process_group.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "daemon/jobs/proc.h"

namespace postern::jobs {

// kill(-1) would be everyone and kill(0) our own group; set_main() comes first, but nothing may hang
// on that.
void ProcessGroup::terminate() {
    if (main_ <= 1) return;
    ::kill(-main_, SIGTERM);
    ::kill(-main_, SIGCONT);
}

bool ProcessGroup::kill() {
    if (main_ > 1) ::kill(-main_, SIGKILL);
    return false;
}

// kill(-main_, 0) can't tell: it succeeds for the zombie alone.
bool ProcessGroup::empty() const {
    const std::vector<pid_t> pids = all_processes();
    return std::none_of(pids.begin(), pids.end(),
                        [this](pid_t pid) { return pid != main_ && getpgid(pid) == main_; });
}

}  // namespace postern::jobs
