#include "daemon/guard/service/inherited.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/utf8.h"

namespace postern {
namespace {

// What it takes to serve one caller and one job: the guard's own files, threads and helpers (a
// start gives descriptors numbers from 32 on), a session, and the files and pipes of a job.
constexpr rlim_t least_descriptors = 128;
// Below this some tens of callers use them up.
constexpr rlim_t few_descriptors = 1024;

// 0, 1 and 2 must be something, or the next descriptors that are opened take their numbers.
Status fill_standard_descriptors() {
    for (;;) {
        const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0) return fail(std::string("/dev/null can't be opened: ") + std::strerror(errno));
        if (fd > STDERR_FILENO) {
            ::close(fd);
            return {};
        }
        ::fcntl(fd, F_SETFD, 0);
    }
}

// nullptr: not set.
const char* variable(const char* name) {
    return std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread
}

std::optional<int> number(std::string_view text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value <= 0) return std::nullopt;
    return value;
}

constexpr const char* who_passes_sockets =
    "; start it through its socket unit (systemctl start posternd.socket), or without LISTEN_FDS "
    "and with --socket PATH";

// How many are passed, by sd_listen_fds(3): it believes what the environment says.
Result<int> passed_descriptors(std::vector<std::string>& warnings) {
    const char* const count = variable("LISTEN_FDS");
    const char* const process = variable("LISTEN_PID");
    if (count == nullptr || process == nullptr) return 0;
    const auto pid = number(process);
    if (!pid) return fail("LISTEN_PID=" + in_quotes(process) + " is not a process id");
    if (*pid != ::getpid()) {
        warnings.push_back("LISTEN_FDS=" + in_quotes(count) + " is meant for process " +
                           std::to_string(*pid) + " (LISTEN_PID), but this is process " +
                           std::to_string(::getpid()) + ": no socket is taken from it");
        return 0;
    }
    const auto most = number(count);
    if (!most || *most > INT_MAX - SD_LISTEN_FDS_START) {
        return fail("LISTEN_FDS=" + in_quotes(count) + " is not a number of descriptors" +
                    who_passes_sockets);
    }
    const int end = SD_LISTEN_FDS_START + *most;
    for (int fd = SD_LISTEN_FDS_START; fd < end; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) continue;
        return fail("LISTEN_FDS=" + std::to_string(*most) + ", but descriptor " +
                    std::to_string(fd) + " is not open" + who_passes_sockets);
    }
    if (const char* const text = variable("LISTEN_FDNAMES"); text != nullptr && *text != '\0') {
        const std::string_view names(text);
        const auto there = std::ranges::count(names, ':') + 1;
        if (there != *most) {
            return fail("LISTEN_FDNAMES=" + in_quotes(names) + " has " + std::to_string(there) +
                        (there == 1 ? " name" : " names") +
                        " for LISTEN_FDS=" + std::to_string(*most));
        }
    }
    return *most;
}

// What is ignored or blocked stays so over exec(2). Whatever a signal means to the guard is set
// after this.
void reset_signals() {
    for (int signal = 1; signal <= SIGRTMAX; ++signal) std::signal(signal, SIG_DFL);
    // A file that may not grow any more is an error to handle, not an end (RLIMIT_FSIZE).
    std::signal(SIGXFSZ, SIG_IGN);
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

std::string shown(rlim_t limit) {
    return limit == RLIM_INFINITY ? "unlimited" : std::to_string(limit);
}

// Sessions, jobs and listeners are descriptors.
Status raise_descriptor_limit(Inherited& inherited) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
    inherited.open_files = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
    const std::string now = "it may have " + shown(limit.rlim_max) +
                            " descriptors (hard RLIMIT_NOFILE: LimitNOFILE=, ulimit -Hn)";
    if (limit.rlim_max < least_descriptors) {
        return fail(now + ": too few to serve a call; allow at least " +
                    std::to_string(least_descriptors) + ", better 65536");
    }
    if (limit.rlim_max < few_descriptors) {
        inherited.warnings.push_back(now + ": a few dozen callers use them up; allow 65536");
    }
    return {};
}

