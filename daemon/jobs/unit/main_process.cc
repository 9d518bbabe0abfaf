#include "daemon/jobs/unit/main_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
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

}  // namespace

std::unique_ptr<MainProcess> MainProcess::watch(sd_event* event, const Places& places, pid_t pid,
                                                std::string_view unit,
                                                std::function<void()> ended) {
    std::unique_ptr<MainProcess> made(new MainProcess());
    made->pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!made->pidfd_) return nullptr;
    const auto path = unit_cgroup(places.proc, pid, unit);
    // As long as it has not ended, no other process has its number.
    if (!path || made->has_ended()) return nullptr;
    made->pid_ = pid;
    made->ended_ = std::move(ended);
    const auto open_file = [folder = places.cgroups + *path](const char* name) {
        return UniqueFd(open((folder + name).c_str(), O_RDONLY | O_CLOEXEC));
    };
    made->events_ = open_file("/cgroup.events");
    made->cpu_ = open_file("/cpu.stat");
    made->memory_peak_ = open_file("/memory.peak");
    const int r = add_io(event, made->source_, made->pidfd_.get(), EPOLLIN,
                         [self = made.get()](std::uint32_t) {
                             self->source_.reset();
                             const auto told = self->ended_;  // it may let this go
                             told();
                         });
    return r < 0 ? nullptr : std::move(made);
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

UnitUsage MainProcess::usage() const {
    UnitUsage usage;
    if (const auto usec = number_in(text_of(cpu_), "usage_usec ")) {
        usage.cpu = std::chrono::microseconds(static_cast<std::int64_t>(*usec));
    }
    usage.memory_peak_bytes = number_in(text_of(memory_peak_), "");
    return usage;
}

}  // namespace postern::jobs
