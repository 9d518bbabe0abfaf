// The loop that a test runs itself.
#pragma once

#include <gtest/gtest.h>
#include <systemd/sd-event.h>

#include "daemon/loop/event_source.h"

namespace postern {

inline EventLoop make_event_loop() {
    sd_event* event = nullptr;
    EXPECT_GE(sd_event_new(&event), 0);
    return EventLoop(event);
}

}  // namespace postern
