#include "daemon/jobs/followers.h"

#include <algorithm>
#include <utility>

namespace postern::jobs {

template <typename Tell>
void Followers::for_each(Tell tell) {
    std::vector<FollowerId> ids;
    ids.reserve(all_.size());
    for (const auto& [id, entry] : all_) ids.push_back(id);
    for (const FollowerId id : ids) {
        const auto found = all_.find(id);
        if (found != all_.end()) tell(found->second);
    }
}

FollowerId Followers::add(std::unique_ptr<Follower> follower, std::array<UniqueFd, 2> files,
                          Clock::time_point now) {
    if (!interrupted_.empty() && --interrupted_.front().count == 0) {
        interrupted_.erase(interrupted_.begin());
    }
    Entry entry;
    entry.follower = std::move(follower);
    entry.files = std::move(files);
    entry.moved = now;
    all_.emplace(next_, std::move(entry));
    return next_++;
}

void Followers::remove(FollowerId follower, bool interrupted, Clock::time_point now) {
    const auto found = all_.find(follower);
    if (found == all_.end()) return;
    const Entry& entry = found->second;
    if (interrupted && !entry.stalled) {
        interrupted_.push_back({entry.had, 1, now, false});
    }
    all_.erase(found);
}

void Followers::add_interrupted(std::size_t stream, std::uint64_t offset, std::uint32_t count,
                                Clock::time_point since) {
    auto found = std::ranges::find_if(interrupted_, &Interrupted::with_guard);
    if (found == interrupted_.end()) {
        found = interrupted_.insert(found, {{not_awaited, not_awaited}, 0, since, true});
    }
    found->had[stream] = offset;
    found->count = std::max(found->count, count);
}

void Followers::await(FollowerId follower, const Offsets& offsets) {
    const auto found = all_.find(follower);
    if (found == all_.end()) return;
    found->second.awaits = true;
    found->second.offsets = offsets;
}

bool Followers::taken(FollowerId follower, const Offsets& offsets, Clock::time_point now) {
    const auto found = all_.find(follower);
    if (found == all_.end()) return true;
    Entry& entry = found->second;
    if (offsets[0] < entry.had[0] || offsets[1] < entry.had[1]) return false;
    if (entry.had == offsets) return true;
    entry.had = offsets;
    entry.moved = now;
    entry.stalled = false;
    return true;
}

namespace {

bool lacks_any(const Offsets& had, const Offsets& sizes) {
    return had[0] < sizes[0] || had[1] < sizes[1];
}

}  // namespace

void Followers::note_sizes(const Offsets& sizes, Clock::time_point now) {
    for (auto& [id, entry] : all_) {
        const bool was_behind = std::exchange(entry.behind, lacks_any(entry.had, sizes));
        if (entry.behind && !was_behind) entry.moved = now;
    }
}

void Followers::find_stalled(const Offsets& sizes, std::chrono::microseconds stall,
                             Clock::time_point now) {
    note_sizes(sizes, now);
    for (auto& [id, entry] : all_) entry.stalled = entry.behind && now - entry.moved >= stall;
    std::erase_if(interrupted_, [&](const Interrupted& one) { return now - one.since >= stall; });
}

bool Followers::may_hold_back() const {
    return !interrupted_.empty() || std::ranges::any_of(all_, [](const auto& item) {
        const Entry& entry = item.second;
        return !entry.stalled && (entry.behind || !entry.awaits);
    });
}

Needs Followers::needs() const {
    Needs needs;
    const auto hold = [&](const Offsets& had, std::uint32_t count) {
        for (std::size_t i = 0; i < had.size(); ++i) {
            needs.floor[i] = std::min(needs.floor[i], had[i]);
        }
        needs.followers += count;
    };
    for (const auto& [id, entry] : all_) {
        if (!entry.stalled) hold(entry.had, 1);
        if (!entry.awaits) continue;
        for (std::size_t i = 0; i < entry.offsets.size(); ++i) {
            needs.awaited[i] = std::min(needs.awaited[i], entry.offsets[i]);
        }
    }
    for (const Interrupted& one : interrupted_) hold(one.had, one.count);
    return needs;
}

bool Followers::any_awaits(const HasMore& has_more) const {
    return std::ranges::any_of(all_, [&](const auto& item) {
        return item.second.awaits && has_more(item.second.offsets);
    });
}

void Followers::started(const JobId& job) {
    for_each([&](Entry& entry) {
        if (std::exchange(entry.told, true)) return;
        entry.follower->started(job, std::move(entry.files[0]), std::move(entry.files[1]));
    });
}

void Followers::output(const JobId& job, const HasMore& has_more) {
    for_each([&](Entry& entry) {
        if (!entry.awaits || !has_more(entry.offsets)) return;
        entry.awaits = false;
        entry.follower->output(job);
    });
}

void Followers::start_failed(const JobId& job, const StartFailure& failure) {
    for_each([&](Entry& entry) { entry.follower->start_failed(job, failure); });
}

void Followers::ended(const JobId& job, const JobResult& result) {
    started(job);
    for_each([&](Entry& entry) { entry.follower->ended(job, result); });
}

}  // namespace postern::jobs
