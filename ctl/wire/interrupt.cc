#include "ctl/wire/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace postern::ctl {
namespace {

constexpr const auto& interrupting = Interrupt::signals;

// What the handler may touch. A pipe, and not signalfd(2): a write(2) to a terminal that stands
// still must return with EINTR when Ctrl-C is pressed, which blocked signals don't do.
volatile std::sig_atomic_t first_signal = 0;
volatile std::sig_atomic_t pipe_end = -1;
std::array<struct sigaction, interrupting.size()> former;

volatile std::sig_atomic_t closed_pipe = 0;

void note_pipe(int /*signal*/) {
    closed_pipe = 1;
}

void note(int signal) {
    const int saved = errno;
    if (first_signal == 0) first_signal = signal;
    const char byte = 0;
    // A full pipe is readable already.
    [[maybe_unused]] const auto written = ::write(pipe_end, &byte, 1);
    errno = saved;
}

}  // namespace

Result<Interrupt> Interrupt::watch() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
        return fail(std::string("no pipe can be made: ") + std::strerror(errno));
    }
    UniqueFd readable(ends[0]);
    pipe_end = ends[1];
    struct sigaction action{};
    action.sa_handler = note;
    for (std::size_t i = 0; i < interrupting.size(); ++i) {
        sigaction(interrupting[i], nullptr, &former[i]);
        if (former[i].sa_handler != SIG_IGN) sigaction(interrupting[i], &action, nullptr);
    }
    return Interrupt(std::move(readable));
}

Interrupt::Interrupt(Interrupt&& other) noexcept = default;

Interrupt::~Interrupt() {
    if (!readable_) return;  // moved from
    for (std::size_t i = 0; i < interrupting.size(); ++i)
        sigaction(interrupting[i], &former[i], nullptr);
    UniqueFd(pipe_end).reset();
    pipe_end = -1;
    first_signal = 0;
}

int Interrupt::signal() {
    return first_signal;
}

void Interrupt::let_end() {
    for (std::size_t i = 0; i < interrupting.size(); ++i) {
        if (interrupting[i] != SIGHUP) sigaction(interrupting[i], &former[i], nullptr);
    }
}

void Interrupt::note_closed_pipe() {
    struct sigaction action{};
    action.sa_handler = note_pipe;
    sigaction(SIGPIPE, &action, nullptr);
}

bool Interrupt::pipe_was_closed() {
    return closed_pipe != 0;
}

void Interrupt::end_by_closed_pipe() {
    (void)std::signal(SIGPIPE, SIG_DFL);
    (void)std::raise(SIGPIPE);
}

}  // namespace postern::ctl
