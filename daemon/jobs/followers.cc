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

bool Followers::is_owners(FollowerId follower) const {
    const auto found = all_.find(follower);
    return found != all_.end() && found->second.follower->is_owners();
}

bool Followers::any_of_owner() const {
    return std::ranges::any_of(all_,
                               [](const auto& item) { return item.second.follower->is_owners(); });
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
    Entry& entry = found->second;
    if (!std::exchange(entry.has_begun, true)) take_place(offsets);
    entry.awaits = true;
    entry.offsets = offsets;
}

// Who was interrupted comes back to where it was, or further on. Somebody else, who reads from the
// start, leaves the place to it.
void Followers::take_place(const Offsets& offsets) {
    const auto found = std::ranges::find_if(interrupted_, [&](const Interrupted& one) {
        for (std::size_t i = 0; i < offsets.size(); ++i) {
            if (one.had[i] != not_awaited && offsets[i] < one.had[i]) return false;
        }
        return true;
    });
    if (found != interrupted_.end() && --found->count == 0) interrupted_.erase(found);
}

bool Followers::taken(FollowerId follower, const Offsets& offsets, Clock::time_point now) {
    const auto found = all_.find(follower);
    if (found == all_.end()) return true;
    Entry& entry = found->second;
    if (offsets[0] < entry.had[0] || offsets[1] < entry.had[1]) return false;
    if (!std::exchange(entry.has_begun, true)) take_place(offsets);
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

void Followers::find_stalled(const Offsets& sizes, std::chrono::microseconds stall,
                             Clock::time_point now) {
    for (auto& [id, entry] : all_) {
        if (!lacks_any(entry.had, sizes) || entry.waits_with_all()) entry.moved = now;
        entry.stalled = now - entry.moved >= stall;
    }
    std::erase_if(interrupted_, [&](const Interrupted& one) { return now - one.since >= stall; });
}

bool Followers::needs_looks() const {
    return !interrupted_.empty() || std::ranges::any_of(all_, [](const auto& item) {
        const Entry& entry = item.second;
        return !entry.stalled && !entry.waits_with_all();
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

void Followers::started(const JobId& job) {
    for_each([&](Entry& entry) {
        if (std::exchange(entry.told, true)) return;
        entry.follower->started(job, std::move(entry.files[0]), std::move(entry.files[1]));
    });
}

void Followers::output(const JobId& job, const HasMore& has_more, Clock::time_point now) {
    for_each([&](Entry& entry) {
        if (!entry.awaits || !has_more(entry.offsets)) return;
        if (entry.waits_with_all()) entry.moved = now;
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
