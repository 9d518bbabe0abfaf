#include "daemon/guard/listen/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "daemon/guard/listen/socket_options.h"

namespace postern {
namespace {

std::optional<int> socket_option(int socket, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    if (::getsockopt(socket, SOL_SOCKET, option, &value, &length) != 0) return std::nullopt;
    return value;
}

std::string bound_path(int socket) {
    sockaddr_un address{};
    socklen_t length = sizeof address;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
        length <= offsetof(sockaddr_un, sun_path) || address.sun_path[0] != '/') {
        return {};
    }
    return {address.sun_path,
            ::strnlen(address.sun_path, length - offsetof(sockaddr_un, sun_path))};
}

constexpr std::string_view administrator_name = "postern-admin";
constexpr std::string_view datagram_name = "postern-datagram";

// Empty: it is one. Else what it is.
std::string not_datagram(int fd) {
    if (socket_option(fd, SO_TYPE) != SOCK_DGRAM) {
        return "not a datagram socket; use ListenDatagram=";
    }
    if (!ask_for_senders(fd)) return std::strerror(errno);
    return {};
}

std::string not_stream(int fd) {
    if (socket_option(fd, SO_TYPE) != SOCK_STREAM) {
        return "not a stream socket; use ListenStream=";
    }
    if (socket_option(fd, SO_ACCEPTCONN) != 1) {
        return "not listening; use ListenStream= with Accept=no";
    }
    ask_for_bytes_alone(fd);
    return {};
}

}  // namespace

Result<Listener> check_listener(UniqueFd socket, std::string_view name) {
    const int fd = socket.get();
    const std::string who = "passed descriptor " + std::to_string(fd) + " (\"" + std::string(name) +
                            "\") is refused: it is ";
    const bool datagram = name == datagram_name;
    const auto domain = socket_option(fd, SO_DOMAIN);
    if (!domain) {
        return fail(who + (errno == ENOTSOCK ? "not a socket" : std::strerror(errno)));
    }
    if (*domain != AF_UNIX) {
        return fail(who + "not a Unix socket; give " +
                    (datagram ? "ListenDatagram=" : "ListenStream=") + " an absolute path");
    }
    const std::string misfit = datagram ? not_datagram(fd) : not_stream(fd);
    if (!misfit.empty()) return fail(who + misfit);
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return fail(who + std::strerror(errno));
    }
    refuse_descriptors(fd);
    Listener listener;
    listener.name = bound_path(fd);
    if (listener.name.empty()) {
        listener.name = name;
    } else {
        listener.file = std::make_shared<SocketFile>(listener.name);
    }
    listener.socket = std::move(socket);
    listener.datagram = datagram;
    return listener;
}

Result<std::vector<Listener>> passed_listeners() {
    char** raw_names = nullptr;
    const int count = sd_listen_fds_with_names(1, &raw_names);
    if (count < 0) return fail(std::string("sd_listen_fds: ") + std::strerror(-count));
    std::vector<std::string> names;
    for (char** name = raw_names; name != nullptr && *name != nullptr; ++name) {
        names.emplace_back(*name);
        std::free(*name);  // sd_listen_fds_with_names(3): the caller frees strings and array
    }
    std::free(raw_names);
    std::vector<Listener> listeners;
    for (int i = 0; i < count; ++i) {
        const auto index = static_cast<std::size_t>(i);
        POSTERN_TRY(auto listener, check_listener(UniqueFd(SD_LISTEN_FDS_START + i),
                                                  index < names.size() ? names[index] : "unknown"));
        listener.administrator = index < names.size() && names[index] == administrator_name;
        listeners.push_back(std::move(listener));
    }
    return listeners;
}

Result<Listener> bind_listener(const BindOptions& options) {
    POSTERN_TRY(auto bound, bind_socket(options));
    Listener listener;
    listener.name = options.path;
    listener.socket = std::move(bound.socket);
    listener.file = std::move(bound.file);
    listener.datagram = options.datagram;
    return listener;
}

}  // namespace postern
