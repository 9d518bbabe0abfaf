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

TEST(Closer, ClosesAndIsNotHeldUpByASocketThatLingers) {
    UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener.get(), 8), 0);
    socklen_t length = sizeof address;
    ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);

    Closer closer;
    closer.close(lingering_socket(listener, address, 3600));
    closer.close(lingering_socket(listener, address, 3600));
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    UniqueFd reader(pipe[0]);
    closer.close(UniqueFd(pipe[1]));
    // The end of file says that the third is closed, while the first two stand still.
    pollfd ended{reader.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&ended, 1, 50'000), 1);
    EXPECT_EQ(ended.revents & POLLHUP, POLLHUP);
    // It is counted as closed only after its close() has returned.
    while (closer.pending() > 2) std::this_thread::yield();
    EXPECT_EQ(closer.pending(), 2U);
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
