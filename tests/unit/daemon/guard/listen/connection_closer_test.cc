// Connections are closed, and what sits inside of them holds up nobody.
#include "daemon/guard/listen/connection_closer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "daemon/guard/listen/socket_options.h"
#include "tests/unit/daemon/droppers.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/daemon/hung_writer.h"
#include "tests/unit/sockets.h"

namespace postern {
namespace {

class ConnectionCloserTest : public testing::Test {
  protected:
    // Its peer is told when it is closed.
    static bool is_closed(const UniqueFd& peer) {
        pollfd ended{peer.get(), POLLIN, 0};
        return ::poll(&ended, 1, 50'000) == 1 && (ended.revents & POLLHUP) != 0;
    }
    void run_until_none_waits() {
        while (closer_.waiting() > 0) ASSERT_GE(sd_event_run(loop_.get(), UINT64_MAX), 0);
    }

    const Droppers droppers_;
    EventLoop loop_ = make_event_loop();
    ConnectionCloser closer_{loop_.get(), droppers_.source()};
};

TEST_F(ConnectionCloserTest, ClosesThem) {
    std::vector<UniqueFd> peers;
    for (int i = 0; i < 500; ++i) {
        SocketPair pair;
        closer_.close(std::move(pair.there));
        peers.push_back(std::move(pair.here));
    }
    run_until_none_waits();
    for (const UniqueFd& peer : peers) ASSERT_TRUE(is_closed(peer));
}

TEST_F(ConnectionCloserTest, ThoseThatCarryNothingAreClosedAtOnce) {
    SocketPair pair;
    refuse_descriptors(pair.there.get());
    if (!refuses_descriptors(pair.there.get())) GTEST_SKIP() << "needs Linux 6.16";
    closer_.close(std::move(pair.there));
    char byte = 0;
    EXPECT_EQ(::recv(pair.here.get(), &byte, 1, MSG_DONTWAIT), 0);
}

// The writer has the pipe's lock, and whoever closes the last descriptor of an end waits for it.
TEST_F(ConnectionCloserTest, APipeThatSomebodyWritesIntoHoldsUpNobody) {
    std::array<int, 2> ends{-1, -1};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    std::vector<UniqueFd> ours;
    for (const int end : ends) ours.emplace_back(end);
    const UniqueFd again(
        ::open(("/proc/self/fd/" + std::to_string(ends[1])).c_str(), O_WRONLY | O_CLOEXEC));
    HungWriter writer(again.get(), "x");
    ConnectionCloser pipes(loop_.get(), droppers_.source());
    pipes.close_pipes(std::move(ours));
    EXPECT_EQ(pipes.waiting(), 0U);
    SocketPair pair;
    closer_.close(std::move(pair.there));
    run_until_none_waits();
    EXPECT_TRUE(is_closed(pair.here));
}

TEST_F(ConnectionCloserTest, WhatLingersInsideHoldsUpNobody) {
    LingeringSockets lingering;
    std::vector<UniqueFd> peers;
    for (int connection = 0; connection < 20; ++connection) {
        SocketPair pair;
        for (int i = 0; i < 10; ++i) {
            const UniqueFd one = lingering.make();
            EXPECT_EQ(send_with(pair.here.get(), "x", std::array{one.get()}), 1);
        }
        closer_.refuse(std::move(pair.there));
        peers.push_back(std::move(pair.here));
    }
    for (const UniqueFd& peer : peers) ASSERT_TRUE(is_closed(peer));
    run_until_none_waits();
}

// Its peer learns at once that it is refused, whoever closes it when.
TEST_F(ConnectionCloserTest, WhereThereIsNoProcessTheyWait) {
    const UniqueFd none(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ConnectionCloser closer(loop_.get(), {droppers_.source().spawner, none.get()});
    SocketPair pair;
    closer.refuse(std::move(pair.there));
    EXPECT_EQ(closer.waiting(), 1U);
    EXPECT_TRUE(is_closed(pair.here));
}

}  // namespace
}  // namespace postern
