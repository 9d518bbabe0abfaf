// The owner of one source in the event loop (sd_event_source(3)).
#pragma once

#include <systemd/sd-event.h>

#include <memory>

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

// Arms a one-shot timer `delay` microseconds from now (CLOCK_MONOTONIC), making the source the
// first time. Returns a negative errno where the kernel has no timer left.
inline int arm_timer(sd_event* event, EventSource& timer, std::uint64_t delay,
                     sd_event_time_handler_t handler, void* userdata) {
    if (timer) {
        if (const int r = sd_event_source_set_time_relative(timer.get(), delay); r < 0) return r;
        return sd_event_source_set_enabled(timer.get(), SD_EVENT_ONESHOT);
    }
    sd_event_source* source = nullptr;
    const int r =
        sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, delay, 0, handler, userdata);
    if (r < 0) return r;
    timer.reset(source);
    return 0;
}

}  // namespace postern
