// The launcher of one job, with what its action, its command and its record say.
#pragma once

#include "base/result.h"
#include "daemon/jobs/direct/launch.h"
#include "daemon/jobs/direct/launcher_stock.h"
#include "daemon/jobs/job_output.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/settings.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"

namespace postern::jobs {

// One of the stock, or a new one; it waits to be let go. Error: there is no descriptor, process or
// memory to be had.
Result<Launched> launch_job(LauncherStock& stock, const Settings& settings,
                            const policy::Action& action, const policy::Command& command,
                            const Record& record, const JobOutput& output, int program,
                            int stdin_end);

}  // namespace postern::jobs
