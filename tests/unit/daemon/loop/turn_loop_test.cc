// Turns in a real loop: they share it with everything else.
#include "daemon/loop/turn_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>

#include <algorithm>

#include "base/unique_fd.h"
#include "tests/unit/daemon/event_loop.h"

namespace postern {
namespace {

TEST(TurnLoop, GoesRoundOnlyWhileThereIsWork) {
    const EventLoop loop = make_event_loop();
    auto turns = TurnLoop::create(loop.get());
    ASSERT_TRUE(turns) << turns.error().message;
    EXPECT_EQ(sd_event_run(loop.get(), 0), 0);
    int left = 3;
    Turns::Task task((*turns)->turns(), 1000, [&left] { return Turns::Step{0, --left > 0}; });
    task.ready();
    EXPECT_EQ(sd_event_run(loop.get(), 0), 1);
    EXPECT_EQ(left, 0);
    EXPECT_EQ(sd_event_run(loop.get(), 0), 0);
}

TEST(TurnLoop, WhatIsAlwaysReadyTakesTurnsWithIt) {
    const EventLoop loop = make_event_loop();
    auto turns = TurnLoop::create(loop.get());
    ASSERT_TRUE(turns) << turns.error().message;
    int steps = 0;
    Turns::Task endless((*turns)->turns(), 1000, [&steps] {
        ++steps;
        return Turns::Step{Turns::turn_bytes, true};
    });
    endless.ready();
    const UniqueFd ready(eventfd(1, EFD_CLOEXEC));
    EventSource listener;
    int accepted = 0;
    // As many turns as the loop has had.
    ASSERT_EQ(
        add_io(loop.get(), listener, ready.get(), EPOLLIN, [&](std::uint32_t) { ++accepted; }), 0);
    for (int run = 0; run < 20; ++run) ASSERT_EQ(sd_event_run(loop.get(), 0), 1);
    EXPECT_EQ(accepted, 10);
    EXPECT_GT(steps, 0);
}

}  // namespace
}  // namespace postern
