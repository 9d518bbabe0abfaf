#include "daemon/output/keeper/workers.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace postern::output {
namespace {

#ifndef POSTERN_SANITIZED
constexpr std::size_t stack_bytes = std::size_t{64} * 1024;  // and a page that guards it
#else
constexpr std::size_t stack_bytes = std::size_t{1024} * 1024;
#endif

}  // namespace

Workers::Closing::Closing(Workers& workers, std::vector<UniqueFd> descriptors)
    : workers_(workers), descriptors_(std::move(descriptors)) {}

void Workers::Closing::run() noexcept {
    for (UniqueFd& descriptor : descriptors_) descriptor.reset();
}

void Workers::Closing::end(Clock::time_point) {
    workers_.closing_.remove_if([this](const Closing& one) { return &one == this; });
}

Workers::Workers(PollSet& poll, std::uint64_t number, std::size_t most, UniqueFd sign)
    : poll_(poll), number_(number), most_(most), sign_(std::move(sign)) {}

Result<std::unique_ptr<Workers>> Workers::create(PollSet& poll, std::uint64_t number,
                                                 std::size_t most) {
    UniqueFd sign(::eventfd(1, EFD_CLOEXEC));
    if (!sign || !poll.add(sign.get(), EPOLLONESHOT, number)) {
        return fail(std::string("eventfd: ") + std::strerror(errno));
    }
    return std::unique_ptr<Workers>(new Workers(poll, number, most, std::move(sign)));
}

Workers::~Workers() {
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    begins_.notify_all();
    for (const pthread_t thread : threads_) ::pthread_join(thread, nullptr);
    poll_.remove(sign_.get());
}

Status Workers::start() {
    begun_.reserve(most_);
    to_run_.reserve(most_);
    done_.reserve(most_);
    pthread_attr_t attributes;
    if (::pthread_attr_init(&attributes) != 0) return fail("pthread_attr_init failed");
    int error = ::pthread_attr_setstacksize(&attributes, stack_bytes);
    for (std::size_t i = 0; i < most_ && error == 0; ++i) {
        pthread_t thread{};
        error = ::pthread_create(&thread, &attributes, &Workers::thread, this);
        if (error == 0) threads_.push_back(thread);
    }
    ::pthread_attr_destroy(&attributes);
    // Its user may have as many processes as it is allowed to: one thread does all in turn.
    if (threads_.empty()) return fail(std::string("a thread: ") + std::strerror(error));
    std::unique_lock lock(mutex_);
    most_ = threads_.size();
    started_.wait(lock, [this] { return running_threads_ == most_; });
    return {};
}

void* Workers::thread(void* workers) {
    static_cast<Workers*>(workers)->work();
    return nullptr;
}

void Workers::work() {
    std::unique_lock lock(mutex_);
    ++running_threads_;
    started_.notify_one();
    for (;;) {
        begins_.wait(lock, [this] { return ends_ || !to_run_.empty(); });
        if (to_run_.empty()) return;
        Work* const work = to_run_.back();
        to_run_.pop_back();
        lock.unlock();
        work->run();
        lock.lock();
        done_.push_back(work);
        // Else the loop has yet to hear of the one before.
        if (done_.size() == 1) poll_.change(sign_.get(), EPOLLIN | EPOLLONESHOT, number_);
    }
}

void Workers::add(std::uint64_t owner, Work& work) {
    Owner& his = owners_[owner];
    if (his.waiting.empty()) turns_.push_back(owner);
    his.waiting.push_back(&work);
}

void Workers::close(std::uint64_t owner, std::vector<UniqueFd> descriptors) {
    std::erase_if(descriptors, [](const UniqueFd& one) { return !one; });
    if (descriptors.empty()) return;
    add(owner, closing_.emplace_back(*this, std::move(descriptors)));
}

std::optional<std::uint64_t> Workers::next_owner() {
    const auto next = std::ranges::find_if(
        turns_, [this](std::uint64_t owner) { return owners_.at(owner).begun < most_of_owner; });
    if (next == turns_.end()) return std::nullopt;
    const std::uint64_t owner = *next;
    turns_.erase(next);
    return owner;
}

void Workers::serve(Clock::time_point now) {
    while (begun_.size() < most_ && count_fresh(now) < most_fresh) {
        const auto next = next_owner();
        if (!next) return;
        Owner& owner = owners_.at(*next);
        Work* const work = owner.waiting.front();
        owner.waiting.pop_front();
        if (!owner.waiting.empty()) turns_.push_back(*next);
        ++owner.begun;
        begun_.push_back({work, *next, now});
        work->begin(now);
        {
            const std::lock_guard lock(mutex_);
            to_run_.push_back(work);
        }
        begins_.notify_one();
    }
}

void Workers::take_done(Clock::time_point now) {
    std::vector<Work*> done;
    done.reserve(most_);
    {
        const std::lock_guard lock(mutex_);
        std::swap(done, done_);
    }
    for (Work* const work : done) {
        const auto begun = std::ranges::find(begun_, work, &Begun::work);
        const auto owner = owners_.find(begun->owner);
        begun_.erase(begun);
        --owner->second.begun;
        if (owner->second.begun == 0 && owner->second.waiting.empty()) owners_.erase(owner);
        work->end(now);
    }
}

std::size_t Workers::count_fresh(Clock::time_point now) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        begun_, [now](const Begun& begun) { return now - begun.since < fresh; }));
}

std::optional<Workers::Clock::time_point> Workers::due(Clock::time_point now) const {
    const bool one_may_begin = std::ranges::any_of(
        turns_, [this](std::uint64_t owner) { return owners_.at(owner).begun < most_of_owner; });
    if (begun_.size() == most_ || !one_may_begin) return std::nullopt;
    // Time has passed since the last serve(), too.
    if (count_fresh(now) < most_fresh) return now;
    const auto oldest = std::ranges::find_if(
        begun_, [now](const Begun& begun) { return now - begun.since < fresh; });
    return oldest->since + fresh;
}

}  // namespace postern::output
