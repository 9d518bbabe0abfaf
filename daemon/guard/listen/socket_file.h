// The file of a socket that the guard binds itself: how it comes to be, and goes.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern {

struct BindOptions {
    std::string path;
    mode_t mode = 0660;
    std::optional<gid_t> group;
    bool datagram = false;
    bool makes_folder = false;  // 0700, where it is missing
};

// The file of a listening or datagram socket: one that the guard bound itself, or one that it was
// passed. All sockets that it was bound to stay open as long as this lives, so that the numbers of
// their files are given to no others (a socket holds its file, unix_bind() in net/unix/af_unix.c).
//
// One that the guard bound is unlinked with this object, if it is still the same file. PATH.lock is
// held meanwhile, so that no second guard takes the path.
class SocketFile {
  public:
    // A passed one's: what lies at the path now, if that is a socket.
    explicit SocketFile(std::string path);
    SocketFile(BindOptions options, UniqueFd lock)
        : options_(std::move(options)), lock_(std::move(lock)) {}
    ~SocketFile();
    SocketFile(const SocketFile&) = delete;
    SocketFile& operator=(const SocketFile&) = delete;

    [[nodiscard]] const std::string& path() const { return options_.path; }
    // Whether the guard bound it itself.
    [[nodiscard]] bool is_own() const { return static_cast<bool>(lock_); }

    // Whether who connects to the path reaches a socket of the guard.
    [[nodiscard]] bool is_there() const;
    // Another socket, bound at the path by the same rules as the first one. Preconditions: it is
    // not there, and the guard bound it. Error: as of bind_socket().
    Result<UniqueFd> bind_again();
    // Takes the lock again, where its file was removed. Error: another guard has it by now.
    Status restore_lock();

  private:
    friend Result<struct BoundSocket> bind_socket(const BindOptions& options);
    using Number = std::pair<dev_t, ino_t>;
    Result<UniqueFd> bind();
    static std::optional<Number> number_at(const std::string& path);

    BindOptions options_;
    UniqueFd lock_;
    std::vector<Number> numbers_;  // the latest last
};

struct BoundSocket {
    UniqueFd socket;
    std::shared_ptr<SocketFile> file;
};

// Binds, and listens where it is a stream socket. The mode is right before anyone can connect. A
// stale socket of our own is replaced; anything else at the path is left alone and is an error, as
// is a path that is relative, longer than sun_path, or in a folder where others could take it away:
// as a policy's it must belong to root or the guard's own user and be writable by nobody else, if
// not sticky.
Result<BoundSocket> bind_socket(const BindOptions& options);

}  // namespace postern
