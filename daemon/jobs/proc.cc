#include "daemon/jobs/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <ctime>
#include <memory>
#include <sstream>
#include <string_view>

namespace postern::jobs {
namespace {

struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
};

}  // namespace

Result<std::string, int> read_file(const std::string& path, std::size_t limit) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW));
    if (!file) return fail_with(errno);
    std::string text;
    std::array<char, 4096> buffer{};
    while (true) {
        const ssize_t got = read(file.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_with(errno);
        if (got == 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(got));
        if (text.size() > limit) return fail_with(EFBIG);
    }
}

int write_file(const std::string& path, const std::string& text) {
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW));
    if (!file) return errno;
    while (true) {
        const ssize_t put = write(file.get(), text.data(), text.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        return static_cast<std::size_t>(put) == text.size() ? 0 : EIO;
    }
}

std::string boot_id() {
    const Result<std::string, int> text = read_file("/proc/sys/kernel/random/boot_id", 64);
    if (!text) return {};
    return text->substr(0, text->find('\n'));
}

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
    const std::unique_ptr<DIR, CloseFolder> folder(opendir("/proc"));
    if (!folder) return pids;
    while (const dirent* entry = readdir(folder.get())) {
        const std::string_view name(static_cast<const char*>(entry->d_name));
        pid_t pid = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size() && pid > 0) {
            pids.push_back(pid);
        }
    }
    return pids;
}

std::uint64_t now_usec() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

}  // namespace postern::jobs
