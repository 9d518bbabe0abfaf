#include "daemon/jobs/unit/main_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <optional>
#include <utility>

#include "base/io.h"

namespace postern::jobs {
namespace {

// The line at the front, which is taken off.
std::string_view next_line(std::string_view& rest) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    return line;
}

// The path of its cgroup in the cgroup2 hierarchy, if that is the unit's.
std::optional<std::string> unit_cgroup(const std::string& proc, pid_t pid, std::string_view unit) {
    constexpr std::size_t longest = 16384;
    const auto text = read_file(proc + "/" + std::to_string(pid) + "/cgroup", longest);
    if (!text) return std::nullopt;
    constexpr std::string_view unified = "0::";
    for (std::string_view rest = *text; !rest.empty();) {
        const std::string_view line = next_line(rest);
        if (!line.starts_with(unified)) continue;
        const std::string_view path = line.substr(unified.size());
        if (!path.ends_with(std::string("/").append(unit))) return std::nullopt;
        return std::string(path);
    }
    return std::nullopt;
}

// A small file from its beginning, however often. Empty: it can't be read any more.
std::string text_of(const UniqueFd& file) {
    std::array<char, 2048> text;
    const ssize_t size = file ? pread(file.get(), text.data(), text.size(), 0) : -1;
    return size <= 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(size));
}

// The number behind `key`, which begins a line; "": all that the line is.
std::optional<std::uint64_t> number_in(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        const std::string_view line = next_line(text);
        if (!line.starts_with(key)) continue;
        std::uint64_t number = 0;
        const char* const end = line.data() + line.size();
        const auto [rest, error] = std::from_chars(line.data() + key.size(), end, number);
        if (error == std::errc() && rest == end) return number;
    }
    return std::nullopt;
}

// struct pidfd_info of include/uapi/linux/pidfd.h, which Debian 12 has not.
struct PidfdInfo {
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::array<std::uint32_t, 11> ids;
    std::int32_t exit_code;  // as wait(2) has it
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long pidfd_get_info = _IOWR(0xFF, 11, PidfdInfo);
constexpr std::uint64_t pidfd_info_exit = 1U << 3U;

// Nothing: it is not reaped, or the kernel does not tell.
std::optional<MainExit> exit_of(const UniqueFd& pidfd) {
    PidfdInfo info{};
    info.mask = pidfd_info_exit;
    if (ioctl(pidfd.get(), pidfd_get_info, &info) != 0) return std::nullopt;
    if ((info.mask & pidfd_info_exit) == 0) return std::nullopt;
    if (WIFEXITED(info.exit_code)) return MainExit{CLD_EXITED, WEXITSTATUS(info.exit_code)};
    return MainExit{WCOREDUMP(info.exit_code) ? CLD_DUMPED : CLD_KILLED, WTERMSIG(info.exit_code)};
}

}  // namespace

std::unique_ptr<MainProcess> MainProcess::watch(sd_event* event, const Places& places, pid_t pid,
                                                std::string_view unit, Ended ended) {
    std::unique_ptr<MainProcess> made(new MainProcess());
    made->pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!made->pidfd_) return nullptr;
    const auto path = unit_cgroup(places.proc, pid, unit);
    // As long as it has not ended, no other process has its number. Nor had one before: all numbers
    // would have been given to processes since systemd told of it, and this one to one of the unit.
    if (!path || made->has_ended()) return nullptr;
    made->pid_ = pid;
    made->ended_ = std::move(ended);
    made->folder_ = places.cgroups + *path;
    const auto open_file = [&folder = made->folder_](const char* name) {
        return UniqueFd(open((folder + name).c_str(), O_RDONLY | O_CLOEXEC));
    };
    made->events_ = open_file("/cgroup.events");
    made->cpu_ = open_file("/cpu.stat");
    made->memory_peak_ = open_file("/memory.peak");
    const int r = add_io(event, made->source_, made->pidfd_.get(), EPOLLIN,
                         [self = made.get()](std::uint32_t revents) { self->look(revents); });
    return r < 0 ? nullptr : std::move(made);
}

void MainProcess::tell(Ended ended) {
    ended_ = std::move(ended);
    has_told_ = false;
    if (source_) sd_event_source_set_io_events(source_.get(), EPOLLIN);
}

void MainProcess::look(std::uint32_t revents) {
    const auto exit = exit_of(pidfd_);
    const bool is_reaped = exit || (revents & EPOLLHUP) != 0;
    if (is_reaped) {
        source_.reset();
    } else {
        // EPOLLHUP is always told, and comes when it is reaped.
        sd_event_source_set_io_events(source_.get(), 0);
    }
    if (std::exchange(has_told_, true) && !exit) return;
    const auto told = ended_;
    told(exit);
}

bool MainProcess::has_ended() const {
    pollfd one{pidfd_.get(), POLLIN, 0};
    return poll(&one, 1, 0) != 0;
}

MainProcess::Population MainProcess::population() const {
    const auto populated = number_in(text_of(events_), "populated ");
    if (!populated) return Population::unknown;
    return *populated == 0 ? Population::none : Population::some;
}

bool MainProcess::may_lack_memory() const {
    // systemd-oomd writes down there how often it has killed.
    std::array<char, 32> count;
    if (getxattr(folder_.c_str(), "user.oomd_ooms", count.data(), count.size()) >= 0) return true;
    constexpr std::size_t longest = 4096;
    const auto events = read_file(folder_ + "/memory.events", longest);
    if (events) return number_in(*events, "oom_kill ").value_or(1) != 0;
    // Where memory is not accounted, systemd does not know either.
    return access(folder_.c_str(), F_OK) != 0;
}

UnitUsage MainProcess::usage() const {
    UnitUsage usage;
    if (const auto usec = number_in(text_of(cpu_), "usage_usec ")) {
        usage.cpu = std::chrono::microseconds(static_cast<std::int64_t>(*usec));
    }
    usage.memory_peak_bytes = number_in(text_of(memory_peak_), "");
    return usage;
}

}  // namespace postern::jobs
