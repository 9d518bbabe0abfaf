// What waits to be sent to a session, in a bounded queue: messages first, then the set of actions
// that its caller may run.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"

namespace postern {

class Outbox {
  public:
    // Null, or what is wrong: the message is too long, or the session reads too little.
    const char* add(channel::Bytes message, std::vector<UniqueFd> descriptors);

    // The set that this caller may run from now on, in the place of one that is still being sent.
    // It is too large for the queue, so one action goes at a time as there is room.
    const char* add_snapshot(policy::SnapshotPtr snapshot, const policy::Caller& caller,
                             const policy::Unit& unit);

    // As far as the channel takes it. `sent`: nothing is left. `progress` becomes true where any
    // was taken.
    channel::Sent flush(int channel, bool& progress);

    [[nodiscard]] bool empty() const { return queue_.empty() && !snapshot_; }
    void clear();

  private:
    struct Packet {
        channel::Bytes bytes;
        std::vector<UniqueFd> descriptors;
    };

    std::deque<Packet> queue_;
    std::size_t bytes_ = 0;
    std::size_t descriptors_ = 0;
    policy::SnapshotPtr snapshot_;
    std::vector<const policy::Action*> actions_;
    std::size_t sent_ = 0;
};

}  // namespace postern
