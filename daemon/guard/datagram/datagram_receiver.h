// Takes packets off a datagram socket: bytes, who sent them, and where a reply may go. It opens
// nothing: what the bytes mean is for a session to find out.
//
// Descriptors that came along never become the guard's own. Where the kernel can, it refuses them
// to their sender (SO_PASSRIGHTS, Linux 6.16); then what waits is taken many at a time. Elsewhere a
// packet is looked at first, with no room for them behind the credentials (recvmsg(2),
// MSG_CTRUNC). One that has some is never received here, since dropping them may stand still for
// good: another process does that (daemon/loop/dropper.h).
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/loop/dropper.h"

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
        enum class State : std::uint8_t { packet, failed };
        State state = State::packet;
        int error = 0;  // of `failed`
        DatagramPacket packet;
    };
    // In the order in which they came; one that failed is the last.
    struct Batch {
        std::vector<Received> all;
        bool more = false;  // others may wait
    };

    // The socket is one that refuse_descriptors() and ask_for_senders() were called on; it outlives
    // this, as the dropper does, and nobody else receives from it.
    DatagramReceiver(int socket, Dropper& dropper);

    [[nodiscard]] int socket() const { return socket_; }
    // Whether packets may still carry descriptors.
    [[nodiscard]] bool looks_first() const { return descriptors_ != Descriptors::refused; }

    // What waits, at most so many (from 1) and no more than most_at_once. `unit`: its senders'
    // units are read at once, as of PeerQuestions. Waits for nothing but the dropper.
    Batch receive(std::size_t most, bool unit);

    static constexpr std::size_t most_at_once = 16;

  private:
    // What becomes of descriptors. Before the socket refused them some may have been sent to it:
    // until it was seen empty, each packet is looked at first.
    enum class Descriptors : std::uint8_t { refused, refused_from_now, dropped };

    // Place for one message to be received into.
    class Place;

    void ask_for_pidfds(bool wanted) const;
    [[nodiscard]] bool carries_descriptors() const;
    Batch receive_one(bool unit);
    Batch receive_many(std::size_t most, bool unit);
    [[nodiscard]] char* buffer(std::size_t number) const;

    int socket_;
    Dropper& dropper_;
    int highest_pinning_;  // descriptor
    Descriptors descriptors_;
    // For each of most_at_once one byte more than the longest packet has, with its terminator. Not
    // initialized: a page that no packet was long enough for takes no memory.
    std::unique_ptr<char[]> buffers_;
};

}  // namespace postern
