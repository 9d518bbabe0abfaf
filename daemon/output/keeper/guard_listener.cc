#include "daemon/output/keeper/guard_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace postern::output {

Result<GuardListener> GuardListener::create(const std::string& path) {
    const auto failed = [&path] { return fail(path + ": " + std::strerror(errno)); };
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return failed();
    }
    std::ranges::copy(path, std::begin(address.sun_path));
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket || (::unlink(path.c_str()) != 0 && errno != ENOENT)) return failed();
    constexpr mode_t mode = 0660;
    constexpr int backlog = 16;
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::chmod(path.c_str(), mode) != 0 || ::listen(socket.get(), backlog) != 0) {
        return failed();
    }
    return GuardListener(std::move(socket), ::geteuid());
}

Result<GuardListener::Accepted, int> GuardListener::accept() const {
    for (;;) {
        UniqueFd connection(
            ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!connection) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return Unexpected(errno);
        }
        ucred peer{};
        socklen_t length = sizeof peer;
        if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
            (peer.uid == 0 || peer.uid == own_uid_)) {
            return Accepted{std::move(connection), peer.pid};
        }
    }
}

}  // namespace postern::output
