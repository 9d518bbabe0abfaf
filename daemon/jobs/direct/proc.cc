#include "daemon/jobs/direct/proc.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <string_view>

#include "base/io.h"
#include "host/directory.h"

namespace postern::jobs {
namespace {

std::string_view next_field(std::string_view& rest) {
    const std::string_view field = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(field.size() + 1, rest.size()));
    return field;
}

std::optional<std::uint64_t> number_in(std::string_view field) {
    std::uint64_t number = 0;
    const auto parsed = std::from_chars(field.data(), field.data() + field.size(), number);
    if (parsed.ec != std::errc() || parsed.ptr != field.data() + field.size()) return std::nullopt;
    return number;
}

}  // namespace

std::optional<ProcessStat> stat_of(pid_t pid) {
    const auto text = read_kernel_file("/proc/" + std::to_string(pid) + "/stat");
    if (!text) return std::nullopt;
    // The second field is the program's name in parentheses and may hold anything, ')' too.
    const std::size_t name_end = text->rfind(") ");
    if (name_end == std::string::npos) return std::nullopt;
    std::string_view rest = std::string_view(*text).substr(name_end + 2);
    const std::string_view state = next_field(rest);
    constexpr int state_field = 3;
    constexpr int threads_field = 20;
    for (int field = state_field + 1; field < threads_field; ++field) next_field(rest);
    const auto threads = number_in(next_field(rest));
    next_field(rest);
    const auto start = number_in(next_field(rest));
    if (!threads || !start) return std::nullopt;
    return ProcessStat{(state == "Z" || state == "X") && *threads <= 1, *start};
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
