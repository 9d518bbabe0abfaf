// A connection of sd-bus in the loop. sd-event's own source for one reads one message a turn; this
// one reads all that have come.
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class BusSource {
  public:
    // Both outlive it.
    BusSource(sd_event* event, sd_bus* bus);
    ~BusSource() = default;
    BusSource(const BusSource&) = delete;
    BusSource& operator=(const BusSource&) = delete;

    // 0, or a negative errno.
    int start();
    // After a call: for the time of its answer, and for what could not be written at once.
    void sent();

  private:
    void process();
    void arrange();

    sd_event* event_;
    sd_bus* bus_;
    UniqueFd socket_;  // a duplicate: sd-bus closes its own before it says so
    EventSource readable_;
    std::uint32_t watched_ = 0;
    Timer timer_;
    std::optional<std::uint64_t> due_usec_;  // CLOCK_MONOTONIC: when the timer goes off
};

}  // namespace postern::jobs
