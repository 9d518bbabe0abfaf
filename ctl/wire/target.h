// Whom a command line asks, and how it wants to be told.
#pragma once

#include <string>

namespace postern::ctl {

struct Target {
    std::string socket;     // path, as socket_path() gives it; empty: no daemon is asked
    bool datagram = false;  // `socket` is the one for packets
    // The administrator's socket beside `socket`, if that is one of the usual places; else empty.
    std::string administrator_socket;
    bool json = false;  // errors that the daemon answers with are shown as JSON
};

}  // namespace postern::ctl
