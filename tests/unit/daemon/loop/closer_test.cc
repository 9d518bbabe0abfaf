// Descriptors are closed beside the loop, also where closing one stands still.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

#include "daemon/loop/closer.h"
#include "tests/unit/sockets.h"

namespace postern {
namespace {

// Its close() waits for this many seconds: SO_LINGER and data that the peer does not take.
UniqueFd lingering_socket(const UniqueFd& listener, const sockaddr_in& address, int seconds) {
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0)
        << listener.get();
    std::vector<char> data(1 << 20);
    while (::send(client.get(), data.data(), data.size(), MSG_DONTWAIT) > 0) {
    }
    const linger wait{1, seconds};
    EXPECT_EQ(::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &wait, sizeof wait), 0);
    return client;
}

// Takes connections, and nothing that comes in by them.
struct Listening {
    UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    Listening() {
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(::bind(socket.get(), any, sizeof address), 0);
        EXPECT_EQ(::listen(socket.get(), 128), 0);
        EXPECT_EQ(::getsockname(socket.get(), any, &length), 0);
    }
};

TEST(Closer, ClosesAndIsNotHeldUpBySocketsThatLinger) {
    Listening listening;
    Closer closer;
    constexpr int sockets = 100;
    for (int i = 0; i < sockets; ++i)
        closer.close(lingering_socket(listening.socket, listening.address, 3600));
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
    Listening listening;
    SocketPair pair;
    for (int i = 0; i < 100; ++i) {
        const UniqueFd one = lingering_socket(listening.socket, listening.address, 3600);
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
