// Who starts the processes of jobs, watches over them and ends them: systemd (unit/) or the guard
// itself (direct/). Each makes its own kind of Job, which has the rest: start(), end().
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "daemon/jobs/job.h"

namespace postern::jobs {

class Supervisor {
  public:
    virtual ~Supervisor() = default;
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    // "systemd", "cgroups", or "process groups": what a job's processes are held together by.
    [[nodiscard]] virtual std::string_view name() const = 0;

    // A job of which nothing runs yet; its record names from now on what its processes will be
    // found by, should this guard die. The supervisor outlives it. Error: why there can't be one.
    virtual Result<std::unique_ptr<Job>> prepare(JobParts parts) = 0;

  protected:
    Supervisor() = default;
};

}  // namespace postern::jobs
