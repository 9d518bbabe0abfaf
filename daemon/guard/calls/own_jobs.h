// Jobs of one's own: only who is the same to every rule (uid, gid, groups, and unit once a rule
// names one) may look a job up, follow it, cancel it, or find it by its key. To everybody else it
// does not exist; but to the administrator, on the administrator's socket, every job does.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/record/job_facts.h"
#include "daemon/jobs/record/record.h"
#include "daemon/policy/snapshot.h"
#include "model/job.h"

namespace postern {

jobs::Requester requester_of(const CallContext& call, const jobs::JobManager& jobs,
                             const std::string& key);

// Whether the job is the caller's. Its unit counts if a rule of the action names one, now or when
// the job was started.
bool is_own(const CallContext& call, const jobs::JobManager& jobs, const jobs::Record& record,
            const policy::Snapshot& snapshot);

// The same, to ask for all of them. The snapshot outlives what it returns.
jobs::JobQuery::Caller caller_of_jobs(const CallContext& call, const jobs::JobManager& jobs,
                                      const policy::Snapshot& snapshot);

// The job that this caller has given the key, but for one that never began through no fault of its
// own. Absent: none, as far as records are kept. Error: it can't be found out.
Result<std::optional<jobs::Record>> find_own(const CallContext& call, const jobs::JobManager& jobs,
                                             const std::string& key,
                                             const policy::Snapshot& snapshot);

// The job, if it is this caller's; else the call is refused and that is audited. It may be named by
// the beginning of its id, if no other job of this caller begins so: others' are not looked at.
std::optional<jobs::Record> own_job_or_refuse(CallContext& call, const jobs::JobManager& jobs,
                                              const JobId& job, const policy::Snapshot& snapshot);

}  // namespace postern
