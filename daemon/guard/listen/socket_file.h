// The file of a socket that the guard binds itself: how it comes to be, and goes.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern {

// The file of a socket that the guard bound itself: unlinked with this object, if it is still the
// same file. Holds PATH.lock meanwhile, so that no second guard takes the path.
class SocketFile {
  public:
    SocketFile(std::string path, UniqueFd lock, dev_t device, ino_t inode);
    ~SocketFile();
    SocketFile(const SocketFile&) = delete;
    SocketFile& operator=(const SocketFile&) = delete;

  private:
    std::string path_;
    UniqueFd lock_;
    dev_t device_;
    ino_t inode_;
};

struct BindOptions {
    std::string path;
    mode_t mode = 0660;
    std::optional<gid_t> group;
    bool datagram = false;
};

struct BoundSocket {
    UniqueFd socket;
    std::unique_ptr<SocketFile> file;
};

// Binds, and listens where it is a stream socket. The mode is right before anyone can connect. A
// stale socket of our own is replaced; anything else at the path is left alone and is an error, as
// is a path that is relative, longer than sun_path, or in a folder where others could take it away:
// as a policy's it must belong to root or the guard's own user and be writable by nobody else, if
// not sticky.
Result<BoundSocket> bind_socket(const BindOptions& options);

}  // namespace postern
