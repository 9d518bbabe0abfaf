// Whose a caller is: a user is more than a uid. Who has lines in /etc/subuid and /etc/subgid can,
// in a user namespace, drop groups and take on other uids of the range while keeping groups; a
// setuid file of such a uid brings it into the first namespace. What restricts (deny rules, lent
// groups, quotas) looks at all owners; what grants looks at what the process carries.
//
// Two things come together. Frozen when the caller connected: its uid, and what its process's
// uid_map begins with (Caller). Taken from the snapshot each time: accounts, ranges, members of
// groups. So a range that a reload adds counts against connections that are open already.
#pragma once

#include <sys/types.h>

#include <vector>

#include "daemon/policy/people.h"
#include "daemon/policy/verdict.h"

namespace postern::policy {

struct Owners {
    // Its own uid, everybody in whose range it lies, and the same for what its map begins with;
    // each once. Never root but for root itself.
    std::vector<uid_t> uids;
    // False: it may be anybody's besides. So it is where the process is gone, unless the uid has an
    // account and lies in no range; where the map leads to no account; and, in the guard's own
    // namespace, where the uid has no account and ranges are not known. In the guard's own
    // namespace a uid without an account that lies in no range of those that are known is its own
    // (a service of a container that root started).
    bool known = true;

    [[nodiscard]] bool has(uid_t uid) const;
};

// Whether its owner is known without its process: its uid has an account and lies in no range.
bool needs_no_process(const People& people, const Caller& caller);

Owners owners_of(const People& people, const Caller& caller);

// Whose quotas count: an account of its own pays for itself; else the one owner who has an account,
// if it is exactly one and no system account; else the namespace, by what its map begins with, so
// that all containers of one system account are not one payer: but 65,536 ids of a range are one
// (of no range: from a multiple of it), since whoever has them can make a namespace of any.
// Without a map: the lowest owner who is a person, else the uid in the same way, and itself where
// it lies in no range.
uid_t payer_of(const People& people, const Caller& caller);

// Whether the group database gives this group, of those that deny rules name, to one of them.
bool is_member(const People& people, const Owners& owners, gid_t gid);

}  // namespace postern::policy
