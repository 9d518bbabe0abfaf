#include "daemon/launcher/spare.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "daemon/launcher/exec_list.h"
#include "daemon/launcher/spare_order.h"

namespace postern::launcher {
namespace {

constexpr int order_socket = STDIN_FILENO;

// Nothing was run: by a signal that no program ends with by itself, so that it is seen from how
// systemd saw it end.
[[noreturn]] void leave() {
    kill(getpid(), leaving_signal());
    // Only where a sandbox denies that. Nobody waits for it any more, or is told by a time-out.
    _exit(EXIT_FAILURE);
}

// All of it, or this process leaves.
void read_whole(std::span<std::uint8_t> bytes) {
    while (!bytes.empty()) {
        const ssize_t got = read(order_socket, bytes.data(), bytes.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) leave();
        bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
}

SpareOrder read_order() {
    SpareHeader header{};
    read_whole(header);
    const auto length = body_length(header);
    if (!length) leave();
    std::vector<std::uint8_t> body(*length);
    read_whole(body);
    auto order = decode_spare(body);
    if (!order) leave();
    return std::move(*order);
}

// Whether somebody is there to hear it. With SIGPIPE ignored.
bool say(int socket, SpareAnswer answer, int error = 0) {
    std::array<std::uint8_t, 1 + spare_error_bytes> bytes{static_cast<std::uint8_t>(answer)};
    for (std::size_t i = 0; i < spare_error_bytes; ++i) {
        bytes.at(1 + i) = static_cast<std::uint8_t>(static_cast<unsigned>(error) >> (8 * i));
    }
    const std::size_t size = answer == SpareAnswer::taken ? 1 : bytes.size();
    ssize_t written = 0;
    while ((written = write(socket, bytes.data(), size)) < 0 && errno == EINTR) {
    }
    return written == static_cast<ssize_t>(size);
}

[[noreturn]] void refuse(int error) {
    say(order_socket, SpareAnswer::refused, error);
    leave();
}

}  // namespace

void wait_in_spare() {
    // Others of its user must not trace it: they would have what its sandbox has, and say what is
    // executed. The file is not readable besides, and so it was so from the exec on.
    if (prctl(PR_SET_DUMPABLE, 0) < 0) leave();
    SpareOrder order = read_order();

    // From here on a write to a guard that is no more must return.
    struct sigaction ignored{};
    struct sigaction before{};
    ignored.sa_handler = SIG_IGN;  // NOLINT(cppcoreguidelines-pro-type-union-access)
    if (sigaction(SIGPIPE, &ignored, &before) < 0) leave();
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0) refuse(errno);
    const int socket = null + 1;
    if (dup3(order_socket, socket, O_CLOEXEC) < 0) refuse(errno);
    const int program = open(order.program.c_str(), O_PATH | O_CLOEXEC);
    if (program < 0) refuse(errno);
    const std::vector<char*> argv = exec_list(order.argv);
    const std::vector<char*> environment = exec_list(order.environment);
    if (!say(socket, SpareAnswer::taken)) leave();

    int error = 0;
    if (sigaction(SIGPIPE, &before, nullptr) < 0 || dup3(null, STDIN_FILENO, 0) < 0) error = errno;
    if (error == 0) {
        execve(order.program.c_str(), argv.data(), environment.data());
        error = errno;
    }
    sigaction(SIGPIPE, &ignored, nullptr);
    say(socket, SpareAnswer::not_executed, error);
    _exit(exec_failed_status);
}

}  // namespace postern::launcher
