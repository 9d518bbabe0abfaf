#include "daemon/policy/people.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace postern::policy {

UidRanges::UidRanges(std::vector<UidRange> ranges) : ranges_(std::move(ranges)) {
    std::ranges::sort(ranges_);
    const auto twice = std::ranges::unique(ranges_);
    ranges_.erase(twice.begin(), twice.end());
    uid_t highest = 0;
    for (const UidRange& range : ranges_) {
        highest_.push_back(highest = std::max(highest, range.last));
    }
}

std::vector<UidRange> UidRanges::at(uid_t uid) const {
    std::vector<UidRange> found;
    auto after = std::ranges::upper_bound(ranges_, uid, {}, &UidRange::first) - ranges_.begin();
    while (after > 0 && highest_[static_cast<std::size_t>(after - 1)] >= uid) {
        const UidRange& range = ranges_[static_cast<std::size_t>(--after)];
        if (range.last >= uid) found.push_back(range);
    }
    return found;
}

bool People::has_account(uid_t uid) const {
    return std::ranges::binary_search(accounts, uid);
}

bool People::are_others_than(const People& before) const {
    // Of which groups the members are known depends on the rules.
    const auto has_others = [&before](const auto& group) {
        const auto known = before.members.find(group.first);
        return known != before.members.end() && known->second != group.second;
    };
    return accounts != before.accounts || ranges != before.ranges ||
           ranges_known != before.ranges_known || last_system_uid != before.last_system_uid ||
           user_names != before.user_names || group_names != before.group_names ||
           std::ranges::any_of(members, has_others);
}

void People::keep_ranges_of(const People& before) {
    std::vector<UidRange> both = ranges.all();
    // One whose owner could not be told then is told now, or is nobody's.
    std::ranges::copy_if(before.ranges.all(), std::back_inserter(both),
                         [](const UidRange& range) { return range.owner.has_value(); });
    UidRanges kept(std::move(both));
    ranges_kept = kept != ranges;
    ranges = std::move(kept);
}

}  // namespace postern::policy
