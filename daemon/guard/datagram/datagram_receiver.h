// Takes packets off a datagram socket: bytes, who sent them, and where a reply may go. It opens
// nothing: what the bytes mean is for a session to find out.
//
// Descriptors that came along never become the guard's own. Where the kernel can, it refuses them
// to their sender (SO_PASSRIGHTS, Linux 6.16). Elsewhere there is no room for them behind the
// credentials, so that the kernel drops them (recvmsg(2), MSG_CTRUNC): without a flush, by which a
// file on a hung FUSE would stand still for good, but lingering, where it is a TCP socket's last
// reference. So this is for a thread that is interrupted (daemon/loop/thread_interrupt.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/limits.h"
#include "base/result.h"
#include "daemon/guard/listen/identity.h"

namespace postern {

struct DatagramPacket {
    Result<Peer> peer = fail("nobody");  // the error is for the audit
    std::string payload;                 // empty where it was too long
    bool too_long = false;
    bool descriptors = false;  // came along, and are gone
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
    };

    // The socket is one that refuse_descriptors() and ask_for_senders() were called on; it outlives
    // this, and nobody else receives from it.
    explicit DatagramReceiver(int socket);

    [[nodiscard]] int socket() const { return socket_; }
    // Whether receiving may linger.
    [[nodiscard]] bool may_linger() const { return descriptors_ != Descriptors::refused; }

    // Waits for nothing but what lingers.
    Received receive();

  private:
    // What becomes of descriptors. Before the socket refused them some may have been sent to it,
    // and the room for the pidfd of a sender is room for one of those: until it was seen empty,
    // each packet is looked at first.
    enum class Descriptors : std::uint8_t { refused, refused_from_now, dropped };

    void ask_for_pidfds(bool wanted) const;
    [[nodiscard]] bool carries_descriptors() const;

    int socket_;
    Descriptors descriptors_;
    // One byte more than the longest packet has: with its terminator.
    std::array<char, limits::message_bytes + 2> buffer_{};
};

}  // namespace postern
