#include "daemon/jobs/start_turns.h"

#include <algorithm>

namespace postern::jobs {

std::chrono::microseconds StartTurns::interval() const {
    constexpr std::uint64_t second_usec = 1'000'000;
    return std::chrono::microseconds(second_usec / rules_.per_second);
}

// When the bucket has a token: it is not quite empty.
StartTurns::Time StartTurns::token_at(const Owner& owner) const {
    return owner.full - interval() * static_cast<std::int64_t>(rules_.burst - 1);
}

StartTurns::Id StartTurns::add(uid_t owner, Time now) {
    // Owners of whom nothing is to be remembered, now and then.
    if (now - swept_ > std::chrono::seconds(1)) {
        swept_ = now;
        for (auto at = owners_.begin(); at != owners_.end();) let_go(at++, now);
    }
    const Id id = next_id_++;
    owners_[owner].waiting.push_back({id, now});
    ++waiting_;
    return id;
}

void StartTurns::let_go(Owners::iterator owner, Time now) {
    const Owner& known = owner->second;
    if (known.waiting.empty() && known.under_way == 0 && known.full <= now) owners_.erase(owner);
}

bool StartTurns::within_rate(uid_t owner, Time now) const {
    const auto found = owners_.find(owner);
    if (found == owners_.end()) return true;
    // As it will be when all those before it have had theirs.
    const Owner& known = found->second;
    const auto before = interval() * static_cast<std::int64_t>(known.waiting.size());
    const auto full = std::max(known.full, now) + before;
    return full - interval() * static_cast<std::int64_t>(rules_.burst - 1) <= now;
}

// The first, from the one who was last on, whose start may be next. `with_others`: also one who has
// some under way.
StartTurns::Owners::iterator StartTurns::next(Time now, bool with_others) {
    const auto may = [&](const auto& entry) {
        const Owner& owner = entry.second;
        return !owner.waiting.empty() && token_at(owner) <= now &&
               (with_others || owner.under_way == 0);
    };
    const auto after = owners_.upper_bound(last_);
    auto found = std::find_if(after, owners_.end(), may);
    if (found != owners_.end()) return found;
    found = std::find_if(owners_.begin(), after, may);
    return found == after ? owners_.end() : found;
}

// Those that take too long are not counted any more.
void StartTurns::forget_slow(Time now) {
    while (!under_way_.empty() && under_way_.front().since + rules_.most_under_way <= now) {
        remove(under_way_.front().id);
    }
}

// For one who has none under way.
bool StartTurns::has_place(Time now) const {
    const auto in_the_way = std::ranges::count_if(under_way_, [&](const UnderWay& one) {
        return now < one.since + rules_.patience_of_others;
    });
    return static_cast<std::size_t>(in_the_way) < rules_.at_once;
}

std::optional<StartTurns::Id> StartTurns::take(Time now) {
    forget_slow(now);
    if (!has_place(now)) return std::nullopt;
    auto found = rules_.at_once == StartRules::any ? owners_.end() : next(now, false);
    if (found == owners_.end() && under_way_.size() < rules_.at_once) found = next(now, true);
    if (found == owners_.end()) return std::nullopt;
    Owner& owner = found->second;
    last_ = found->first;
    const Id id = owner.waiting.front().id;
    owner.waiting.pop_front();
    --waiting_;
    owner.full = std::max(owner.full, now) + interval();
    if (const Time token = token_at(owner); token > now) owner.none_until = token;
    ++owner.under_way;
    under_way_.push_back({id, found->first, now});
    return id;
}

std::vector<StartTurns::TooLate> StartTurns::take_late(Time now) {
    std::vector<TooLate> late;
    for (auto& [uid, owner] : owners_) {
        while (!owner.waiting.empty() && owner.waiting.front().since + rules_.patience <= now) {
            const Waiting& oldest = owner.waiting.front();
            late.push_back({oldest.id, owner.none_until > oldest.since + rules_.patience / 2});
            owner.waiting.pop_front();
            --waiting_;
        }
    }
    return late;
}

void StartTurns::remove(Id id) {
    const auto started = std::ranges::find(under_way_, id, &UnderWay::id);
    if (started != under_way_.end()) {
        --owners_.at(started->owner).under_way;
        under_way_.erase(started);
        return;
    }
    for (auto& [uid, owner] : owners_) {
        const auto found = std::ranges::find(owner.waiting, id, &Waiting::id);
        if (found == owner.waiting.end()) continue;
        owner.waiting.erase(found);
        --waiting_;
        return;
    }
}

std::optional<StartTurns::Time> StartTurns::due(Time now) const {
    std::optional<Time> first;
    const auto consider = [&first](Time time) { first = first ? std::min(*first, time) : time; };
    const bool full = under_way_.size() >= rules_.at_once;
    for (const auto& [uid, owner] : owners_) {
        if (owner.waiting.empty()) continue;
        consider(owner.waiting.front().since + rules_.patience);
        if (!full || (owner.under_way == 0 && has_place(now))) consider(token_at(owner));
    }
    // Only who waits wants to know when others take too long.
    if (first && full) {
        consider(under_way_.front().since + rules_.most_under_way);
        const auto in_the_way = std::ranges::find_if(under_way_, [&](const UnderWay& one) {
            return now < one.since + rules_.patience_of_others;
        });
        if (in_the_way != under_way_.end()) consider(in_the_way->since + rules_.patience_of_others);
    }
    return first ? std::optional(std::max(*first, now)) : std::nullopt;
}

std::size_t StartTurns::waiting(uid_t owner) const {
    const auto found = owners_.find(owner);
    return found == owners_.end() ? 0 : found->second.waiting.size();
}

}  // namespace postern::jobs
