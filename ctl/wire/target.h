// Whom a command line asks, and how it wants to be told.
#pragma once

#include <string>

namespace postern::ctl {

struct Target {
    std::string socket;     // path, as socket_path() gives it; empty: no daemon is asked
    bool datagram = false;  // `socket` is the one for packets
    bool json = false;      // errors that the daemon answers with are shown as JSON
};

}  // namespace postern::ctl
