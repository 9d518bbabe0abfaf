// Accounts, subordinate ids and members of groups -> People. Reads files and asks NSS, so it may
// block, as loading does.
#pragma once

#include "daemon/policy/file/load_options.h"
#include "daemon/policy/people.h"
#include "daemon/policy/snapshot.h"

namespace postern::policy {

// For the rules of this snapshot. Whatever can't be found out is in the warnings, and makes owners
// unknown rather than nobody's.
People read_people(const LoadOptions& options, const Snapshot& snapshot);

}  // namespace postern::policy
