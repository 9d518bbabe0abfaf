// Puts the manager of jobs together: who supervises them, and what becomes of those that a guard
// before this one left.
#pragma once

#include <systemd/sd-event.h>

#include <memory>

#include "base/result.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/observer.h"
#include "daemon/jobs/settings.h"

namespace postern::jobs {

// Makes the folders, connects to systemd or finds a cgroup to put jobs into. Of what a guard that
// died or stopped left behind, systemd's jobs are resumed; the others are ended and recorded as
// lost, and the observer, which outlives the manager, is told. May wait some seconds for leftovers
// to be gone: not for inside the loop. Sets SIGCHLD to its default where a parent left it ignored.
// Where the state folder can't be made or read, that is said, and it is tried again from the loop
// (late_jobs.h). Errors: it is not safe, another guard uses it, or systemd can't be reached.
Result<std::unique_ptr<JobManager>> open_jobs(sd_event* event, Settings settings,
                                              Observer& observer);

}  // namespace postern::jobs
