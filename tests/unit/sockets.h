// Sockets that a test talks through to what it tests.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    return ::sendmsg(socket, &message, flags);
}

}  // namespace postern
