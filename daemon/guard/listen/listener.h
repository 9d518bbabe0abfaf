// Listening sockets, and the sockets that packets come to: those that systemd passes in, and those
// that the guard binds itself.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/guard/listen/socket_file.h"

namespace postern {

struct Listener {
    std::string name;                  // its path, for log and audit
    UniqueFd socket;                   // AF_UNIX, non-blocking; see `datagram`
    std::shared_ptr<SocketFile> file;  // null: it has none
    bool administrator = false;        // for the administrator alone
    // SOCK_DGRAM, and packets come with their sender's credentials; else SOCK_STREAM, listening.
    bool datagram = false;
};

// Those of sd_listen_fds_with_names(3), checked: AF_UNIX, stream, listening, or datagram. The error
// names the one that does not fit by its name and descriptor number. None were passed: empty. The
// one that is named "postern-admin" (FileDescriptorName=, systemd.socket(5)) is the
// administrator's, the one that is named "postern-datagram" is the one for packets.
Result<std::vector<Listener>> passed_listeners();

// A descriptor that is said to be such a socket, as above.
Result<Listener> check_listener(UniqueFd socket, std::string_view name);

// Binds what the guard was told to; see bind_socket().
Result<Listener> bind_listener(const BindOptions& options);

}  // namespace postern
