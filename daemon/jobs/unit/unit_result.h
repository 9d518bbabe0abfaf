// What the last state of a job's unit says about how the job ended. Pure.
#pragma once

#include <optional>

#include "daemon/jobs/start_failure.h"
#include "daemon/jobs/unit/service_manager.h"
#include "model/job.h"

namespace postern::jobs {

// The main process has ended, or there never was one, and the unit's state says how: failed, or
// active without a main process, though others may run on (ExitType=cgroup). While systemd ends
// those others (deactivating), it is not final, although ExecMainCode is set.
bool is_final(const UnitState& state);

// Whether the program was executed.
bool was_executed(const UnitState& state);

// Precondition: is_final() and not was_executed(). `unit` is for the administrator's eyes.
StartFailure start_failure(const UnitState& state, const std::string& unit);

// Precondition: was_executed(), and the unit is final or gone. Without the time of the end. `cause`
// is why we ended it, if we did.
JobResult result_of(const UnitState& state, std::optional<Outcome> cause);

}  // namespace postern::jobs
