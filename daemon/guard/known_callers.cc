#include "daemon/guard/known_callers.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "host/accounts.h"

namespace postern {

struct KnownCallers::Shared {
    UniqueFd done;  // eventfd: an answer is there
    std::mutex mutex;
    std::condition_variable work;
    std::deque<uid_t> asked;
    std::vector<std::pair<uid_t, bool>> answered;
    bool stopping = false;
};

namespace {

// Of a map: it begins with its maker's own uid, as newuidmap(1) is told to by all that use it.
constexpr std::size_t most_of_a_map = 4;
constexpr std::size_t most_answers = 4096;

bool has_account(uid_t uid) {
    // On a thread of its own an exception would end the guard.
    try {
        const auto found = find_user(uid);
        return found && found->has_value();
    } catch (const std::exception&) {
        return false;
    }
}

template <typename S>
void answer_until_stopped(const std::shared_ptr<S>& shared) {
    std::unique_lock lock(shared->mutex);
    for (;;) {
        shared->work.wait(lock, [&] { return !shared->asked.empty() || shared->stopping; });
        if (shared->stopping) return;
        const uid_t uid = shared->asked.front();
        shared->asked.pop_front();
        lock.unlock();
        const bool there_is = has_account(uid);
        lock.lock();
        shared->answered.emplace_back(uid, there_is);
        const std::uint64_t one = 1;
        (void)!::write(shared->done.get(), &one, sizeof one);
    }
}

}  // namespace

Result<std::unique_ptr<KnownCallers>> KnownCallers::create(sd_event* event, ConnectionTaker& next) {
    auto shared = std::make_shared<Shared>();
    shared->done.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!shared->done) return fail(std::string("eventfd: ") + std::strerror(errno));
    std::unique_ptr<KnownCallers> made(new KnownCallers(event, shared, next));
    const int r = add_io(event, made->source_, shared->done.get(), EPOLLIN,
                         [raw = made.get()](std::uint32_t) { raw->on_answers(); });
    if (r < 0) return fail(std::string("accounts: ") + std::strerror(-r));
    try {
        // Detached: a look-up that hangs must not hold up the end of the process.
        std::thread(answer_until_stopped<Shared>, shared).detach();
    } catch (const std::system_error& error) {
        return fail(std::string("accounts: no thread: ") + error.what());
    }
    return made;
}

KnownCallers::KnownCallers(sd_event* event, std::shared_ptr<Shared> shared, ConnectionTaker& next)
    : shared_(std::move(shared)), next_(next), timer_(event, [this] { on_timeout(); }) {}

KnownCallers::~KnownCallers() {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
    shared_->work.notify_all();
}

std::vector<uid_t> KnownCallers::unlisted(const policy::Caller& caller) const {
    std::vector<uid_t> uids;
    if (!snapshot_) return uids;
    const policy::People& people = snapshot_->people;
    const auto add = [&](uid_t uid) {
        if (!people.has_account(uid) && people.ranges.at(uid).empty()) uids.push_back(uid);
    };
    add(caller.uid);
    for (std::size_t i = 0; i < std::min(caller.mapped_from.size(), most_of_a_map); ++i) {
        add(caller.mapped_from[i]);
    }
    return uids;
}

bool KnownCallers::is_answered(const policy::Caller& caller) const {
    const auto uids = unlisted(caller);
    return std::ranges::all_of(uids, [this](uid_t uid) { return answers_.contains(uid); });
}

bool KnownCallers::is_full(uid_t payer) const {
    return waiting_.size() >= most_waiting ||
           std::ranges::count_if(waiting_, [payer](const Waiting& one) {
               return one.peer.caller.payer() == payer;
           }) >= static_cast<std::ptrdiff_t>(most_waiting_of_uid);
}

void KnownCallers::ask(uid_t uid) {
    const std::lock_guard lock(shared_->mutex);
    if (std::ranges::find(shared_->asked, uid) != shared_->asked.end()) return;
    shared_->asked.push_back(uid);
    shared_->work.notify_all();
}

void KnownCallers::admit(UniqueFd connection, const Peer& peer, const Listener& listener) {
    const auto now = Clock::now();
    if (waiting_.empty()) {
        if (answers_.size() >= most_answers) answers_.clear();
        for (const uid_t uid : unlisted(peer.caller)) {
            const auto old = answers_.find(uid);
            if (old != answers_.end() && old->second.until < now) answers_.erase(old);
        }
    }
    if (stopped_ || is_answered(peer.caller) || is_full(peer.caller.payer()) ||
        (!timer_armed_ && timer_.arm(patience) < 0)) {
        return pass_on(std::move(connection), peer, listener);
    }
    timer_armed_ = true;
    for (const uid_t uid : unlisted(peer.caller)) {
        if (!answers_.contains(uid)) ask(uid);
    }
    waiting_.push_back({std::move(connection), peer, &listener});
}

void KnownCallers::pass_on(UniqueFd connection, Peer peer, const Listener& listener) {
    for (const uid_t uid : unlisted(peer.caller)) {
        const auto answer = answers_.find(uid);
        if (answer != answers_.end() && answer->second.has_account) {
            peer.caller.accounts.push_back(uid);
        }
    }
    next_.admit(std::move(connection), peer, listener);
}

void KnownCallers::refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                          const std::string& reason) {
    next_.refuse(std::move(connection), peer, listener, reason);
}

void KnownCallers::on_answers() {
    std::uint64_t count = 0;
    (void)!::read(shared_->done.get(), &count, sizeof count);
    std::vector<std::pair<uid_t, bool>> answered;
    {
        const std::lock_guard lock(shared_->mutex);
        answered.swap(shared_->answered);
    }
    const auto now = Clock::now();
    for (const auto& [uid, there_is] : answered) {
        const Clock::duration time = there_is ? Clock::duration(positive_time) : negative_time;
        answers_[uid] = {there_is, now + time};
    }
    for (auto one = waiting_.begin(); one != waiting_.end();) {
        if (!is_answered(one->peer.caller)) {
            ++one;
            continue;
        }
        Waiting ready = std::move(*one);
        one = waiting_.erase(one);
        pass_on(std::move(ready.connection), std::move(ready.peer), *ready.listener);
    }
    if (waiting_.empty() && std::exchange(timer_armed_, false)) timer_.disarm();
}

void KnownCallers::on_timeout() {
    timer_armed_ = false;
    spdlog::warn(
        "{} callers: whether they have accounts is not answered within {} s; deny rules "
        "may hold for them",
        waiting_.size(), patience.count());
    std::list<Waiting> late;
    late.swap(waiting_);
    for (Waiting& one : late) {
        pass_on(std::move(one.connection), std::move(one.peer), *one.listener);
    }
}

void KnownCallers::stop() {
    stopped_ = true;
    if (std::exchange(timer_armed_, false)) timer_.disarm();
    std::list<Waiting> late;
    late.swap(waiting_);
    for (Waiting& one : late) {
        next_.refuse(std::move(one.connection), &one.peer, one.listener->name, "the daemon stops");
    }
}

}  // namespace postern
