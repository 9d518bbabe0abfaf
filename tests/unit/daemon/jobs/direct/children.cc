#include "tests/unit/daemon/jobs/direct/children.h"

#include <filesystem>
#include <sstream>
#include <string>

#include "daemon/jobs/direct/proc.h"
#include "tests/unit/file_text.h"

namespace postern::jobs {

std::vector<pid_t> children() {
    std::vector<pid_t> pids;
    // Each is its thread's that started it.
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::istringstream text(read_path(task.path().string() + "/children"));
        for (pid_t pid = 0; text >> pid;) {
            const auto stat = stat_of(pid);
            const std::string words = read_path("/proc/" + std::to_string(pid) + "/cmdline");
            const bool keeper = words.starts_with("postern-output");
            if (stat && !stat->zombie && !keeper) pids.push_back(pid);
        }
    }
    return pids;
}

}  // namespace postern::jobs
