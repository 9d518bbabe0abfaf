// Whether one more job may run, and its key be remembered.
#pragma once

#include <string>

#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/config/limits.h"
#include "daemon/jobs/job_manager.h"

namespace postern {

// False: the limits leave no room, and the call is refused and audited.
bool admit_or_refuse(CallContext& call, const jobs::JobManager& jobs, const Limits& limits,
                     const std::string& action);

// The same for a call that has a key: false where that could not be remembered.
bool admit_key_or_refuse(CallContext& call, jobs::JobManager& jobs, const std::string& action);

}  // namespace postern
