#include "ctl/wire/quiet_notice.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "ctl/text/output.h"
#include "ctl/text/text.h"

namespace postern::ctl {

void QuietNotice::begin(std::string what, std::chrono::seconds already) {
    if (timer_ || ::isatty(STDERR_FILENO) == 0 || !output_leaves_terminal_alone()) return;
    timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    what_ = std::move(what);
    last_ = Clock::now();
    since_ = last_ - already;
    arm(patience);
}

void QuietNotice::end() {
    timer_.reset();
    clear_status();
}

void QuietNotice::watch(std::vector<pollfd>& watched) {
    beside_.watch(watched);
    watched.push_back({.fd = timer_.get(), .events = POLLIN, .revents = 0});
}

bool QuietNotice::go_on(std::span<const pollfd> watched) {
    if (watched.back().revents != 0) tick();
    return beside_.go_on(watched.first(watched.size() - 1));
}

void QuietNotice::arm(Clock::duration wait) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wait);
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(seconds.count());
    when.it_value.tv_nsec = static_cast<long>(std::chrono::nanoseconds(wait - seconds).count());
    (void)::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void QuietNotice::tick() {
    std::uint64_t times = 0;
    [[maybe_unused]] const auto got = ::read(timer_.get(), &times, sizeof times);
    const auto now = Clock::now();
    if (now - last_ < patience) return arm(last_ + patience - now);
    const auto runs = std::chrono::floor<std::chrono::seconds>(now - since_);
    show_status(what_ + " has been running for " + duration_text(runs.count()));
    arm(std::chrono::seconds{1});
}

}  // namespace postern::ctl
