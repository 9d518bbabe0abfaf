// Turns, in the event loop: one source that is as ready as any other while somebody has something
// to do. Between two runs the loop comes to all its other sources.
#pragma once

#include <systemd/sd-event.h>

#include <memory>

#include "base/result.h"
#include "daemon/loop/event_flag.h"
#include "daemon/loop/event_source.h"
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

  private:
    TurnLoop();
    void run();

    // Readable while there is work. Not a defer source: those count as the longest waiting of all
    // whenever they are enabled, so that the loop would never come to another one.
    EventFlag work_;
    Turns turns_;
    EventSource source_;
};

}  // namespace postern
