// One thread's way of sending a packet to a path as another user: ids that the thread takes on, and
// keeps until the next. (They are a thread's own in Linux: credentials(7), setfsuid(2).)
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "base/result.h"
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

    // Waits for nobody: neither for the receiver, nor for a file system whose server answers when
    // it likes (FUSE, a network's) to look the path up. 0, or an errno: EAGAIN where the queue of
    // the receiver or the send buffer of `socket` is full, EPERM where the socket at the path is
    // not a file of this user, ENOLINK where looking it up would wait (the path of a socket that
    // was just bound is in the kernel's cache), EREMOTE where its file system may make wait.
    //
    // That it may write there is not enough: what is sent carries the credentials of the guard, and
    // many sockets that everyone may write to (/run/systemd/notify, the journal's) go by those.
    [[nodiscard]] int send(int socket, const std::string& path, const std::string& bytes);

  private:
    DatagramSender(bool own, LocalMounts mounts) : own_(own), mounts_(std::move(mounts)) {}

    bool own_;
    LocalMounts mounts_;
    uid_t uid_ = static_cast<uid_t>(-1);
    gid_t gid_ = static_cast<gid_t>(-1);
};

}  // namespace postern
