// Takes packets off a datagram socket: bytes, who sent them, and where a reply may go. It opens
// nothing: what the bytes mean is for a session to find out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel/transport.h"
#include "daemon/guard/listen/identity.h"

namespace postern {

struct DatagramPacket {
    Result<Peer> peer = fail("nobody");  // the error is for the audit
    std::string payload;                 // empty where it was too long
    bool too_long = false;
    bool descriptors = false;  // came along
    // Control data was cut off, so what else is said here may be incomplete: not to be served.
    bool incomplete = false;
    // Where its sender is bound: an absolute path. Empty: nowhere, or at an address that a reply
    // can't be sent to safely (an abstract one may belong to a stranger, a relative path is
    // relative to another folder).
    std::string reply_path;
};

class DatagramReceiver {
  public:
    struct Received {
        enum class State : std::uint8_t { packet, nothing, failed };
        State state = State::nothing;
        int error = 0;  // of `failed`
        DatagramPacket packet;
        // Whatever came along. Closing a stranger's descriptor can block: for the closer.
        std::vector<UniqueFd> descriptors;
    };

    // Never blocks. The socket is one that ask_for_senders() was called on.
    Received receive(int socket);

  private:
    // One byte more than the longest packet has: with its terminator.
    std::array<char, limits::message_bytes + 2> buffer_{};
};

}  // namespace postern
