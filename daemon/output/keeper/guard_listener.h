// Where guards connect: a socket in a directory that only they may enter.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern::output {

class GuardListener {
  public:
    // In the place of one that was left there. Mode 0660: the directory's group may connect.
    static Result<GuardListener> create(const std::string& path);

    [[nodiscard]] int descriptor() const { return socket_.get(); }

    struct Accepted {
        UniqueFd connection;
        pid_t process = 0;
    };
    // A connection of root's, or of the user that this process runs as. Errors: errno of
    // accept4(2); EAGAIN: there is none.
    [[nodiscard]] Result<Accepted, int> accept() const;

  private:
    GuardListener(UniqueFd socket, uid_t own_uid) : socket_(std::move(socket)), own_uid_(own_uid) {}

    UniqueFd socket_;
    uid_t own_uid_;
};

}  // namespace postern::output
