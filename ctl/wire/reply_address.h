// Where the answer to a packet comes: a socket's name of our own, in a folder of our own.
#pragma once

#include <string>

#include "base/result.h"
#include "ctl/wire/socket_path.h"

namespace postern::ctl {

// While it lives, the socket has the address; afterwards folder and name are gone.
class ReplyAddress {
  public:
    // Binds `socket`, which has no address yet. The folder is made in XDG_RUNTIME_DIR where that is
    // set and this user's alone, else in TMPDIR, else in /tmp. Never in one where another user
    // could put something else in its place: the daemon would answer there.
    // The error is one line that names the folder.
    static Result<ReplyAddress> bind(int socket, const SocketEnvironment& environment);

    ReplyAddress(ReplyAddress&& other) noexcept;
    ReplyAddress& operator=(ReplyAddress&&) = delete;
    ReplyAddress(const ReplyAddress&) = delete;
    ReplyAddress& operator=(const ReplyAddress&) = delete;
    ~ReplyAddress();

    // The folder that it was made in: the daemon must see the same one.
    [[nodiscard]] const std::string& parent() const { return parent_; }

  private:
    ReplyAddress(std::string parent, std::string folder)
        : parent_(std::move(parent)), folder_(std::move(folder)) {}
    static Result<ReplyAddress> bind_in(const std::string& parent, int socket);

    std::string parent_;
    std::string folder_;  // empty: moved from
};

}  // namespace postern::ctl
