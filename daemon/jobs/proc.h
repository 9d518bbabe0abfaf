// What /proc tells about processes, and small files in general.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern::jobs {

// A whole file of at most `limit` bytes; errno where it can't be read, EFBIG where it is longer.
Result<std::string, int> read_file(const std::string& path, std::size_t limit);

// One write of all of `text` to a file that exists. Returns 0 or errno.
int write_file(const std::string& path, const std::string& text);

// Changes with every boot of the machine (random(4)); empty if it can't be read.
std::string boot_id();

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

// Wall clock, microseconds since the epoch.
std::uint64_t now_usec();

}  // namespace postern::jobs
