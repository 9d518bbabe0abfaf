// The session's end of the channel to the guard: messages out without ever blocking, packets in.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <optional>

#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"

namespace postern::session {

class GuardLink {
  public:
    explicit GuardLink(UniqueFd channel) : channel_(std::move(channel)) {}

    [[nodiscard]] int fd() const { return channel_.get(); }

    // Sends now, or keeps the message until the guard reads.
    void send(const channel::Envelope<channel::ToGuard>& message);

    // What becomes of connections and packets is gathered, and sent with one message for many:
    // before the next other one, and by send_gathered() at the end of a step.
    void accepted(channel::ConnectionId id);
    void closed(channel::ConnectionId id, channel::CloseCause cause);
    void replied(channel::Reply reply);
    void send_gathered();

    // Sends what waits, as far as the guard takes it.
    void flush();

    // Messages wait: flush() when the channel is writable.
    [[nodiscard]] bool waiting() const { return !queue_.empty(); }

    // So much waits that no new call may be begun. What pending calls still have to say is
    // small, and there is one for each connection at most.
    [[nodiscard]] bool clogged() const { return queued_bytes_ > clogged_bytes; }

    // It was clogged at some time since the last call, however briefly, and is not any more:
    // whoever found it so has to try again.
    bool relieved();

    // The guard is gone.
    [[nodiscard]] bool ended() const { return ended_; }
    void end() { ended_ = true; }

    // Never blocks. As Receiver::receive_two().
    std::array<channel::Received, 2> receive_two() { return receiver_.receive_two(channel_.get()); }

    static constexpr std::size_t clogged_bytes = std::size_t{512} * 1024;

  private:
    UniqueFd channel_;
    void put(const channel::Envelope<channel::ToGuard>& message);

    channel::Receiver receiver_{channel::Descriptors::taken};
    channel::Accepted accepted_;
    channel::Closed closed_;
    channel::Replies replies_;
    std::size_t reply_bytes_ = 0;  // in them
    std::deque<channel::Bytes> queue_;
    std::size_t queued_bytes_ = 0;
    bool was_clogged_ = false;
    bool ended_ = false;
};

}  // namespace postern::session
