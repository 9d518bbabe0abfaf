#include "daemon/launcher/identity.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace postern::launcher {
namespace {

std::optional<Report> failed(Stage stage, int error) {
    return Report{stage, error};
}

bool has_uid(uid_t uid) {
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
    return getresuid(&real, &effective, &saved) == 0 && real == uid && effective == uid &&
           saved == uid;
}

bool has_gid(gid_t gid) {
    gid_t real = 0;
    gid_t effective = 0;
    gid_t saved = 0;
    return getresgid(&real, &effective, &saved) == 0 && real == gid && effective == gid &&
           saved == gid;
}

bool has_groups(std::vector<gid_t> expected) {
    // With more than one too many it fails.
    std::vector<gid_t> groups(expected.size() + 1);
    const int count = getgroups(static_cast<int>(groups.size()), groups.data());
    if (count < 0) return false;
    groups.resize(static_cast<std::size_t>(count));
    std::ranges::sort(groups);
    std::ranges::sort(expected);
    return groups == expected;
}

// The kernel clears permitted and effective when the last id that is 0 goes (capabilities(7)),
// unless securebits say otherwise: so it is looked at. Inheritable ones survive, and would come to
// life in a program file that has some of its own. Ambient ones go with the inheritable.
std::optional<Report> drop_capabilities(uid_t uid) {
    // Both capget and capset know version 3 since Linux 2.6.26; glibc has no wrapper.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> sets{};
    // Of root's all but the inheritable ones stay.
    if (uid == 0 && syscall(SYS_capget, &header, sets.data()) < 0) {
        return failed(Stage::capabilities, errno);
    }
    for (__user_cap_data_struct& set : sets) set.inheritable = 0;
    if (syscall(SYS_capset, &header, sets.data()) < 0) return failed(Stage::capabilities, errno);
    if (syscall(SYS_capget, &header, sets.data()) < 0) return failed(Stage::capabilities, errno);
    for (const __user_cap_data_struct& set : sets) {
        const bool left =
            set.inheritable != 0 || (uid != 0 && (set.permitted | set.effective) != 0);
        if (left) return failed(Stage::capabilities, EPERM);
    }
    return std::nullopt;
}

}  // namespace

std::optional<Report> take_identity(const Order& order, bool is_root) {
    if (!is_root) {
        if (!has_uid(order.uid)) return failed(Stage::uid, EPERM);
        if (!has_gid(order.gid)) return failed(Stage::gid, EPERM);
        return std::nullopt;
    }
    const std::vector<gid_t> groups(order.groups.begin(), order.groups.end());
    if (setgroups(groups.size(), groups.data()) < 0) return failed(Stage::groups, errno);
    if (!has_groups(groups)) return failed(Stage::groups, EPERM);
    if (setresgid(order.gid, order.gid, order.gid) < 0) return failed(Stage::gid, errno);
    if (!has_gid(order.gid)) return failed(Stage::gid, EPERM);
    if (setresuid(order.uid, order.uid, order.uid) < 0) return failed(Stage::uid, errno);
    if (!has_uid(order.uid)) return failed(Stage::uid, EPERM);
    if (const auto failure = drop_capabilities(order.uid)) return failure;
    if (order.uid != 0 && setresuid(0, 0, 0) == 0) return failed(Stage::uid, EPERM);
    // From here to the exec the process holds the guard's descriptors and the target's uid: keep
    // the target's other processes from tracing it, whatever fs.suid_dumpable says (proc(5)). The
    // exec sets it anew.
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return failed(Stage::uid, errno);
    return std::nullopt;
}

}  // namespace postern::launcher
