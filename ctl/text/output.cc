#include "ctl/text/output.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "ctl/text/text.h"

namespace postern::ctl {
namespace {

std::string stream_name(int fd) {
    return fd == STDERR_FILENO ? "standard error" : "standard output";
}

// How much may be given to write(2) at once. A reader that does not read would hold us in it, deaf
// to Ctrl-C: a pipe that is writable takes PIPE_BUF bytes without blocking (pipe(7)). For files
// there is no reader.
struct Writing {
    std::size_t most = PIPE_BUF;
    bool without_waiting = false;  // pwritev2(2) can do that
    bool terminal = false;
    bool in_line = false;  // of a terminal: what was written last has not ended its line
};

Writing writing_to(int fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) return {};
    constexpr std::size_t piece = std::size_t{1} << 20;
    if (S_ISREG(status.st_mode)) return {.most = piece};
    return {PIPE_BUF, S_ISFIFO(status.st_mode), ::isatty(fd) == 1};
}

// By descriptor; that of standard output and standard error does not change.
Writing& known_writing(int fd) {
    static std::array<std::optional<Writing>, 3> known;
    auto& writing = known.at(static_cast<std::size_t>(fd));
    if (!writing) writing = writing_to(fd);
    return *writing;
}

// The status line stands on the terminal.
bool status_shown = false;

// As what it is: a terminal that stands still holds us up until a signal comes.
void write_status(std::string_view text) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

ssize_t write_some(int fd, std::string_view bytes) {
    Writing& writing = known_writing(fd);
    if (writing.without_waiting) {
        iovec data{const_cast<char*>(bytes.data()), bytes.size()};  // it is only read
        const auto written = ::pwritev2(fd, &data, 1, -1, RWF_NOWAIT);
        if (written >= 0 || errno != EOPNOTSUPP) return written;
        writing.without_waiting = false;  // before Linux 6.4, or a pipe that has a name
    }
    return ::write(fd, bytes.data(), std::min(bytes.size(), writing.most));
}

}  // namespace

Result<Written> write_all(int fd, std::string_view bytes, int interrupt) {
    if (bytes.empty()) return Written::all;
    clear_status();
    if (Writing& writing = known_writing(fd); writing.terminal) {
        writing.in_line = bytes.back() != '\n';
    }
    while (!bytes.empty()) {
        std::array<pollfd, 2> watched = {pollfd{.fd = fd, .events = POLLOUT, .revents = 0},
                                         pollfd{.fd = interrupt, .events = POLLIN, .revents = 0}};
        if (poll(watched.data(), watched.size(), -1) < 0) {
            if (errno == EINTR) continue;
            return fail(stream_name(fd) + ": " + std::strerror(errno));
        }
        if (watched[1].revents != 0) return Written::interrupted;
        const auto written = write_some(fd, bytes);
        if (written >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno != EINTR && errno != EAGAIN) {
            return fail(stream_name(fd) + ": " + std::strerror(errno));
        }
    }
    return Written::all;
}

Status written_out(int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0 || ::close(copy) == 0 || errno == EINTR) return {};
    return fail(stream_name(fd) + ": " + std::strerror(errno));
}

Status print(std::string_view text) {
    POSTERN_TRY(write_all(STDOUT_FILENO, text, -1));
    return {};
}

void complain(std::string_view message) {
    const auto line = "posternctl: " + printable(message) + "\n";
    (void)write_all(STDERR_FILENO, line, -1);
}

void show_status(std::string_view line) {
    const bool in_line =
        known_writing(STDOUT_FILENO).in_line || known_writing(STDERR_FILENO).in_line;
    winsize size{};
    if (!known_writing(STDERR_FILENO).terminal || in_line ||
        ::tcgetpgrp(STDERR_FILENO) != ::getpgrp() ||
        ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) {
        return;
    }
    auto text = printable("posternctl: " + std::string(line));
    // In the last column some terminals begin the next line, which could not be cleared.
    if (size.ws_col > 0) text = shortened(text, size.ws_col - 1U);
    write_status("\r" + text + "\033[K");
    status_shown = true;
}

void clear_status() {
    if (std::exchange(status_shown, false)) write_status("\r\033[K");
}

bool output_leaves_terminal_alone() {
    struct stat status{};
    if (known_writing(STDOUT_FILENO).terminal) return true;
    if (::fstat(STDOUT_FILENO, &status) != 0) return false;
    struct stat null{};
    return S_ISREG(status.st_mode) || (S_ISCHR(status.st_mode) && ::stat("/dev/null", &null) == 0 &&
                                       status.st_rdev == null.st_rdev);
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
