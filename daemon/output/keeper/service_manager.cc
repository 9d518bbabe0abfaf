#include "daemon/output/keeper/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "daemon/channel/transport.h"

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
    if (!socket ||
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
        return {};
    }
    return ServiceManager(std::move(socket));
}

bool ServiceManager::say(std::string_view text, int descriptor) const {
    if (!socket_) return true;
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    return channel::send_packet(socket_.get(), bytes,
                                std::span(&descriptor, descriptor < 0 ? std::size_t{0} : 1)) ==
           channel::Sent::sent;
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
