// Sockets that a test talks through to what it tests.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/control_data.h"
#include "base/unique_fd.h"
#include "host/unix_address.h"

namespace postern {

// Two stream sockets that are connected with one another.
struct SocketPair {
    SocketPair() {
        std::array<int, 2> ends{-1, -1};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        here.reset(ends[0]);
        there.reset(ends[1]);
    }
    UniqueFd here;
    UniqueFd there;
};

// A socket with this path for its address. `type`: SOCK_STREAM or SOCK_DGRAM, with flags.
inline UniqueFd socket_at(const std::string& path, int type) {
    UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_LE(path.size(), longest_socket_path) << path;
    const sockaddr_un address = unix_address(path.substr(0, longest_socket_path));
    EXPECT_EQ(::bind(socket.get(), any_address(address), sizeof address), 0)
        << path << ": " << std::strerror(errno);
    return socket;
}

// Sockets whose last close stands still: for an hour, or until a signal comes (SO_LINGER, and data
// that the peer does not take).
class LingeringSockets {
  public:
    LingeringSockets() {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address_;
        EXPECT_EQ(::bind(peer_.get(), address(), sizeof address_), 0);
        EXPECT_EQ(::listen(peer_.get(), 1024), 0);
        EXPECT_EQ(::getsockname(peer_.get(), address(), &length), 0);
    }
    UniqueFd make() {
        UniqueFd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::connect(made.get(), address(), sizeof address_), 0);
        const std::vector<char> data(1 << 20);
        while (::send(made.get(), data.data(), data.size(), MSG_DONTWAIT) > 0) {
        }
        const linger wait{1, 3600};
        EXPECT_EQ(::setsockopt(made.get(), SOL_SOCKET, SO_LINGER, &wait, sizeof wait), 0);
        return made;
    }

  private:
    sockaddr* address() { return reinterpret_cast<sockaddr*>(&address_); }

    UniqueFd peer_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address_{};
};

// sendmsg(2) of these bytes with these descriptors, to `to` or to whom the socket is connected
// with.
inline ssize_t send_with(int socket, std::string_view bytes, std::span<const int> descriptors,
                         int flags = 0, const sockaddr_un* to = nullptr, socklen_t to_length = 0) {
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    std::vector<char> control(CMSG_SPACE(descriptors.size_bytes()));
    msghdr message{};
    message.msg_name = const_cast<sockaddr_un*>(to);
    message.msg_namelen = to_length;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    put_descriptors(message, control, descriptors);
    return ::sendmsg(socket, &message, flags);
}

}  // namespace postern
