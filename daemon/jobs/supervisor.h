// Who starts the processes of jobs, watches over them and ends them: systemd (unit/) or the guard
// itself (direct/). Each makes its own kind of Job, which has the rest: start(), end().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "daemon/jobs/job.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"

namespace postern::jobs {

class Supervisor {
  public:
    virtual ~Supervisor() = default;
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    // "systemd", "cgroups", or "process groups": what a job's processes are held together by.
    [[nodiscard]] virtual std::string_view name() const = 0;

    // What is there already for a job of this action and command, if anything: its unit, in which
    // everything but the program is in place. It is prepare()'s, with the same id, or is let go by
    // drop_prepared().
    struct Prepared {
        JobId id;
        JobStreams streams;
    };
    virtual std::optional<Prepared> take_prepared(const policy::Action& /*action*/,
                                                  const policy::Command& /*command*/) {
        return std::nullopt;
    }
    virtual void drop_prepared(const JobId& /*id*/) {}
    // Other actions are loaded: nothing that is there already is good any more.
    virtual void actions_changed(const policy::SnapshotPtr& /*actions*/) {}
    // The guard ends, and with it what waits for jobs. `done` is called when nothing of that is
    // left, or after a second.
    virtual void shut_down(const std::function<void()>& done) { done(); }

    // A job of which nothing runs yet; its record names from now on what its processes will be
    // found by, should this guard die. The supervisor outlives it. Error: why there can't be one.
    virtual Result<std::unique_ptr<Job>> prepare(JobParts parts) = 0;

  protected:
    Supervisor() = default;
};

}  // namespace postern::jobs
