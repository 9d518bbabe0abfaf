// Sources in the event loop (sd_event_source(3)), each with its owner and with what is done when it
// has something.
//
// What is done is a callable that goes with its source. It may let its own source go: it stays
// until it has returned.
#pragma once

#include <sys/signalfd.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace postern {

struct DisableSource {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
};
// Disabled and dropped when this goes: its callback is not called again.
using EventSource = std::unique_ptr<sd_event_source, DisableSource>;

struct UnrefEvent {
    void operator()(sd_event* event) const { sd_event_unref(event); }
};
using EventLoop = std::unique_ptr<sd_event, UnrefEvent>;

// Each of these makes a source, enabled, in the place of the one that `source` held. They return 0,
// or a negative errno: there is no memory, or the kernel takes no more descriptors to watch; then
// `source` is as it was.

// `what` gets the events of epoll_ctl(2) that happened.
int add_io(sd_event* event, EventSource& source, int fd, std::uint32_t events,
           std::function<void(std::uint32_t revents)> what);
// The signal must be blocked in every thread.
int add_signal(sd_event* event, EventSource& source, int signal,
               std::function<void(const signalfd_siginfo& info)> what);
// Called once, in the next turn of the loop; enable it again (SD_EVENT_ONESHOT) for another time.
int add_defer(sd_event* event, EventSource& source, std::function<void()> what);

// What is to be done from the loop soon: after all that waits already, and before what comes. It
// costs no system call.
//
// Not a defer source that is enabled again and again: one counts as waiting since it was made, and
// so longer than all others whenever it is enabled. Whoever caused that over and over would have
// the loop to itself.
class Soon {
  public:
    Soon(sd_event* event, std::function<void()> what);
    ~Soon() = default;
    Soon(const Soon&) = delete;
    Soon& operator=(const Soon&) = delete;

    // Once, however often it was asked for until then. It may let this go. Returns 0, or a negative
    // errno: there is no memory.
    int ask();

  private:
    sd_event* event_;  // the loop's owner outlives it
    std::shared_ptr<const std::function<void()>> what_;
    bool asked_ = false;
    EventSource source_;
};

// A timer that goes off once for each time that it is armed.
class Timer {
  public:
    // `accuracy`: by how much it may be late, so that the machine wakes up less often.
    Timer(sd_event* event, std::function<void()> what,
          std::chrono::microseconds accuracy = std::chrono::milliseconds(250));
    ~Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    // From now on, in the place of an earlier time. Returns 0, or a negative errno: there is no
    // memory, or the kernel has no timer left (one serves the whole loop).
    int arm(std::chrono::microseconds delay);
    void disarm();

  private:
    sd_event* event_;                                    // the loop's owner outlives it
    std::shared_ptr<const std::function<void()>> what_;  // may let the timer go that it is of
    std::chrono::microseconds accuracy_;
    EventSource source_;
};

}  // namespace postern
