// Descriptors are closed beside the loop, also where closing one stands still.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "daemon/loop/closer.h"
#include "tests/unit/sockets.h"

namespace postern {
namespace {

TEST(Closer, ClosesAndIsNotHeldUpBySocketsThatLinger) {
    LingeringSockets lingering;
    Closer closer;
    constexpr int sockets = 100;
    for (int i = 0; i < sockets; ++i) closer.close(lingering.make());
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    UniqueFd reader(pipe[0]);
    closer.close(UniqueFd(pipe[1]));
    // The end of file says that it is closed, and so all before it.
    pollfd ended{reader.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&ended, 1, 50'000), 1);
    EXPECT_EQ(ended.revents & POLLHUP, POLLHUP);
    while (closer.pending() > 0) std::this_thread::yield();
}

// A message that carries them is dropped as a whole.
TEST(Closer, SocketsInAnUnreadMessage) {
    LingeringSockets lingering;
    SocketPair pair;
    for (int i = 0; i < 100; ++i) {
        const UniqueFd one = lingering.make();
        EXPECT_EQ(send_with(pair.there.get(), "x", std::array{one.get()}), 1);
    }
    pair.there.reset();
    Closer closer;
    closer.close(std::move(pair.here));
    while (closer.pending() > 0) std::this_thread::yield();
}

TEST(Closer, TakesManyAtOnce) {
    Closer closer;
    for (int i = 0; i < 10'000; ++i) closer.close(UniqueFd(::dup(2)));
    while (closer.pending() > 0) std::this_thread::yield();
    const int next = ::dup(2);
    EXPECT_LT(next, 100);
    ::close(next);
}

}  // namespace
}  // namespace postern
