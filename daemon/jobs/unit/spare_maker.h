// What a spare is made of: its directory, pipes and socket, and the unit that systemd is asked for.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "daemon/jobs/job_host.h"
#include "daemon/jobs/settings.h"
#include "daemon/jobs/unit/spare.h"
#include "daemon/jobs/unit/unit_spec.h"
#include "daemon/policy/snapshot.h"

namespace postern::jobs {

// Where systemd finds the program that the guard has open. Empty: it was replaced since.
std::string path_of_launcher(const Settings& settings);

// All but its unit. `markers` is the directory of the files that say which there are. Error: why
// not; then nothing is left of it.
Result<std::unique_ptr<Spare>> make_spare(JobHost& host, const policy::Action& action,
                                          const std::string& markers);

// The spare stays until systemd has answered: its descriptors are in there.
UnitSpec spec_of(const Spare& spare, const policy::Action& action, const std::string& launcher,
                 const Settings& settings);

}  // namespace postern::jobs
