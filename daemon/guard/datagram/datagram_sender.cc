#include "daemon/guard/datagram/datagram_sender.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/unique_fd.h"
#include "host/unix_address.h"

namespace postern {
namespace {

// The ids that setfsuid(2) and setfsgid(2) take for "tell me, change nothing".
constexpr auto no_uid = static_cast<uid_t>(-1);
constexpr auto no_gid = static_cast<gid_t>(-1);

// By the bare system calls: those of the C library change every thread of the process (nptl(7)).
Status drop_groups_and_capabilities() {
    if (::syscall(SYS_setgroups, 0, nullptr) != 0) {
        return fail(std::string("setgroups: ") + std::strerror(errno));
    }
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    constexpr unsigned kept = (1U << CAP_SETUID) | (1U << CAP_SETGID);
    const std::array<__user_cap_data_struct, 2> data{{{kept, kept, 0}, {0, 0, 0}}};
    if (::syscall(SYS_capset, &header, data.data()) != 0) {
        return fail(std::string("capset: ") + std::strerror(errno));
    }
    return {};
}

// As O_PATH, but never waiting for a file system to look something up: RESOLVE_CACHED, Linux 5.12;
// glibc has no wrapper of openat2(2). A negative errno, or the descriptor.
int open_in_cache(const std::string& path) {
    // Whatever is mounted or renamed anywhere at the same moment is in the way as well: at first it
    // is tried again at once, then after a pause. What costs that each time has its own turn only.
    constexpr int attempts = 10;
    constexpr int attempts_at_once = 4;
    constexpr std::chrono::microseconds pause{150};
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_CACHED;
    for (int i = 0; i < attempts; ++i) {
        if (i >= attempts_at_once) std::this_thread::sleep_for(pause);
        const long fd = ::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how);
        if (fd >= 0) return static_cast<int>(fd);
        if (errno != EAGAIN) return -errno;
    }
    return -ENOLINK;
}

}  // namespace

Result<DatagramSender> DatagramSender::create(bool own) {
    if (!own) {
        POSTERN_TRY(drop_groups_and_capabilities());
    }
    POSTERN_TRY(auto mounts, LocalMounts::open());
    const int root = open_in_cache("/");
    const UniqueFd tried(root);
    if (!tried) {
        return fail(std::string("openat2: ") + std::strerror(-root) +
                    "; check whether SystemCallFilter= or RestrictSUIDSGID= forbids it");
    }
    return DatagramSender(own, std::move(mounts));
}

Status DatagramSender::become(uid_t uid, gid_t gid) {
    if (own_) {
        if (uid == ::geteuid()) return {};
        return fail("it is another user's");
    }
    if (uid == uid_ && gid == gid_) return {};
    uid_ = no_uid;
    gid_ = no_gid;
    // Both fail silently, and return what was before (setfsuid(2)).
    ::setfsgid(gid);
    ::setfsuid(uid);
    if (static_cast<gid_t>(::setfsgid(no_gid)) != gid ||
        static_cast<uid_t>(::setfsuid(no_uid)) != uid) {
        return fail(
            "the ids of their receivers can't be set (setfsuid, setfsgid); check "
            "whether SystemCallFilter= forbids it");
    }
    uid_ = uid;
    gid_ = gid;
    return {};
}

int DatagramSender::send(int socket, const std::string& path, const std::string& bytes) {
    if (path.empty() || path.front() != '/') return EINVAL;
    // The file is opened first, so that it is the one that was looked at which is sent to.
    const int opened = open_in_cache(path);
    if (opened < 0) return -opened;
    const UniqueFd file(opened);
    struct statx status{};
    constexpr unsigned asked = STATX_TYPE | STATX_UID | STATX_MNT_ID;
    if (::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, asked, &status) != 0) {
        return errno;
    }
    if ((status.stx_mask & asked) != asked) return EIO;
    if (!S_ISSOCK(status.stx_mode)) return ENOTSOCK;
    if (status.stx_uid != (own_ ? ::geteuid() : uid_)) return EPERM;
    // Sending looks at the permissions once more.
    if (!mounts_.has(status.stx_mnt_id)) return EREMOTE;
    const sockaddr_un address = unix_address("/proc/self/fd/" + std::to_string(file.get()));
    for (;;) {
        if (::sendto(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                     any_address(address), sizeof address) >= 0) {
            return 0;
        }
        if (errno != EINTR) return errno;
    }
}

}  // namespace postern
