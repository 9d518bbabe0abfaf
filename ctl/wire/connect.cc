#include "ctl/wire/connect.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ctl/wire/connect_error.h"
#include "ctl/wire/connect_facts.h"
#include "host/unix_address.h"

namespace postern::ctl {
namespace {

using Clock = std::chrono::steady_clock;

timeval to_timeval(std::chrono::milliseconds time) {
    // Zero would be no bound at all (socket(7), SO_SNDTIMEO).
    const auto usec = std::max<std::int64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(time).count(), 1000);
    return {.tv_sec = static_cast<time_t>(usec / 1'000'000),
            .tv_usec = static_cast<suseconds_t>(usec % 1'000'000)};
}

}  // namespace

Result<UniqueFd> connect_to(const std::string& path, std::chrono::milliseconds patience) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return fail(path + ": can't create a socket: " + std::strerror(errno));

    const auto address = unix_address(path);
    // A non-blocking connect would fail with EAGAIN where the daemon's queue is full at this very
    // moment, and nothing says when to try again. A blocking one waits, at most SO_SNDTIMEO.
    const auto deadline = Clock::now() + patience;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            std::max(deadline - Clock::now(), Clock::duration::zero()));
        const auto time = to_timeval(left);
        if (setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) != 0) break;
        if (::connect(socket.get(), any_address(address), sizeof address) == 0) return socket;
        // A Unix socket whose connect was interrupted is as it was before.
        if (errno != EINTR) break;
    }
    const int error = errno;
    return fail(connect_error(look_at(path, error), patience));
}

}  // namespace postern::ctl
