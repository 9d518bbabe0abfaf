#include "daemon/loop/ready_set.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace postern {
namespace {

// Of one turn; what is left keeps the set readable.
constexpr std::size_t ready_at_once = 64;

int control_epoll(int epoll, int operation, int fd, std::uint32_t events, std::uint64_t number) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    return ::epoll_ctl(epoll, operation, fd, &event) == 0 ? 0 : -errno;
}

}  // namespace

Result<std::unique_ptr<ReadySet>> ReadySet::create(sd_event* event, std::function<void()> turn) {
    std::unique_ptr<ReadySet> set(new ReadySet(event));
    set->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!set->epoll_) return fail(std::string("epoll_create1: ") + std::strerror(errno));
    if (!turn) turn = [raw = set.get()] { raw->dispatch(); };
    const int r = add_io(event, set->source_, set->epoll_.get(), EPOLLIN,
                         [turn = std::move(turn)](std::uint32_t) { turn(); });
    if (r < 0) return fail(std::string("ready set: ") + std::strerror(-r));
    return set;
}

int ReadySet::add(Source& source, int fd, std::uint32_t events, What what) {
    const std::uint64_t number = ++last_;
    auto owned = std::make_shared<const What>(std::move(what));
    if (const int r = control_epoll(epoll_.get(), EPOLL_CTL_ADD, fd, events, number); r < 0) {
        return r;
    }
    sources_.emplace(number, std::move(owned));
    Source made;
    made.set_ = this;
    made.number_ = number;
    made.fd_ = fd;
    source = std::move(made);
    return 0;
}

void ReadySet::dispatch() {
    std::array<epoll_event, ready_at_once> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        const std::uint64_t number = event.data.u64;  // the event is packed: not by reference
        const auto found = sources_.find(number);
        if (found == sources_.end()) continue;
        const auto what = found->second;
        (*what)(event.events);
    }
}

ReadySet::Source& ReadySet::Source::operator=(Source&& other) noexcept {
    if (this == &other) return *this;
    reset();
    set_ = std::exchange(other.set_, nullptr);
    number_ = other.number_;
    fd_ = other.fd_;
    return *this;
}

void ReadySet::Source::reset() {
    ReadySet* const set = std::exchange(set_, nullptr);
    if (set == nullptr) return;
    (void)control_epoll(set->epoll_.get(), EPOLL_CTL_DEL, fd_, 0, number_);
    set->sources_.erase(number_);
}

void ReadySet::Source::change(std::uint32_t events) const {
    if (set_ != nullptr) {
        (void)control_epoll(set_->epoll_.get(), EPOLL_CTL_MOD, fd_, events, number_);
    }
}

}  // namespace postern
