#include "daemon/dropper/thread_interrupt.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>

// timer_create(2) has it; glibc before 2.38 only has the member behind it.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace postern {
namespace {

// Ignored by default, so that nothing happens where one comes too late.
constexpr int signal_number = SIGURG;

}  // namespace

void ThreadInterrupt::DeleteTimer::operator()(void* timer) const {
    ::timer_delete(timer);
}

Result<ThreadInterrupt> ThreadInterrupt::create() {
    // A signal that is ignored interrupts nothing.
    struct sigaction action{};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    if (::sigaction(signal_number, &action, nullptr) != 0) {
        return fail(std::string("sigaction: ") + std::strerror(errno));
    }
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, signal_number);
    ::pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal_number;
    event.sigev_notify_thread_id = ::gettid();
    timer_t timer{};
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        return fail(std::string("timer_create: ") + std::strerror(errno));
    }
    return ThreadInterrupt(timer);
}

void ThreadInterrupt::set(std::chrono::microseconds every) {
    const auto nsec = std::chrono::nanoseconds(every).count();
    itimerspec times{};
    times.it_interval.tv_nsec = nsec;
    times.it_value.tv_nsec = nsec;
    ::timer_settime(timer_.get(), 0, &times, nullptr);
}

void ThreadInterrupt::arm() {
    set(interval);
}

void ThreadInterrupt::disarm() {
    set(std::chrono::microseconds(0));
}

}  // namespace postern
