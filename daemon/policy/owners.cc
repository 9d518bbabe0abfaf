#include "daemon/policy/owners.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace postern::policy {
namespace {

constexpr uid_t unmapped = std::numeric_limits<uid_t>::max();
constexpr uid_t overflow_uid = 65534;

void add_once(std::vector<uid_t>& uids, uid_t uid) {
    if (std::ranges::find(uids, uid) == uids.end()) uids.push_back(uid);
}

bool has_account(const People& people, const Caller& caller, uid_t uid) {
    return people.has_account(uid) ||
           std::ranges::find(caller.accounts, uid) != caller.accounts.end();
}

}  // namespace

bool needs_no_process(const People& people, const Caller& caller) {
    return has_account(people, caller, caller.uid) && people.ranges.at(caller.uid).empty();
}

namespace {

// Where the search for owners got to.
struct Trail {
    Owners owners;
    std::vector<uid_t>
        accounts;                // of the owners, those who have one, in the order of their finding
    bool in_range = false;       // the caller's own uid
    bool leads_nowhere = false;  // a range whose owner can't be told
};

// Returns whether it leads to an account.
bool follow_uid(const People& people, const Caller& caller, uid_t uid, Trail& trail,
                bool& in_range) {
    if (uid == unmapped) return false;
    add_once(trail.owners.uids, uid);
    bool leads = has_account(people, caller, uid);
    if (leads) add_once(trail.accounts, uid);
    const auto ranges = people.ranges.at(uid);
    in_range = !ranges.empty();
    for (const UidRange& range : ranges) {
        if (range.owner) {
            add_once(trail.owners.uids, *range.owner);
            add_once(trail.accounts, *range.owner);
            leads = true;
        } else {
            trail.leads_nowhere = true;
        }
    }
    return leads;
}

Trail trail_of(const People& people, const Caller& caller) {
    Trail trail;
    follow_uid(people, caller, caller.uid, trail, trail.in_range);
    bool map_leads = false;
    if (caller.process_known) {
        for (const uid_t uid : caller.mapped_from) {
            bool in_range = false;
            map_leads = follow_uid(people, caller, uid, trail, in_range) || map_leads;
        }
    }
    const bool known_by_process =
        caller.process_known &&
        (caller.mapped_from.empty() ? trail.in_range || people.ranges_known : map_leads);
    trail.owners.known =
        (needs_no_process(people, caller) || known_by_process) && !trail.leads_nowhere;
    return trail;
}

}  // namespace

bool Owners::has(uid_t uid) const {
    return std::ranges::find(uids, uid) != uids.end();
}

Owners owners_of(const People& people, const Caller& caller) {
    return trail_of(people, caller).owners;
}

namespace {

// Who makes a namespace chooses where it begins, within the ids that it has: 65,536 of a range, as
// containers get them, are one payer.
uid_t first_of_its_kind(const People& people, uid_t uid) {
    constexpr uid_t ids_of_a_container = 65536;
    const auto ranges = people.ranges.at(uid);
    const uid_t first = ranges.empty() ? 0 : ranges.front().first;
    return first + (uid - first) / ids_of_a_container * ids_of_a_container;
}

}  // namespace

uid_t payer_of(const People& people, const Caller& caller) {
    if (has_account(people, caller, caller.uid)) return caller.uid;
    const Trail trail = trail_of(people, caller);
    const auto is_person = [&people](uid_t uid) {
        return uid > people.last_system_uid && uid != overflow_uid;
    };
    if (trail.accounts.size() == 1 && is_person(trail.accounts.front())) {
        return trail.accounts.front();
    }
    if (caller.process_known && !caller.mapped_from.empty() &&
        caller.mapped_from.front() != unmapped) {
        return first_of_its_kind(people, caller.mapped_from.front());
    }
    std::optional<uid_t> lowest;
    for (const uid_t uid : trail.accounts) {
        if (is_person(uid)) lowest = std::min(lowest.value_or(uid), uid);
    }
    if (lowest) return *lowest;
    return trail.in_range ? first_of_its_kind(people, caller.uid) : caller.uid;
}

bool is_member(const People& people, const Owners& owners, gid_t gid) {
    const auto members = people.members.find(gid);
    return members != people.members.end() && std::ranges::any_of(owners.uids, [&](uid_t uid) {
               return std::ranges::binary_search(members->second, uid);
           });
}

}  // namespace postern::policy
