// One thread's way of sending a packet to a path as another user: ids that the thread takes on, and
// keeps until the next. (They are a thread's own in Linux: credentials(7), setfsuid(2).)
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "host/local_mounts.h"

namespace postern {

class DatagramSender {
  public:
    // Gives up, for the calling thread alone and for good, the supplementary groups and every
    // capability but those to change ids with. `own`: nothing; the thread sends as itself.
    // Error: something could not be given up; nothing may be sent then.
    static Result<DatagramSender> create(bool own);

    // Takes the ids on, and sees to it that it has them. Error: it has not; nothing may be sent.
    Status become(uid_t uid, gid_t gid);

    // What is sent, and what came of it.
    struct Parcel {
        const char* path = "";
        std::string_view bytes;
        // 0, or an errno: EAGAIN where the queue of the receiver or the send buffer of the socket
        // is full, EPERM where the socket at the path is not a file of this user, ENOLINK where
        // looking it up would wait (the path of a socket that was just bound is in the kernel's
        // cache), EREMOTE where its file system may make wait.
        int error = 0;
    };

    // Sends them in their order, at most most_at_once (from 1), and says of how many that was done:
    // up to the first whose path took long to look up, which is to have its own turn only. Waits
    // for nobody: neither for a receiver, nor for a file system whose server answers when it likes
    // (FUSE, a network's) to look a path up. `other`: a socket to try one by that `socket` has no
    // room for; negative: there is none.
    //
    // That the user may write there is not enough: what is sent carries the credentials of the
    // guard, and many sockets that everyone may write to (/run/systemd/notify, the journal's) go by
    // those.
    std::size_t send(int socket, std::span<Parcel> parcels, const std::function<int()>& other);

    static constexpr std::size_t most_at_once = 16;

  private:
    // A socket that may be sent to.
    struct Target {
        UniqueFd file;
        std::uint64_t mount = 0;
    };

    DatagramSender(bool own, LocalMounts mounts);
    int find(const char* path, Target& target, bool& took_long) const;

    bool own_;
    LocalMounts mounts_;
    uid_t own_uid_;
    uid_t uid_ = static_cast<uid_t>(-1);
    gid_t gid_ = static_cast<gid_t>(-1);
};

}  // namespace postern
