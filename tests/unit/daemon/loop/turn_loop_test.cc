// Turns in a real loop: they share it with everything else.
#include "daemon/loop/turn_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/loop/event_flag.h"
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

// Else the first of one owner would be served, over and over, before another is even known.
TEST(TurnLoop, AllThatIsReadyIsQueuedBeforeAnybodyIsServed) {
    const EventLoop loop = make_event_loop();
    auto turns = TurnLoop::create(loop.get());
    ASSERT_TRUE(turns) << turns.error().message;
    std::vector<std::string> story;
    const auto tell = [&](const char* what) {
        story.emplace_back(what);
        return Turns::Step{};
    };
    Turns::Task one((*turns)->turns(), 1000, [&] { return tell("one"); });
    Turns::Task other((*turns)->turns(), 1001, [&] { return tell("other"); });
    const EventFlag flags[2];
    ReadySet::Source sources[2];
    int number = 0;
    for (Turns::Task* const task : {&one, &other}) {
        const EventFlag& flag = flags[number];
        flag.raise();
        ASSERT_EQ((*turns)->ready().add(sources[number++], flag.descriptor(), EPOLLIN | EPOLLET,
                                        [&story, task](std::uint32_t) {
                                            story.emplace_back("ready");
                                            task->ready();
                                        }),
                  0);
    }
    EXPECT_EQ(sd_event_run(loop.get(), 0), 1);
    ASSERT_EQ(story.size(), 4U);
    EXPECT_EQ(story[0] + story[1], "readyready");
    EXPECT_EQ(sd_event_run(loop.get(), 0), 0) << "nothing is left to wake up for";
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
