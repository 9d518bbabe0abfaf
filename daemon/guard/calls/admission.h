// Whether one more job may run, and its key be remembered.
#pragma once

#include <string>

#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/calls/run.h"

namespace postern {

// False: the limits leave no room, and the call is refused and audited. What waits for its turn
// counts as if it ran. What a guard before left counts once it is known to run: no start gets its
// turn before (JobManager::settled()), and then it is asked again, with `has_turn`.
bool admit_or_refuse(CallContext& call, const CallEnvironment& environment,
                     const std::string& action, bool has_turn = false);

// The same for a call that has a key: false where that could not be remembered.
bool admit_key_or_refuse(CallContext& call, jobs::JobManager& jobs, const std::string& action);

// False: the disk is full (JobManager::disk_full()), or no record or audit can be written at all,
// and the call is refused and audited.
bool room_or_refuse(CallContext& call, const CallEnvironment& environment,
                    const std::string& action);
// What a caller is told then of the second: where things lie is the administrator's business.
inline constexpr const char* told_of_no_record =
    "no job can be started at the moment: its record or its audit can't be written; try again "
    "later, the administrator finds more in the log";
// What a caller is told then.
std::string told_of_full_disk(const std::string& full);

}  // namespace postern
