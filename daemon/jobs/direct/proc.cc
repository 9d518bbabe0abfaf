#include "daemon/jobs/direct/proc.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <sstream>
#include <string_view>

#include "base/io.h"
#include "host/directory.h"

namespace postern::jobs {
std::optional<ProcessStat> stat_of(pid_t pid) {
    const auto text = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    if (!text) return std::nullopt;
    // The second field is the program's name in parentheses and may hold anything, ')' too.
    const std::size_t name_end = text->rfind(") ");
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream fields(text->substr(name_end + 2));
    std::string state;
    std::string skipped;
    std::uint64_t threads = 0;
    ProcessStat stat;
    fields >> state;  // the third field
    constexpr int threads_field = 20;
    for (int field = 4; field < threads_field; ++field) fields >> skipped;
    fields >> threads >> skipped >> stat.start;
    if (!fields) return std::nullopt;
    stat.zombie = (state == "Z" || state == "X") && threads <= 1;
    return stat;
}

UniqueFd open_process(pid_t pid) {
    return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

bool signal_process(const UniqueFd& process, int signal) {
    return process && syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) == 0;
}

std::vector<pid_t> all_processes() {
    std::vector<pid_t> pids;
    const Directory proc(opendir("/proc"));
    if (!proc) return pids;
    while (const dirent* entry = readdir(proc.get())) {
        const std::string_view name(static_cast<const char*>(entry->d_name));
        pid_t pid = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size() && pid > 0) {
            pids.push_back(pid);
        }
    }
    return pids;
}

}  // namespace postern::jobs
