// Calls that cancel jobs: each is answered when what it cancels has ended. A connection that goes
// before that changes nothing of it.
#pragma once

#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/calls/run.h"
#include "daemon/jobs/record/record.h"
#include "model/call.h"

namespace postern {

// Precondition: the caller may, by the job's owner or by the way of the call.
void cancel_job(const CallPtr& call, CallEnvironment& environment, const jobs::Record& job,
                const CancelCall& asked);

// Of the administrator: all jobs of a user, and what of that user waits for its turn.
void cancel_all_of(const CallPtr& call, CallEnvironment& environment, const CancelAllCall& asked);

}  // namespace postern
