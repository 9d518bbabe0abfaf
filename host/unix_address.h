// A path as the address of a Unix socket.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

namespace postern {

// The terminating NUL needs a byte as well (unix(7)).
inline constexpr std::size_t longest_socket_path = sizeof(sockaddr_un::sun_path) - 1;

// Precondition: the path is at most that long.
inline sockaddr_un unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(static_cast<char*>(address.sun_path), path.data(), path.size());
    return address;
}

// As bind(2) and connect(2) take it.
inline const sockaddr* any_address(const sockaddr_un& address) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): that is the sockets interface
    return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace postern
