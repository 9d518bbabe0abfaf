#include "daemon/output/keeper/poll_set.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace postern::output {

Result<PollSet> PollSet::create() {
    UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return fail(std::string("epoll_create1: ") + std::strerror(errno));
    return PollSet(std::move(epoll));
}

bool PollSet::add(int descriptor, std::uint32_t events, std::uint64_t number) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void PollSet::change(int descriptor, std::uint32_t events, std::uint64_t number) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, descriptor, &event);
}

void PollSet::remove(int descriptor) {
    epoll_event event{};
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, &event);
}

std::span<const epoll_event> PollSet::wait(
    std::optional<std::chrono::steady_clock::duration> time) {
    // Rounded up: else it would be called again and again until the time has come.
    const auto milliseconds =
        time ? std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(*time).count(),
                                        0, 3'600'000)
             : -1;
    const int count = ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                                   static_cast<int>(milliseconds));
    return std::span(events_).first(count < 0 ? 0 : static_cast<std::size_t>(count));
}

}  // namespace postern::output
