// Those who keep what the jobs of a test write: the real program, or one that only makes pipes.
#pragma once

#include <systemd/sd-event.h>

#include "daemon/jobs/output/keeper_link.h"
#include "daemon/loop/spawner.h"

namespace postern::jobs {

// A process of the real postern-output, opened as `program`, for each connection. All of them
// outlive what is returned.
KeeperLink::Connect real_keeper(sd_event* event, Spawner& spawner, int program);

// It is in the loop itself, has nothing, and makes pipes: for jobs that write nothing. `event`
// outlives what is returned.
KeeperLink::Connect pipe_maker(sd_event* event);

}  // namespace postern::jobs
