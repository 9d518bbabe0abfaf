#include "daemon/guard/known_callers.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <optional>
#include <utility>

#include "host/accounts.h"

namespace postern {

namespace {

// Of a map: it begins with its maker's own uid, as newuidmap(1) is told to by all that use it.
constexpr std::size_t most_of_a_map = 4;
constexpr std::size_t most_answers = 4096;

// The name of its account; absent: it has none.
std::optional<std::string> account_name(uid_t uid) {
    // On a thread of its own an exception would end the guard.
    try {
        const auto found = find_user(uid);
        const std::optional<Account> user = found ? *found : std::nullopt;
        if (user) return user->name;
    } catch (const std::exception&) {
        return std::nullopt;  // as of one that can't be looked up
    }
    return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<KnownCallers>> KnownCallers::create(sd_event* event, ConnectionTaker& next,
                                                           AccountNames& names) {
    std::unique_ptr<KnownCallers> made(new KnownCallers(event, next, names));
    auto worker = Accounts::create(
        event, [](uid_t uid) { return std::optional(std::pair(uid, account_name(uid))); },
        [raw = made.get()](const auto& answers) { raw->on_answers(answers); });
    if (!worker) return fail("accounts: " + worker.error().message);
    made->accounts_ = std::move(*worker);
    return made;
}

KnownCallers::KnownCallers(sd_event* event, ConnectionTaker& next, AccountNames& names)
    : next_(next), names_(names), timer_(event, [this] { on_timeout(); }) {}

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
    accounts_->order([uid](std::deque<uid_t>& asked) {
        if (std::ranges::find(asked, uid) == asked.end()) asked.push_back(uid);
    });
}

void KnownCallers::admit(UniqueFd connection, Peer peer, const Listener& listener) {
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
        return pass_on(std::move(connection), std::move(peer), listener);
    }
    timer_armed_ = true;
    for (const uid_t uid : unlisted(peer.caller)) {
        if (!answers_.contains(uid)) ask(uid);
    }
    waiting_.push_back({std::move(connection), std::move(peer), &listener});
}

void KnownCallers::pass_on(UniqueFd connection, Peer peer, const Listener& listener) {
    for (const uid_t uid : unlisted(peer.caller)) {
        const auto answer = answers_.find(uid);
        if (answer != answers_.end() && answer->second.has_account) {
            peer.caller.accounts.push_back(uid);
        }
    }
    next_.admit(std::move(connection), std::move(peer), listener);
}

void KnownCallers::refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                          const WhyRefused& why) {
    next_.refuse(std::move(connection), peer, listener, why);
}

void KnownCallers::on_answers(
    const std::vector<std::pair<uid_t, std::optional<std::string>>>& answered) {
    const auto now = Clock::now();
    for (const auto& [uid, name] : answered) {
        const Clock::duration time = name ? Clock::duration(positive_time) : negative_time;
        answers_[uid] = {name.has_value(), now + time};
        names_.learn(uid, name.value_or(""));
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
        "{} callers: looking up their accounts took longer than {} s; deny "
        "rules may apply to them",
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
        next_.refuse(std::move(one.connection), &one.peer, one.listener->name,
                     {"the daemon stops"});
    }
}

}  // namespace postern
