// Closes what strangers can make stand still, through another process (daemon/loop/dropper.h):
// their connections, where those may carry descriptors at all, since what they sent along sits
// inside the unread messages of a connection and goes with it; and the pipes of jobs.
#pragma once

#include <systemd/sd-event.h>

#include <cstddef>
#include <deque>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/loop/dropper.h"
#include "daemon/loop/event_source.h"

namespace postern {

class ConnectionCloser {
  public:
    ConnectionCloser(sd_event* event, Dropper::Source source);
    ~ConnectionCloser() = default;
    ConnectionCloser(const ConnectionCloser&) = delete;
    ConnectionCloser& operator=(const ConnectionCloser&) = delete;

    // The guard's own copy of one that was handed over: the session may be done with it already.
    void close(UniqueFd connection);
    // One that nobody serves: its peer sees the end at once.
    void refuse(UniqueFd connection);
    // The guard's ends of pipes, of one job.
    void close_pipes(std::vector<UniqueFd> ends);

    // Those that there is no process for yet.
    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  private:
    void hand_over(std::vector<UniqueFd> descriptors);
    void close_waiting();
    void tidy();

    Dropper dropper_;
    // Each is closed as a whole.
    std::deque<std::vector<UniqueFd>> waiting_;
    Timer again_;
    Timer tidy_;
    bool tidies_ = false;  // it is armed
};

}  // namespace postern
