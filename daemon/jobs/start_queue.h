// The starts of jobs that wait for their turn (start_turns.h), in the loop: at most one begins in a
// turn of it, whoever supervises jobs.
//
// Nothing is recorded of one that waits, so none is left behind by a guard that dies: its caller
// has had no answer yet, and calls again.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "daemon/jobs/start_turns.h"

namespace postern::jobs {

// A place among those that are under way: free again when the last copy of this goes. May outlive
// its queue.
using StartPlace = std::shared_ptr<const void>;

class StartQueue {
  public:
    using Ticket = StartTurns::Id;
    enum class Refusal : std::uint8_t {
        rate,       // its owner starts too many
        busy,       // no turn within the time: those of others, or of its owner, take too long
        held,       // no turn within the time: nothing could be started
        closing,    // close()
        cancelled,  // cancel()
    };
    // What is called, from the loop and one of them once, and then let go.
    struct Start {
        std::function<void(StartPlace place)> begin;
        std::function<void(Refusal why)> refuse;
    };

    // `may_begin`: as long as it says no nobody's turn comes; it is asked again and again while
    // somebody waits, and at once after wake().
    StartQueue(sd_event* event, const StartRules& rules, std::function<bool()> may_begin);
    // Refuses nobody: those who wait are let go.
    ~StartQueue();
    StartQueue(const StartQueue&) = delete;
    StartQueue& operator=(const StartQueue&) = delete;

    // Never calls back. Precondition: not closed.
    Ticket add(uid_t owner, Start start);
    // Whether one more of this owner would not have to wait for the rate of his starts.
    [[nodiscard]] bool within_rate(uid_t owner) const;
    // Waits no more, and is let go. No effect on one that has begun.
    void remove(Ticket ticket);
    // Those that wait.
    [[nodiscard]] std::size_t waiting() const;
    [[nodiscard]] std::size_t waiting(uid_t owner) const;
    void wake();
    // Refuses those of these owners, at once.
    void cancel(const std::function<bool(uid_t owner)>& of);
    // Refuses those that wait, at once; nothing may be added any more.
    void close();
    [[nodiscard]] bool closed() const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::jobs
