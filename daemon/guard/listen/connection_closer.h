// Closes connections of strangers. What they sent along sits inside the unread messages of a
// connection, and goes with it: where a connection may carry descriptors at all, another process
// has the last reference (daemon/loop/dropper.h).
#pragma once

#include <systemd/sd-event.h>

#include <cstddef>
#include <deque>

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

    // Those that there is no process for yet.
    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  private:
    void close_waiting();
    void tidy();

    Dropper dropper_;
    std::deque<UniqueFd> waiting_;
    Timer again_;
    Timer tidy_;
    bool tidies_ = false;  // it is armed
};

}  // namespace postern
