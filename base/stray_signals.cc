#include "base/stray_signals.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace postern {
namespace {

// The kernel's first one; the C library's SIGRTMIN is above those that it keeps.
constexpr int first_real_time = 32;

// As rt_sigaction(2) has it; what is not zero differs between architectures, and is not used.
struct KernelAction {
    void (*handler)(int);
    std::array<unsigned long, 16> rest;
};

}  // namespace

std::vector<int> stray_signals(std::initializer_list<int> wanted) {
    std::vector<int> strays = {SIGHUP,   SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM,
                               SIGTERM,  SIGXCPU, SIGXFSZ, SIGPROF, SIGIO,   SIGPWR,  SIGVTALRM,
#ifdef SIGSTKFLT
                               SIGSTKFLT
#endif
    };
    for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) strays.push_back(number);
    std::erase_if(strays,
                  [&](int number) { return std::ranges::find(wanted, number) != wanted.end(); });
    return strays;
}

void ignore_library_signals() {
    KernelAction ignored{};
    ignored.handler = SIG_IGN;
    constexpr std::size_t mask_bytes = 8;  // of the kernel's sigset_t: 64 signals
    for (int number = first_real_time; number < SIGRTMIN; ++number) {
        (void)::syscall(SYS_rt_sigaction, number, &ignored, nullptr, mask_bytes);
    }
}

void ignore_stray_signals(std::initializer_list<int> wanted) {
    for (const int number : stray_signals(wanted)) ::signal(number, SIG_IGN);
}

}  // namespace postern
