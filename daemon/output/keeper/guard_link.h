// The channel to the guard: what it says, and what is said to it, without ever waiting for it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/channel/transport.h"
#include "daemon/output/message.h"

namespace postern::output {

class GuardLink {
  public:
    // `process`: whose it is, where that is known.
    explicit GuardLink(UniqueFd channel, pid_t process = 0)
        : channel_(std::move(channel)), process_(process) {}

    [[nodiscard]] int descriptor() const { return channel_.get(); }
    [[nodiscard]] pid_t process() const { return process_; }
    // Somebody has the other end. If not, what was said before may still wait to be heard.
    [[nodiscard]] bool is_alive() const;

    enum class Heard : std::uint8_t {
        message,
        nothing,
        ended,
        wrong,  // what came is not exactly right
    };
    struct Hearing {
        Heard what = Heard::nothing;
        Message message;
        std::vector<UniqueFd> descriptors;  // as many as the message may have
    };
    Hearing hear();

    // At once or not at all. The descriptors stay the caller's.
    channel::Sent send(const Message& message, std::span<const int> descriptors);
    // In its turn.
    void queue(const Message& message) { waiting_.push_back(message); }
    // Sends what waits.
    channel::Sent flush();

    // A guard that does not read is not heard until it does. So what waits for it is bounded:
    // answers to its own messages, and one or two messages for each stream.
    [[nodiscard]] bool is_heard() const { return waiting_.size() < most_waiting; }
    static constexpr std::size_t most_waiting = 1024;

  private:
    UniqueFd channel_;
    pid_t process_;
    std::deque<Message> waiting_;
    channel::Receiver receiver_{channel::Descriptors::taken};
};

}  // namespace postern::output
