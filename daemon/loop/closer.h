// Closes descriptors beside the loop.
//
// Whoever drops the last reference to a TCP socket with SO_LINGER and unsent data stands still in
// close(2) for as long as whoever made the socket chose. Such a socket can sit inside an unread
// message of a connection or a channel, so the loop never closes what came from outside: it hands
// it to these threads. More are started while those that there are stand still, up to a bound.
#pragma once

#include <memory>

#include "base/unique_fd.h"

namespace postern {

class Closer {
  public:
    Closer();
    // Does not wait for descriptors that are being closed; those that are queued go with the
    // process.
    ~Closer();
    Closer(const Closer&) = delete;
    Closer& operator=(const Closer&) = delete;

    void close(UniqueFd descriptor);

    // Descriptors that are not closed yet.
    [[nodiscard]] std::size_t pending() const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern
