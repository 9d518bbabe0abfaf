// The daemon's datagram socket: one packet is one call, and the answer is one packet.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ctl/wire/connection.h"

namespace postern::ctl {

// Why there is no answer to a call.
struct NoAnswer {
    int code = 0;         // what to exit with
    std::string message;  // one line that begins with the socket's path; empty: interrupted
    bool sent = false;    // the daemon may have got the call
};

// The longest answer that is taken; the daemon's are shorter.
inline constexpr std::size_t datagram_answer_bytes = 256 * 1024;

struct DatagramPatience {
    std::chrono::milliseconds send;    // while the daemon's queue is full
    std::chrono::milliseconds answer;  // after that
};

// In both: `path` is one that socket_path() gave, and `call` has no terminator.

// Sends from a socket without an address, so that no answer can come.
Result<void, NoAnswer> send_datagram(const std::string& path, std::string_view call,
                                     std::chrono::milliseconds patience);

// Sends from an address of its own, which is there for this one call: what comes to it is the
// answer to this call and no other's, and the kernel lets no one but the daemon send to it.
// `interrupt`: a descriptor that becomes readable when the user wants to stop, or -1.
Result<Message, NoAnswer> ask_by_datagram(const std::string& path, std::string_view call,
                                          const DatagramPatience& patience, int interrupt);

}  // namespace postern::ctl
