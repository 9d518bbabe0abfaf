// What callers are told of a job, and of many.
#pragma once

#include "daemon/guard/calls/call_context.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/record/job_facts.h"
#include "daemon/jobs/record/record.h"
#include "daemon/policy/snapshot.h"
#include "model/call.h"
#include "model/job.h"

namespace postern {

// All that its owner, or the administrator, may know of it.
JobView view_of(const CallContext& call, const jobs::JobManager& jobs, const jobs::Record& record);

// Answers with one page. Precondition: who asks for everybody's is the administrator.
void answer_with_page(CallContext& call, const jobs::JobManager& jobs,
                      const policy::Snapshot& snapshot, const ListCall& asked);

}  // namespace postern
