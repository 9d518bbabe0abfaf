// What a job is started with: made of its action, its command and its record.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/direct/launch.h"
#include "daemon/jobs/job.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"

namespace postern::jobs {

// Its standard input: /dev/null, or a sealed file. Error: no descriptor or memory is to be had.
Result<UniqueFd> stdin_of(const policy::Command& command);

// Which of the output files is its standard error.
std::size_t error_stream(const policy::Action& action);

// For systemd, but for the descriptors and the times.
UnitSpec unit_spec(const policy::Action& action, const policy::Command& command,
                   const Record& record);

// Spawns the launcher, which waits to be let go. Error: the program is not safe any more, or there
// is no descriptor, process or memory to be had.
Result<Launched> launch_job(const Settings& settings, const policy::Action& action,
                            const policy::Command& command, const Record& record,
                            const JobFiles& files);

}  // namespace postern::jobs
