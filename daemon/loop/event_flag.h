// A flag that the loop, or poll(2), can wait for: eventfd(2).
#pragma once

#include <sys/eventfd.h>

#include "base/unique_fd.h"

namespace postern {

class EventFlag {
  public:
    EventFlag() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

    // Whether there is one: errno says why there is not.
    explicit operator bool() const { return static_cast<bool>(event_); }
    // Readable while it is raised.
    [[nodiscard]] int descriptor() const { return event_.get(); }

    // Neither can fail: it takes 2^64 - 2 of these before one would block.
    void raise() const { (void)::eventfd_write(event_.get(), 1); }
    void lower() const {
        eventfd_t count = 0;
        (void)::eventfd_read(event_.get(), &count);
    }

  private:
    UniqueFd event_;
};

}  // namespace postern
