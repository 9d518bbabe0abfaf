#include "daemon/session/sandbox.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "daemon/session/system_calls.h"

namespace postern::session {
namespace {

// A third of an ordinary process's share, where both want the processor (sched(7)). What started
// the guard may have given it another niceness; lower is a privilege (setpriority(2)), higher is
// not.
int own_niceness() {
    errno = 0;
    const int guards = ::getpriority(PRIO_PROCESS, 0);
    return std::min((errno == 0 ? guards : 0) + 5, 19);
}

// Where memory runs out, sessions go first: each serves one caller, who connects again. Whoever may
// not write it (where /proc is read-only) stays as likely to be ended as its guard.
void go_first_without_memory() {
    constexpr std::string_view likely = "500";  // proc_pid_oom_score_adj(5): -1000 to 1000
    const UniqueFd file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    if (file && ::write(file.get(), likely.data(), likely.size()) < 0) return;
}

// Late: until here a failure is reported on standard error, which may be a file.
Status limit_resources() {
#ifndef POSTERN_SANITIZED  // whose reports may go to a file
    const rlimit nothing{0, 0};
    constexpr rlim_t memory = limits::session_data_bytes;
    const rlimit data{memory, memory};
    if (::setrlimit(RLIMIT_FSIZE, &nothing) != 0 || ::setrlimit(RLIMIT_DATA, &data) != 0) {
        return fail(std::string("setrlimit: ") + std::strerror(errno));
    }
#endif
    return {};
}

}  // namespace

Status enter_sandbox(const std::optional<Ids>& ids) {
    if (!ids && (::geteuid() == 0 || ::getuid() == 0)) return fail("a session never runs as root");
    go_first_without_memory();
    // Whatever a caller has its session do, the guard comes first.
    // (A filter of the administrator's own may forbid it.)
    (void)::setpriority(PRIO_PROCESS, 0, own_niceness());
    POSTERN_TRY(give_up_rights("postern-session", ids));
    // It leaves when the guard does, and not before its callers are told. (The other strays have no
    // effect any more.)
    if (std::signal(SIGTERM, SIG_IGN) == SIG_ERR) {
        return fail(std::string("ignore SIGTERM: ") + std::strerror(errno));
    }
    POSTERN_TRY(limit_resources());
    return limit_system_calls();
}

}  // namespace postern::session
