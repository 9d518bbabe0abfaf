#include "daemon/loop/event_source.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>

#include "base/unique_fd.h"
#include "tests/unit/daemon/event_loop.h"

namespace postern {
namespace {

using std::chrono::microseconds;

// One turn, without waiting.
void turn(const EventLoop& loop) {
    ASSERT_GE(sd_event_run(loop.get(), 0), 0);
}

TEST(EventSource, IoMayLetItselfGo) {
    const EventLoop loop = make_event_loop();
    const UniqueFd counter(eventfd(1, EFD_CLOEXEC));
    EventSource source;
    const auto alive = std::make_shared<int>(0);
    ASSERT_EQ(add_io(loop.get(), source, counter.get(), EPOLLIN,
                     [&source, alive](std::uint32_t revents) {
                         EXPECT_EQ(revents, std::uint32_t{EPOLLIN});
                         source.reset();
                         ++*alive;  // what was captured is still there
                     }),
              0);
    turn(loop);
    turn(loop);
    EXPECT_EQ(*alive, 1);
    EXPECT_EQ(alive.use_count(), 1);
}

TEST(EventSource, WhatFailsLeavesTheOldSource) {
    const EventLoop loop = make_event_loop();
    const UniqueFd counter(eventfd(1, EFD_CLOEXEC));
    EventSource source;
    int called = 0;
    ASSERT_EQ(add_io(loop.get(), source, counter.get(), EPOLLIN, [&](std::uint32_t) { ++called; }),
              0);
    EXPECT_LT(add_io(loop.get(), source, -1, EPOLLIN, [](std::uint32_t) {}), 0);
    turn(loop);
    EXPECT_EQ(called, 1);
}

TEST(EventSource, DeferIsCalledOnceForEachTime) {
    const EventLoop loop = make_event_loop();
    EventSource source;
    int called = 0;
    ASSERT_EQ(add_defer(loop.get(), source, [&] { ++called; }), 0);
    turn(loop);
    turn(loop);
    EXPECT_EQ(called, 1);
    sd_event_source_set_enabled(source.get(), SD_EVENT_ONESHOT);
    turn(loop);
    EXPECT_EQ(called, 2);
}

TEST(EventSource, ASignalSaysWhich) {
    sigset_t blocked;
    sigset_t before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
    {
        const EventLoop loop = make_event_loop();
        EventSource source;
        int came = 0;
        ASSERT_EQ(add_signal(loop.get(), source, SIGUSR2,
                             [&](const signalfd_siginfo& info) {
                                 came = static_cast<int>(info.ssi_signo);
                             }),
                  0);
        raise(SIGUSR2);
        turn(loop);
        EXPECT_EQ(came, SIGUSR2);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(Timer, GoesOffOnceForEachTimeThatItIsArmed) {
    const EventLoop loop = make_event_loop();
    int called = 0;
    Timer timer(loop.get(), [&] { ++called; }, microseconds(1));
    turn(loop);
    EXPECT_EQ(called, 0);
    ASSERT_EQ(timer.arm(microseconds(0)), 0);
    turn(loop);
    turn(loop);
    EXPECT_EQ(called, 1);
    ASSERT_EQ(timer.arm(microseconds(0)), 0);
    timer.disarm();
    turn(loop);
    EXPECT_EQ(called, 1);
    ASSERT_EQ(timer.arm(microseconds(0)), 0);
    turn(loop);
    EXPECT_EQ(called, 2);
}

TEST(Timer, MayLetItselfGo) {
    const EventLoop loop = make_event_loop();
    const auto alive = std::make_shared<int>(0);
    std::optional<Timer> timer;
    timer.emplace(
        loop.get(),
        [&timer, alive] {
            timer.reset();
            ++*alive;
        },
        microseconds(1));
    ASSERT_EQ(timer->arm(microseconds(0)), 0);
    turn(loop);
    EXPECT_EQ(*alive, 1);
    EXPECT_EQ(alive.use_count(), 1);
}

TEST(Soon, IsDoneOnceFromTheLoopHoweverOftenItWasAskedFor) {
    const EventLoop loop = make_event_loop();
    int called = 0;
    Soon soon(loop.get(), [&] { ++called; });
    for (int round = 1; round <= 3; ++round) {
        EXPECT_EQ(soon.ask(), 0);
        EXPECT_EQ(soon.ask(), 0);
        EXPECT_EQ(called, round - 1);
        turn(loop);
        turn(loop);
        EXPECT_EQ(called, round);
    }
}

TEST(Soon, MayAskAgainAndMayLetItselfGo) {
    const EventLoop loop = make_event_loop();
    int called = 0;
    std::optional<Soon> soon;
    soon.emplace(loop.get(), [&] {
        if (++called < 3) {
            EXPECT_EQ(soon->ask(), 0);
        } else {
            soon.reset();
        }
    });
    EXPECT_EQ(soon->ask(), 0);
    for (int i = 0; i < 5; ++i) turn(loop);
    EXPECT_EQ(called, 3);
    EXPECT_FALSE(soon);
}

// What asks again and again does not have the loop to itself.
TEST(Soon, ComesAfterWhatWaitsAlready) {
    const EventLoop loop = make_event_loop();
    const UniqueFd counter(eventfd(1, EFD_CLOEXEC));
    int others = 0;
    EventSource other;  // has something all the time
    ASSERT_EQ(add_io(loop.get(), other, counter.get(), EPOLLIN, [&](std::uint32_t) { ++others; }),
              0);
    int called = 0;
    std::optional<Soon> soon;
    soon.emplace(loop.get(), [&] {
        ++called;
        EXPECT_EQ(soon->ask(), 0);
    });
    EXPECT_EQ(soon->ask(), 0);
    constexpr int turns = 60;
    for (int i = 0; i < turns; ++i) turn(loop);
    EXPECT_GE(others, turns / 3);
    EXPECT_GE(called, turns / 3);
}

}  // namespace
}  // namespace postern
