#include "daemon/guard/service/service_notice.h"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace postern {
namespace {

constexpr std::chrono::milliseconds notice_retry_time{100};
constexpr std::size_t most_waiting = 64;
// Whatever WATCHDOG_USEC says, the loop has other things to do as well.
constexpr std::chrono::microseconds least_alive_time = std::chrono::milliseconds(1);

}  // namespace

ServiceNotice::ServiceNotice(sd_event* event)
    : retry_timer_(event, [this] { flush(); }), alive_timer_(event, [this] { say_alive(); }) {
    const char* variable = std::getenv("NOTIFY_SOCKET");
    const std::string_view path = variable == nullptr ? "" : variable;
    // Absolute, or abstract: "@" stands for its NUL (sd_notify(3)).
    if (path.size() < 2 || path.size() >= sizeof address_.sun_path ||
        (path.front() != '/' && path.front() != '@')) {
        if (variable != nullptr) {
            spdlog::warn(
                "NOTIFY_SOCKET={} is not the address of a Unix socket: the service "
                "manager is not notified",
                in_quotes(path));
        }
        return;
    }
    address_.sun_family = AF_UNIX;
    std::ranges::copy(path, std::begin(address_.sun_path));
    if (path.front() == '@') address_.sun_path[0] = '\0';
    address_length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// False: not now.
bool ServiceNotice::send(const std::string& text) {
    // Not connected: a manager that is started anew (daemon-reexec) may bind the path again.
    const ssize_t sent = ::sendto(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL,
                                  reinterpret_cast<const sockaddr*>(&address_), address_length_);
    if (sent >= 0) return true;
    const int error = errno;
    if (error == EAGAIN || error == ENOBUFS || error == EINTR) return false;
    if (!std::exchange(failed_, true)) {
        spdlog::warn(
            "NOTIFY_SOCKET={}: {}; the service manager is not told that the daemon is ready",
            std::getenv("NOTIFY_SOCKET"), std::strerror(error));
    }
    return true;
}

void ServiceNotice::flush() {
    while (!waiting_.empty()) {
        if (!send(waiting_.front())) break;
        waiting_.pop_front();
    }
    if (waiting_.empty() && status_ && send(*status_)) status_.reset();
    if (waiting_.empty() && !status_) return;
    (void)retry_timer_.arm(notice_retry_time);
}

void ServiceNotice::say(std::string text) {
    if (!socket_) return;
    // A manager that has not read so many has no use for the oldest.
    if (waiting_.size() >= most_waiting) waiting_.pop_front();
    waiting_.push_back(std::move(text));
    flush();
}

void ServiceNotice::say_status(std::string text) {
    if (!socket_) return;
    status_ = "STATUS=" + std::move(text);
    flush();
}

void ServiceNotice::keep_alive(std::function<void()> besides) {
    besides_ = std::move(besides);
    std::uint64_t usec = 0;
    const int watched = socket_ ? ::sd_watchdog_enabled(0, &usec) : 0;
    if (watched < 0) spdlog::warn("WATCHDOG_USEC or WATCHDOG_PID is not a number: no watchdog");
    if (watched <= 0) return;
    alive_time_ = std::max(std::chrono::microseconds(usec / 2), least_alive_time);
    say_alive();
}

void ServiceNotice::say_alive() {
    // One that could not be said is as good as the next one.
    static_cast<void>(send("WATCHDOG=1"));
    (void)alive_timer_.arm(alive_time_);
    besides_();
}

}  // namespace postern
