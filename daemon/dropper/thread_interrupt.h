// A thread that strangers can make wait in the kernel is interrupted there.
//
// Whoever drops the last reference to a TCP socket with SO_LINGER and unsent data waits for as long
// as whoever made the socket chose, be it in close(2) or on the way out of recvmsg(2). That wait
// ends when a signal is pending (sk_stream_wait_close() in net/core/stream.c); however many such
// sockets go at once, the same signal ends the wait for each of them.
#pragma once

#include <chrono>
#include <memory>

#include "base/result.h"

namespace postern {

class ThreadInterrupt {
  public:
    // For the calling thread, which keeps it to itself. Error: there is no timer to be had
    // (timer_create(2), RLIMIT_SIGPENDING).
    static Result<ThreadInterrupt> create();

    // From now on a signal comes to it every `interval`, SIGURG, whose handler does nothing.
    void arm();
    void disarm();

    static constexpr std::chrono::microseconds interval{500};

  private:
    struct DeleteTimer {
        void operator()(void* timer) const;
    };
    explicit ThreadInterrupt(void* timer) : timer_(timer) {}
    void set(std::chrono::microseconds every);

    std::unique_ptr<void, DeleteTimer> timer_;  // timer_t is a pointer
};

}  // namespace postern
