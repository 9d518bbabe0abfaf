#include "daemon/policy/change.h"

#include <algorithm>

namespace postern::policy {
namespace {

// All else is made of the text. (A pattern can't be compared.)
bool is_same(const Action& one, const Action& other) {
    return one.version == other.version && one.file == other.file && one.allow == other.allow &&
           one.deny == other.deny && one.uid == other.uid && one.gid == other.gid &&
           one.groups == other.groups && one.account == other.account && one.lent == other.lent &&
           one.environment == other.environment && one.warnings == other.warnings;
}

// It may be there, and counts for nothing as long as others can write to its folder.
bool lies_in_unsafe(const Action& action, const Snapshot& now) {
    return std::ranges::any_of(now.unsafe, [&action](const std::string& folder) {
        return action.file.starts_with(folder) && action.file.rfind('/') <= folder.size();
    });
}

}  // namespace

Change change_between(const Snapshot& before, const Snapshot& after) {
    Change change;
    for (const BadFile& bad : after.bad) {
        const bool is_new = std::ranges::find(before.bad, bad) == before.bad.end();
        if (is_new && !bad.action.empty()) change.off.push_back(bad.action);
    }
    for (const auto& [name, action] : before.actions) {
        const bool stays = after.actions.contains(name);
        if (!stays && lies_in_unsafe(action, after)) change.off.push_back(name);
    }
    std::ranges::sort(change.off);
    const auto twice = std::ranges::unique(change.off);
    change.off.erase(twice.begin(), twice.end());
    for (const auto& [name, action] : after.actions) {
        const auto known = before.actions.find(name);
        if (known == before.actions.end()) {
            change.added.push_back(name);
        } else if (!is_same(known->second, action)) {
            change.changed.push_back(name);
        }
    }
    for (const auto& [name, action] : before.actions) {
        const bool is_off = std::ranges::binary_search(change.off, name);
        if (!after.actions.contains(name) && !is_off) change.removed.push_back(name);
    }
    return change;
}

}  // namespace postern::policy
