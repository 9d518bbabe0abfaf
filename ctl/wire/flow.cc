#include "ctl/wire/flow.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace postern::ctl {
namespace {

constexpr std::size_t piece_bytes = std::size_t{64} * 1024;

bool returns_at_once(int fd) {
    struct stat status{};
    if (fstat(fd, &status) != 0) return false;
    return S_ISREG(status.st_mode) || (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

// What splice(2) can be told not to wait for, or what never lets wait: /dev/null.
bool can_be_spliced(int fd) {
    struct stat status{};
    if (fstat(fd, &status) != 0) return false;
    return S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode) ||
           (S_ISCHR(status.st_mode) && isatty(fd) == 0);
}

}  // namespace

Flow::Flow(int from, int to)
    : from_(from),
      to_(to),
      splices_(can_be_spliced(from) && can_be_spliced(to)),
      whole_(returns_at_once(to)) {}

std::array<pollfd, 2> Flow::watched() const {
    const bool wants_input = !from_ready_ && held_.empty();
    return {pollfd{.fd = wants_input ? from_ : -1, .events = POLLIN, .revents = 0},
            pollfd{.fd = !to_ready_ && !sink_ ? to_ : -1, .events = POLLOUT, .revents = 0}};
}

void Flow::seen(std::span<const pollfd> watched) {
    if (watched[0].revents != 0 || !held_.empty()) from_ready_ = true;
    if (watched[1].revents != 0 || sink_) to_ready_ = true;
}

Flow::Moved Flow::failed(int error, bool reading) {
    error_ = error;
    read_failed_ = reading;
    return Moved::failed;
}

Flow::Moved Flow::move(std::size_t most) {
    if (splices_) return splice_some(most);
    if (held_.empty()) {
        const auto moved = read_some(std::min(most, piece_bytes));
        if (moved != Moved::some || held_.empty()) return moved;
    }
    return write_some();
}

Flow::Moved Flow::splice_some(std::size_t most) {
    const auto moved =
        ::splice(from_, nullptr, to_, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    const int error = moved < 0 ? errno : 0;
    if (moved == 0) return Moved::end;
    if (moved > 0) {
        taken_ += static_cast<std::uint64_t>(moved);
        // Most likely all that there was: to be told so would cost a call more.
        from_ready_ = false;
    } else if (error == EAGAIN) {
        from_ready_ = to_ready_ = false;
    } else if (error == EINVAL) {
        // Appended to, or not of a kind that can.
        splices_ = false;
    } else if (error != EINTR) {
        return failed(error, false);
    }
    return Moved::some;
}

Flow::Moved Flow::read_some(std::size_t most) {
    from_ready_ = false;
    held_.resize(most);
    const auto got = ::read(from_, held_.data(), most);
    held_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (got == 0) return Moved::end;
    taken_ += held_.size();
    if (got < 0 && errno != EINTR && errno != EAGAIN) return failed(errno, true);
    return Moved::some;
}

Flow::Moved Flow::write_some() {
    if (sink_) {
        const int error = sink_(held_);
        held_.clear();
        return error == 0 ? Moved::some : failed(error, false);
    }
    to_ready_ = false;
    // A pipe that is writable takes PIPE_BUF bytes without blocking (pipe(7)).
    const auto piece = std::string_view(held_).substr(0, whole_ ? held_.size() : PIPE_BUF);
    const auto written = ::write(to_, piece.data(), piece.size());
    if (written < 0 && errno != EINTR && errno != EAGAIN) return failed(errno, false);
    if (written > 0) held_.erase(0, static_cast<std::size_t>(written));
    return Moved::some;
}

}  // namespace postern::ctl
