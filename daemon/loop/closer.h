// Closes descriptors beside the loop, in a thread that nobody can make wait for long.
//
// Such a socket as ThreadInterrupt tells of can sit inside an unread message of a connection, and
// goes with it. Nothing that a stranger made is ever a descriptor of the guard itself, so that what
// can't be interrupted (the flush of a file on a hung FUSE) does not come to be waited for here.
#pragma once

#include <memory>

#include "base/unique_fd.h"

namespace postern {

class Closer {
  public:
    Closer();
    // Does not wait for what is not closed yet: it goes with the process, where nothing lingers.
    ~Closer();
    Closer(const Closer&) = delete;
    Closer& operator=(const Closer&) = delete;

    // One after the other, in order. One that lingers takes ThreadInterrupt::interval.
    void close(UniqueFd descriptor);

    // Descriptors that are not closed yet.
    [[nodiscard]] std::size_t pending() const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

// Each has a thread of its own, so that what strangers fill keeps nothing else from being closed.
struct Closers {
    Closer refused;  // connections that nobody serves
    Closer ours;     // copies of connections that were handed over, ends of channels
};

}  // namespace postern
