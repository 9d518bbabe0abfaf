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

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

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
int open_in_cache(const char* path, bool& took_long) {
    // Whatever is mounted or renamed anywhere at the same moment is in the way as well: at first it
    // is tried again at once, then after a pause. What costs that each time has its own turn only.
    constexpr int attempts = 10;
    constexpr int attempts_at_once = 4;
    constexpr std::chrono::microseconds pause{150};
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_CACHED;
    for (int i = 0; i < attempts; ++i) {
        took_long = i >= attempts_at_once;
        if (took_long) std::this_thread::sleep_for(pause);
        const long fd = ::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
        if (fd >= 0) return static_cast<int>(fd);
        if (errno != EAGAIN) return -errno;
    }
    return -ENOLINK;
}

// Messages to be sent by one system call.
class Letters {
  public:
    // Of the parcel of that number, to the file, which stays open.
    void add(std::size_t number, int file, std::string_view bytes) {
        const std::size_t i = count_++;
        numbers_[i] = number;
        addresses_[i] = unix_address("/proc/self/fd/" + std::to_string(file));
        // sendmmsg() reads only; iovec just has no const.
        data_[i] = {const_cast<char*>(bytes.data()), bytes.size()};
        msghdr& message = messages_[i].msg_hdr;
        message.msg_name = &addresses_[i];
        message.msg_namelen = sizeof addresses_[i];
        message.msg_iov = &data_[i];
        message.msg_iovlen = 1;
    }
    // The parcel that is next; absent: there is none.
    [[nodiscard]] std::optional<std::size_t> next() const {
        return next_ < count_ ? std::optional(numbers_[next_]) : std::nullopt;
    }
    void skip() { ++next_; }
    // The next ones, at most so many, which are done with then. An errno: the next one can't be
    // sent.
    int send(int socket, std::size_t most = DatagramSender::most_at_once) {
        const auto count = static_cast<unsigned>(std::min(most, count_ - next_));
        int sent = 0;
        do {
            sent = ::sendmmsg(socket, &messages_[next_], count, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent <= 0) return errno;
        next_ += static_cast<std::size_t>(sent);
        return 0;
    }

  private:
    template <typename T>
    using Each = std::array<T, DatagramSender::most_at_once>;

    Each<std::size_t> numbers_{};
    Each<sockaddr_un> addresses_;
    Each<iovec> data_{};
    Each<mmsghdr> messages_{};
    std::size_t count_ = 0;
    std::size_t next_ = 0;
};

}  // namespace

DatagramSender::DatagramSender(bool own, LocalMounts mounts)
    : own_(own), mounts_(std::move(mounts)), own_uid_(::geteuid()) {}

Result<DatagramSender> DatagramSender::create(bool own) {
    if (!own) {
        POSTERN_TRY(drop_groups_and_capabilities());
    }
    POSTERN_TRY(auto mounts, LocalMounts::open());
    bool took_long = false;
    const int root = open_in_cache("/", took_long);
    const UniqueFd tried(root);
    if (!tried) {
        return fail(std::string("openat2: ") + std::strerror(-root) +
                    "; check whether SystemCallFilter= or RestrictSUIDSGID= forbids it");
    }
    return DatagramSender(own, std::move(mounts));
}

Status DatagramSender::become(uid_t uid, gid_t gid) {
    if (own_) {
        if (uid == own_uid_) return {};
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

// An errno, or 0. The file is opened first, so that it is the one that was looked at which is sent
// to.
int DatagramSender::find(const char* path, Target& target, bool& took_long) const {
    if (*path != '/') return EINVAL;
    const int opened = open_in_cache(path, took_long);
    if (opened < 0) return -opened;
    target.file.reset(opened);
    struct statx status{};
    constexpr unsigned asked = STATX_TYPE | STATX_UID | STATX_MNT_ID;
    if (::statx(opened, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, asked, &status) != 0) return errno;
    if ((status.stx_mask & asked) != asked) return EIO;
    if (!S_ISSOCK(status.stx_mode)) return ENOTSOCK;
    if (status.stx_uid != (own_ ? own_uid_ : uid_)) return EPERM;
    target.mount = status.stx_mnt_id;
    return 0;
}

std::size_t DatagramSender::send(int socket, std::span<Parcel> parcels,
                                 const std::function<int()>& other) {
    std::array<Target, most_at_once> targets;
    std::size_t count = 0;
    for (bool took_long = false; count < std::min(parcels.size(), most_at_once) && !took_long;) {
        parcels[count].error = find(parcels[count].path, targets[count], took_long);
        ++count;
    }
    // With all of them open.
    mounts_.look();
    Letters letters;
    for (std::size_t i = 0; i < count; ++i) {
        if (parcels[i].error != 0) continue;
        if (mounts_.has(targets[i].mount)) {
            letters.add(i, targets[i].file.get(), parcels[i].bytes);
        } else {
            parcels[i].error = EREMOTE;
        }
    }
    // Sending looks at the permissions once more.
    while (const auto number = letters.next()) {
        int error = letters.send(socket);
        if (error == EAGAIN) {
            const int instead = other();
            if (instead >= 0) error = letters.send(instead, 1);
        }
        if (error == 0) continue;
        parcels[*number].error = error;
        letters.skip();
    }
    return count;
}

}  // namespace postern
