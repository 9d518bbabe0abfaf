// (snapshot, caller, action) -> verdict. Pure: no I/O, no clock, no order of rules.
#pragma once

#include <sys/types.h>

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/policy/snapshot.h"

namespace postern::policy {

// What a rule may ask of a caller; taken from the kernel when the connection was made, and never
// changed. Whose uid it is, is no part of it: ranges of subordinate ids change while a connection
// stays open, so that owners (owners.h) come from the snapshot whenever there is something to
// decide.
struct Caller {
    uid_t uid = static_cast<uid_t>(-1);
    gid_t gid = static_cast<gid_t>(-1);
    std::vector<gid_t> groups;  // the gid included, ascending
    // Whether `groups` is all of them. The kernel does not say who sends a datagram beyond the uid
    // and gid: an allow rule that names another group then does not hold, and a deny rule that
    // names one does.
    bool groups_known = true;
    // Where its process has a user namespace other than the guard's: what each line of its uid_map
    // begins with outside, in order, each once. Empty: it has the guard's own, or one that root
    // made.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::vector<uid_t> mapped_from = {};
    // Whether that could be read while the process lived (SO_PEERPIDFD, Linux 6.5).
    bool process_known = true;
    // Of these uids and its own, those that have an account though the user database does not list
    // them (People::accounts), as far as they were asked for when it connected.
    // NOLINTNEXTLINE(readability-redundant-member-init): as above
    std::vector<uid_t> accounts = {};
    // Who pays for what it uses, where that is not its own uid: by the ranges of the moment when it
    // connected, so that what is counted up is counted down again.
    std::optional<uid_t> paid_by = std::nullopt;
    [[nodiscard]] uid_t payer() const { return paid_by.value_or(uid); }
    auto operator<=>(const Caller&) const = default;
};

// The system's unit that a caller is in. Absent where it is not known: an allow rule that names a
// unit then does not hold, and a deny rule that names one does.
using Unit = std::optional<std::string>;

struct Verdict {
    const Action* action = nullptr;  // granted, and belongs to the snapshot; null: denied
    // For the audit and the administrator; the caller never sees them.
    std::string reason;  // "allowed", "denied by a rule", "no rule matches", "no such action", ...
    std::string rule;    // Rule::text of the rule that decided, if one did
    std::string place;   // its FILE:LINE, else the action's file, else empty
};

Verdict decide(const Snapshot& snapshot, const Caller& caller, std::string_view action,
               const Unit& unit = std::nullopt);

// What this caller may run, by name.
std::vector<const Action*> granted(const Snapshot& snapshot, const Caller& caller,
                                   const Unit& unit = std::nullopt);

// Whether some rule of the action asks for the caller's unit.
bool names_a_unit(const Action& action);

}  // namespace postern::policy
