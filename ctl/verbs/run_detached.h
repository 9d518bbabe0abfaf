// `posternctl run --detach` and `--datagram`: the job is started, and nobody waits for it.
#pragma once

#include "ctl/verbs/invocation.h"

namespace postern::ctl {

// The exit code: 0 once the daemon has named the job.
int run_detached(const Invocation& invocation);

}  // namespace postern::ctl
