// What /proc tells about processes, and signals to them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/unique_fd.h"

namespace postern::jobs {

// Some of /proc/PID/stat (proc(5)).
struct ProcessStat {
    // All of it is over, and its parent has not asked yet. (A process whose first thread has ended
    // while others run has the state Z as well.)
    bool zombie = false;
    // When it began, in clock ticks after boot: with its pid and the boot id it names one process
    // for ever.
    std::uint64_t start = 0;
};
// Absent: there is no such process.
std::optional<ProcessStat> stat_of(pid_t pid);

// pidfd_open(2), close-on-exec; glibc has no wrapper before 2.36.
UniqueFd open_process(pid_t pid);
bool signal_process(const UniqueFd& process, int signal);

// All processes that /proc lists.
std::vector<pid_t> all_processes();

}  // namespace postern::jobs
