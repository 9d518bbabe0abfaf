#include "daemon/output/keeper/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/control_data.h"

namespace postern::output {
namespace {

std::string_view variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool is_for_us(const char* pid_variable) {
    return number(variable(pid_variable)) == static_cast<std::uint64_t>(::getpid());
}

}  // namespace

ServiceManager ServiceManager::connect() {
    const std::string_view path = variable("NOTIFY_SOCKET");
    sockaddr_un address{};
    // Absolute, or abstract: "@" stands for its NUL (sd_notify(3)).
    if (path.size() < 2 || path.size() >= sizeof address.sun_path ||
        (path.front() != '/' && path.front() != '@')) {
        return {};
    }
    address.sun_family = AF_UNIX;
    std::ranges::copy(path, std::begin(address.sun_path));
    if (path.front() == '@') address.sun_path[0] = '\0';
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    // How long the last messages wait for it.
    const timeval patience{5, 0};
    if (!socket ||
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
        ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0) {
        return {};
    }
    return ServiceManager(std::move(socket));
}

bool ServiceManager::send(std::string_view text, int descriptor, int flags) const {
    iovec data{const_cast<char*>(text.data()), text.size()};
    DescriptorSpace<1> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    put_descriptors(message, control.bytes,
                    std::span(&descriptor, descriptor < 0 ? std::size_t{0} : 1));
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | flags);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
}

bool ServiceManager::say(std::string_view text, int descriptor) const {
    return !socket_ || send(text, descriptor, MSG_DONTWAIT);
}

void ServiceManager::say_at_last(std::string_view text, int descriptor) const {
    if (socket_) (void)send(text, descriptor, 0);
}

std::optional<std::chrono::microseconds> watchdog_time() {
    const auto usec = number(variable("WATCHDOG_USEC"));
    if (!usec || *usec == 0) return std::nullopt;
    if (!variable("WATCHDOG_PID").empty() && !is_for_us("WATCHDOG_PID")) return std::nullopt;
    return std::chrono::microseconds(*usec / 2);
}

std::vector<Stored> stored_descriptors() {
    std::vector<Stored> stored;
    if (!is_for_us("LISTEN_PID")) return stored;
    constexpr int first = 3;
    const std::uint64_t count =
        std::min<std::uint64_t>(number(variable("LISTEN_FDS")).value_or(0), std::uint64_t{1} << 20);
    std::string_view names = variable("LISTEN_FDNAMES");
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::size_t end = std::min(names.find(':'), names.size());
        const int descriptor = first + static_cast<int>(i);
        (void)::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
        stored.push_back({std::string(names.substr(0, end)), UniqueFd(descriptor)});
        names.remove_prefix(std::min(end + 1, names.size()));
    }
    return stored;
}

}  // namespace postern::output
