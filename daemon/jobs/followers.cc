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

FollowerId Followers::add(std::unique_ptr<Follower> follower, std::array<UniqueFd, 2> files) {
    Entry entry;
    entry.follower = std::move(follower);
    entry.files = std::move(files);
    all_.emplace(next_, std::move(entry));
    return next_++;
}

void Followers::await(FollowerId follower, const Offsets& offsets) {
    const auto found = all_.find(follower);
    if (found == all_.end()) return;
    found->second.awaits = true;
    found->second.offsets = offsets;
}

bool Followers::taken(FollowerId follower, const Offsets& offsets) {
    const auto found = all_.find(follower);
    if (found == all_.end()) return true;
    Offsets& had = found->second.had;
    if (offsets[0] < had[0] || offsets[1] < had[1]) return false;
    had = offsets;
    return true;
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
