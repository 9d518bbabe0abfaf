// Why a connection could not be made, in one line, and what to do about it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace postern::ctl {

// Everything that the line is made of, so that it can be made without the files and accounts.
struct ConnectFailure {
    std::string path;
    int error = 0;          // errno of connect(2)
    bool datagram = false;  // it was to be the datagram socket; errno may be one of send(2)

    // What stands in the way: a folder of the path, or the socket's file.
    enum class Where : std::uint8_t {
        unknown,       // nothing was found to be wrong, or it can't be looked at
        folder,        // `place` can't be entered
        socket,        // the socket itself denies
        missing,       // `place`, a folder of the path, does not exist
        dangling,      // the path is a symbolic link that leads nowhere
        not_a_folder,  // `place`, a folder of the path, is something else
        not_a_socket,  // the file is something else: see `kind`
    };
    Where where = Where::unknown;
    std::string place;
    std::string kind;  // "a regular file"

    // Of the folder or socket that denies.
    mode_t mode = 0;  // permission bits
    uid_t owner = 0;
    gid_t group = 0;
    std::string owner_name;  // empty: the account has no name
    std::string group_name;

    // The caller.
    uid_t uid = 0;
    std::string user_name;
    bool in_group = false;          // this process has the group
    bool will_be_in_group = false;  // the accounts say so, but it came after the login
    bool system_socket = false;     // the path is one of the system's own daemon
    bool user_socket = false;       // the path is below XDG_RUNTIME_DIR: the user's own guard
    bool administrator = false;     // the path is one of these two's administrator's socket
};

std::string connect_error(const ConnectFailure& failure, std::chrono::milliseconds patience);

}  // namespace postern::ctl
