#include "daemon/confine/rights.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/stray_signals.h"

namespace postern {
namespace {

Status failed(const std::string& what) {
    return fail(what + ": " + std::strerror(errno));
}

Status leave_surroundings() {
    if (::chdir("/") != 0) return failed("chdir /");
    ::umask(077);
    if (::clearenv() != 0) return failed("clearenv");
    // Out of the guard's process group: what a terminal sends to that is the guard's business.
    if (::setsid() < 0 && errno != EPERM) return failed("setsid");
    sigset_t none;
    ::sigemptyset(&none);
    if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return failed("sigprocmask");
    // A write that fails is an error to handle, not an end; and what is sent to a whole service is
    // meant for its main process.
    ignore_stray_signals({SIGTERM});
    return {};
}

// All of them, whatever the kernel's last one is: it answers EINVAL after that. Without CAP_SETPCAP
// (a guard under the shipped unit has not) the set stays what the unit made of it: under
// NoNewPrivileges, and without exec(2), it is good for nothing.
Status drop_bounding_set() {
    for (unsigned long capability = 0; capability < 64; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            if (errno == EINVAL && capability > 0) break;
            if (errno == EPERM) return {};
            return failed("drop capability " + std::to_string(capability) +
                          " from the bounding set");
        }
    }
    return {};
}

Status become(const Ids& ids) {
    if (ids.uid == 0 || ids.gid == 0) return fail("it never runs as root");
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

Status lock(const char* name) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("set NoNewPrivileges");
    // The change of ids has made it so already; in user mode nothing has.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("make not dumpable");
    if (::prctl(PR_SET_NAME, name, 0, 0, 0) != 0) return failed("set the name");
    const rlimit nothing{0, 0};
    if (::setrlimit(RLIMIT_CORE, &nothing) != 0) return failed("setrlimit");
    return {};
}

std::optional<unsigned> id_of(std::string_view text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    // 0xffffffff means "leave it as it is" to setresuid(2).
    if (value == ~0U) return std::nullopt;
    return value;
}

}  // namespace

std::optional<Ids> parse_ids(int count, char** arguments) {
    if (count != 4 || std::string_view(arguments[0]) != "--uid" ||
        std::string_view(arguments[2]) != "--gid") {
        return std::nullopt;
    }
    const auto uid = id_of(arguments[1]);
    const auto gid = id_of(arguments[3]);
    if (!uid || !gid) return std::nullopt;
    return Ids{*uid, *gid};
}

Status close_descriptors_from(unsigned int first) {
    if (::close_range(first, ~0U, 0) != 0) return failed("close_range");
    return {};
}

Status give_up_rights(const char* name, const std::optional<Ids>& ids) {
    if (!ids && (::geteuid() == 0 || ::getuid() == 0)) return fail("it never runs as root");
    POSTERN_TRY(leave_surroundings());
    if (ids) {
        if (auto status = become(*ids); !status) return status;
    }
    POSTERN_TRY(drop_capabilities());
    if (ids) {
        if (auto status = verify_ids(*ids); !status) return status;
    }
    ignore_library_signals();
    return lock(name);
}

}  // namespace postern
