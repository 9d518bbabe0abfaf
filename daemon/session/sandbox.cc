#include "daemon/session/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "daemon/session/system_calls.h"

namespace postern::session {
namespace {

Status failed(const std::string& what) {
    return fail(what + ": " + std::strerror(errno));
}

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

Status leave_surroundings() {
    go_first_without_memory();
    if (::chdir("/") != 0) return failed("chdir /");
    ::umask(077);
    if (::clearenv() != 0) return failed("clearenv");
    // Out of the guard's process group: what a terminal sends to that is the guard's business.
    if (::setsid() < 0 && errno != EPERM) return failed("setsid");
    sigset_t none;
    ::sigemptyset(&none);
    if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return failed("sigprocmask");
    // Whatever a caller has its session do, the guard comes first.
    // (A filter of the administrator's own may forbid it.)
    (void)::setpriority(PRIO_PROCESS, 0, own_niceness());
    // A write that fails is an error to handle, not an end.
    for (const int ignored : {SIGPIPE, SIGXFSZ}) {
        if (::signal(ignored, SIG_IGN) == SIG_ERR) return failed("signal");
    }
    return {};
}

// All of them, whatever the kernel's last one is: it answers EINVAL after that. Without CAP_SETPCAP
// (a guard under the shipped unit has not) the set stays what the unit made of it: under
// NoNewPrivileges, and without exec(2), it is good for nothing.
Status drop_bounding_set() {
    for (unsigned long capability = 0; capability < 64; ++capability) {
        if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) < 0) break;
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            if (errno == EPERM) return {};
            return failed("drop capability " + std::to_string(capability) +
                          " from the bounding set");
        }
    }
    return {};
}

Status become(const Ids& ids) {
    if (ids.uid == 0 || ids.gid == 0) return fail("a session never runs as root");
    POSTERN_TRY(drop_bounding_set());
    if (::setgroups(0, nullptr) != 0) return failed("setgroups");
    if (::setresgid(ids.gid, ids.gid, ids.gid) != 0) return failed("setresgid");
    if (::setresuid(ids.uid, ids.uid, ids.uid) != 0) return failed("setresuid");
    return {};
}

Status verify_ids(const Ids& ids) {
    uid_t uid[3] = {};
    gid_t gid[3] = {};
    if (::getresuid(&uid[0], &uid[1], &uid[2]) != 0) return failed("getresuid");
    if (::getresgid(&gid[0], &gid[1], &gid[2]) != 0) return failed("getresgid");
    for (int i = 0; i < 3; ++i) {
        if (uid[i] != ids.uid || gid[i] != ids.gid) return fail("the ids did not change");
    }
    if (::getgroups(0, nullptr) != 0) return fail("supplementary groups are left");
    if (::setresuid(0, 0, 0) == 0 || ::setresgid(0, 0, 0) == 0) return fail("root can be had back");
    return {};
}

struct CapabilitySets {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
};

Status drop_capabilities() {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
        return failed("clear the ambient capabilities");
    }
    CapabilitySets sets;
    if (::syscall(SYS_capset, &sets.header, sets.data.data()) != 0) return failed("capset");
    if (::syscall(SYS_capget, &sets.header, sets.data.data()) != 0) return failed("capget");
    for (const auto& set : sets.data) {
        if ((set.effective | set.permitted | set.inheritable) != 0) {
            return fail("capabilities are left");
        }
    }
    return {};
}

Status lock() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("set NoNewPrivileges");
    // The change of ids has made it so already; in user mode nothing has.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("make not dumpable");
    if (::prctl(PR_SET_NAME, "postern-session", 0, 0, 0) != 0) return failed("set the name");
    // Late: until here a failure is reported on standard error, which may be a file.
    const rlimit nothing{0, 0};
    if (::setrlimit(RLIMIT_CORE, &nothing) != 0) return failed("setrlimit");
#ifndef POSTERN_SANITIZED  // whose reports may go to a file
    if (::setrlimit(RLIMIT_FSIZE, &nothing) != 0) return failed("setrlimit");
    constexpr rlim_t memory = limits::session_data_bytes;
    const rlimit data{memory, memory};
    if (::setrlimit(RLIMIT_DATA, &data) != 0) return failed("setrlimit");
#endif
    return limit_system_calls();
}

}  // namespace

Status close_descriptors_from(unsigned int first) {
    if (::close_range(first, ~0U, 0) != 0) return failed("close_range");
    return {};
}

Status enter_sandbox(const std::optional<Ids>& ids) {
    if (!ids && (::geteuid() == 0 || ::getuid() == 0)) return fail("a session never runs as root");
    POSTERN_TRY(leave_surroundings());
    if (ids) {
        if (auto status = become(*ids); !status) return status;
    }
    POSTERN_TRY(drop_capabilities());
    if (ids) {
        if (auto status = verify_ids(*ids); !status) return status;
    }
    return lock();
}

}  // namespace postern::session