// Limits that a service does not expect; nobody can lift a hard one.
void name_limits(std::vector<std::string>& warnings) {
    struct Row {
        __rlimit_resource resource;
        const char* name;
        rlim_t enough;
        const char* effect;
    };
    constexpr rlim_t few_processes = 64;
    constexpr std::array<Row, 5> rows = {{
        {RLIMIT_FSIZE, "FSIZE", RLIM_INFINITY, "no record, output or audit file can grow larger"},
        {RLIMIT_CPU, "CPU", RLIM_INFINITY,
         "the kernel kills it after that many seconds of CPU time"},
        {RLIMIT_AS, "AS", RLIM_INFINITY, "it ends if it needs more address space"},
        {RLIMIT_DATA, "DATA", RLIM_INFINITY, "it ends if it needs more memory"},
        {RLIMIT_NPROC, "NPROC", few_processes, "sessions and jobs may not be started"},
    }};
    for (const Row& row : rows) {
        rlimit limit{};
        if (::getrlimit(row.resource, &limit) != 0 || limit.rlim_cur >= row.enough) continue;
        warnings.push_back(std::string("it was started with RLIMIT_") + row.name + "=" +
                           shown(limit.rlim_cur) + " (Limit" + row.name + "=): " + row.effect);
    }
}

// Too late to undo: the linker and the allocator have read them. Helpers and jobs get none of them.
void name_variables(std::vector<std::string>& warnings) {
    std::string names;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const auto name = text.substr(0, text.find('='));
        if (!name.starts_with("LD_") && !name.starts_with("MALLOC_") && name != "GLIBC_TUNABLES") {
            continue;
        }
        names += (names.empty() ? "" : ", ") + printable(name);
    }
    if (names.empty()) return;
    warnings.push_back("its environment has " + names +
                       ", which affect the daemon itself (sessions and jobs do "
                       "not get them); unset them unless they are intended");
}

}  // namespace

Result<Inherited> put_inherited_right() {
    Inherited inherited;
    POSTERN_TRY(fill_standard_descriptors());
    reset_signals();
    POSTERN_TRY(const int passed, passed_descriptors(inherited.warnings));
    const auto first = static_cast<unsigned>(SD_LISTEN_FDS_START + passed);
    if (::close_range(first, UINT_MAX, 0) != 0) {
        return fail(std::string("close_range: ") + std::strerror(errno));
    }
    POSTERN_TRY(raise_descriptor_limit(inherited));
    name_limits(inherited.warnings);
    name_variables(inherited.warnings);
    // Programs are started, and paths found out, by it.
    if (::access("/proc/self/fd", F_OK) != 0) {
        return fail(
            "/proc is not mounted, and nothing can be started without it; mount it: mount "
            "-t proc proc /proc");
    }
    return inherited;
}

Result<std::vector<std::string>> judge_capabilities(std::uint64_t effective) {
    struct Row {
        unsigned number;
        const char* name;
        bool needed;
        const char* without;
    };
    constexpr std::array<Row, 3> rows = {{
        {CAP_SETUID, "CAP_SETUID", true, "no session can be started"},
        {CAP_SETGID, "CAP_SETGID", true, "no session can be started"},
        {CAP_KILL, "CAP_KILL", false,
         "sessions that do not exit by themselves can't be ended, nor can jobs of other users "
         "that have no cgroup"},
    }};
    std::string needed;
    std::vector<std::string> warnings;
    for (const Row& row : rows) {
        if ((effective >> row.number & 1U) != 0) continue;
        if (row.needed) {
            needed += (needed.empty() ? "" : " and ") + std::string(row.name);
        } else {
            warnings.push_back(std::string("it lacks ") + row.name + ": " + row.without);
        }
    }
    if (needed.empty()) return warnings;
    return fail("it runs as root but lacks " + needed +
                ": no session can be started, so no call can be served; give it "
                "CAP_SETUID, CAP_SETGID and CAP_KILL (CapabilityBoundingSet= of a unit, --cap-add "
                "of a container), or run it as an ordinary user, to serve only that user");
}

Result<std::vector<std::string>> judge_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) {
        return fail(std::string("capget: ") + std::strerror(errno));
    }
    constexpr unsigned word = 32;
    return judge_capabilities(std::uint64_t{data[1].effective} << word | data[0].effective);
}

}  // namespace postern
