#include "ctl/text/output.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "base/utf8.h"

namespace postern::ctl {
namespace {

std::string stream_name(int fd) {
    return fd == STDERR_FILENO ? "standard error" : "standard output";
}

}  // namespace

Result<Written> write_all(int fd, std::string_view bytes, int interrupt) {
    while (!bytes.empty()) {
        std::array<pollfd, 2> watched = {pollfd{.fd = fd, .events = POLLOUT, .revents = 0},
                                         pollfd{.fd = interrupt, .events = POLLIN, .revents = 0}};
        if (poll(watched.data(), watched.size(), -1) < 0) {
            if (errno == EINTR) continue;
            return fail(stream_name(fd) + ": " + std::strerror(errno));
        }
        if (watched[1].revents != 0) return Written::interrupted;
        // A pipe that is writable takes PIPE_BUF bytes without blocking (pipe(7)): with more, a
        // reader that does not read would hold us here, deaf to Ctrl-C.
        const auto piece = bytes.substr(0, PIPE_BUF);
        const auto written = ::write(fd, piece.data(), piece.size());
        if (written >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno != EINTR && errno != EAGAIN) {
            return fail(stream_name(fd) + ": " + std::strerror(errno));
        }
    }
    return Written::all;
}

Status print(std::string_view text) {
    POSTERN_TRY(write_all(STDOUT_FILENO, text, -1));
    return {};
}

void complain(std::string_view message) {
    const auto line = "posternctl: " + printable(message) + "\n";
    (void)write_all(STDERR_FILENO, line, -1);
}

void prepare_standard_streams() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        // The wrong direction on purpose: using a stream that is closed stays an error. open()
        // takes the lowest free number, which is this one.
        (void)::open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
    }
    std::signal(SIGPIPE, SIG_DFL);  // NOLINT(cert-err33-c): it can't fail for SIGPIPE
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigprocmask(SIG_UNBLOCK, &pipe_signal, nullptr);
}

std::size_t terminal_width() {
    winsize size{};
    if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
    return size.ws_col;
}

}  // namespace postern::ctl
