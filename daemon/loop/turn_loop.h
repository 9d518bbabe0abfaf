// Turns, in the event loop: all that is ready is queued, and then served in turn by owner, in one
// turn of the loop. Between two runs the loop comes to all its other sources.
#pragma once

#include <systemd/sd-event.h>

#include <memory>

#include "base/result.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/ready_set.h"
#include "daemon/loop/turns.h"

namespace postern {

class TurnLoop {
  public:
    // Error: no descriptor to be had, or the loop takes no more sources.
    static Result<std::unique_ptr<TurnLoop>> create(sd_event* event);
    ~TurnLoop() = default;
    TurnLoop(const TurnLoop&) = delete;
    TurnLoop& operator=(const TurnLoop&) = delete;

    [[nodiscard]] Turns& turns() { return turns_; }
    // What sets turns going.
    [[nodiscard]] ReadySet& ready() { return *ready_; }

  private:
    explicit TurnLoop(sd_event* event);
    void run();
    void run_later();

    sd_event* event_;
    bool running_ = false;
    Turns turns_;
    std::unique_ptr<ReadySet> ready_;
    // There is work, which is done then. Made anew each time: one that is only enabled again counts
    // as the longest waiting of all, so that the loop would never come to another one.
    EventSource later_;
};

}  // namespace postern
