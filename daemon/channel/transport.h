// One packet over the channel, with the descriptors that travel with it.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
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

// Descriptors that one packet of ours carries at most.
inline constexpr std::size_t most_sent = connections_per_message;

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
    // Whatever arrived, in every state, where they are taken.
    std::vector<UniqueFd> descriptors;
    // There were some, and they are not taken: the kernel has dropped them.
    bool refused_descriptors = false;
};

// Descriptors that one message can carry: the kernel's own maximum (SCM_MAX_FD).
inline constexpr std::size_t most_descriptors = 253;

// What becomes of descriptors that come along. The guard takes none from a session: whatever a
// stranger made could stand still when it is closed. That dropping them stands still instead is
// seen to by the session's list of system calls, by which none can be sent
// (daemon/session/system_calls.cc).
enum class Descriptors : std::uint8_t { taken, refused };

class Receiver {
  public:
    explicit Receiver(Descriptors descriptors) : descriptors_(descriptors) {}

    // Never blocks.
    Received receive(int channel);
    // The next two. Where the second is `nothing`, no more waited when this was asked: nobody has
    // to ask again until the channel is found ready another time.
    std::array<Received, 2> receive_two(int channel);

  private:
    Descriptors descriptors_;
    // Of two packets, not initialized: a page that none was long enough for takes no memory.
    std::unique_ptr<std::uint8_t[]> buffer_ =
        std::make_unique_for_overwrite<std::uint8_t[]>(2 * limits::packet_bytes);
};

}  // namespace postern::channel
