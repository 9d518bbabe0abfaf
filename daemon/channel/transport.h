// One packet over the channel, with the descriptors that travel with it.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel/messages.h"

namespace postern::channel {

// A connected pair, close-on-exec, non-blocking at both ends. Errors: EMFILE, ENFILE, ENOMEM.
Result<std::pair<UniqueFd, UniqueFd>> make_pair();

enum class Sent : std::uint8_t {
    sent,
    full,   // the peer does not read: wait until the descriptor is writable
    ended,  // the peer is gone, or the kernel refuses (ETOOMANYREFS): end the channel
};

// Never blocks. The descriptors stay the caller's.
Sent send_packet(int channel, std::span<const std::uint8_t> packet,
                 std::span<const int> descriptors);

struct Received {
    enum class State : std::uint8_t {
        packet,
        nothing,  // no packet waits
        ended,    // end of file, an error, or a packet that is too long or lost descriptors
    };
    State state = State::nothing;
    std::span<const std::uint8_t> packet;  // into the receiver's buffer, until the next call
    // Whatever arrived, in every state. Closing a stranger's descriptor can block (close(2), a TCP
    // socket with SO_LINGER): the guard gives them to its closer.
    std::vector<UniqueFd> descriptors;
};

// Descriptors that one message can carry: the kernel's own maximum (SCM_MAX_FD). With room for all
// of them in the control buffer none is ever dropped inside recvmsg(2), where closing it could
// block.
inline constexpr std::size_t most_descriptors = 253;

// Those in the control data of a received message, each with its owner.
std::vector<UniqueFd> take_descriptors(msghdr& message);

class Receiver {
  public:
    // Never blocks.
    Received receive(int channel);

  private:
    std::array<std::uint8_t, limits::packet_bytes> buffer_{};
};

}  // namespace postern::channel
