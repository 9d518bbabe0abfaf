// What the last state of a job's unit says about how the job ended. Pure.
#pragma once

#include <optional>

#include "daemon/jobs/start_failure.h"
#include "daemon/jobs/unit/unit_news.h"
#include "model/job.h"

namespace postern::jobs {

// Of a unit that has waited for its job: its launcher has left, and nothing was run.
bool was_never_ordered(const UnitState& state);

// Whether the program was executed.
bool was_executed(const UnitState& state);

// Precondition: the unit is over or gone, and not was_executed(). `unit` is for the administrator's
// eyes.
StartFailure start_failure(const UnitState& state, const std::string& unit);

// Precondition: was_executed(), and none of its processes is left, or will be. Without the time of
// the end. `cause` is why we ended it, if we did.
JobResult result_of(const UnitState& state, std::optional<Outcome> cause);

}  // namespace postern::jobs
