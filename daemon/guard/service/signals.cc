#include "daemon/guard/service/signals.h"

#include <spdlog/spdlog.h>

#include <csignal>
#include <cstring>
#include <string>
#include <utility>

#include "base/stray_signals.h"

namespace postern {
namespace {

std::vector<int> watched_signals() {
    // A write into a pipe without reader, and a lease that somebody breaks (F_SETLEASE in
    // fcntl(2)), are nothing that anyone sends.
    return stray_signals({SIGPIPE, SIGIO});
}

std::string name_of_signal(int number) {
    if (number >= SIGRTMIN) return "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
    const char* name = ::sigabbrev_np(number);  // glibc 2.32
    return name == nullptr ? std::to_string(number) : std::string("SIG") + name;
}

}  // namespace

void Signals::block() {
    ignore_library_signals();
    for (const int number : {SIGPIPE, SIGIO}) ::signal(number, SIG_IGN);
    // A parent may have left it ignored, and then children can't be waited for.
    ::signal(SIGCHLD, SIG_DFL);
    sigset_t ours;
    sigemptyset(&ours);
    for (const int number : watched_signals()) sigaddset(&ours, number);
    ::pthread_sigmask(SIG_BLOCK, &ours, nullptr);
}

Result<std::unique_ptr<Signals>> Signals::watch(sd_event* event, Hooks hooks) {
    std::unique_ptr<Signals> signals(new Signals(std::move(hooks)));
    for (const int number : watched_signals()) {
        const int r =
            add_signal(event, signals->sources_.emplace_back(), number,
                       [raw = signals.get()](const signalfd_siginfo& info) { raw->take(info); });
        if (r < 0) return fail(std::string("signals: ") + std::strerror(-r));
    }
    return signals;
}

void Signals::take(const signalfd_siginfo& info) {
    switch (static_cast<int>(info.ssi_signo)) {
        case SIGTERM:
        case SIGINT:
            return hooks_.stop();
        case SIGHUP:
            return hooks_.reload();
        case SIGUSR1:
            return hooks_.open_audit();
        default:
            return name_stranger(info);
    }
}

// Each once: it may be sent every day.
void Signals::name_stranger(const signalfd_siginfo& info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (!named_.insert(number).second) return;
    const std::string sender =
        info.ssi_pid == 0
            ? "the kernel"
            : "pid " + std::to_string(info.ssi_pid) + " (uid " + std::to_string(info.ssi_uid) + ")";
    spdlog::warn(
        "{} from {} is ignored: SIGTERM stops the daemon, SIGHUP loads the action files and opens "
        "the audit file again, SIGUSR1 only opens the audit file again",
        name_of_signal(number), sender);
}

}  // namespace postern
