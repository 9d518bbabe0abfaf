// What a job, and who supervises it, needs of its surroundings.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/jobs/observer.h"
#include "daemon/jobs/output/keeper_link.h"
#include "daemon/jobs/record/record_store.h"
#include "daemon/jobs/settings.h"
#include "daemon/jobs/start_failure.h"

namespace postern::jobs {

class Job;

class JobHost {
  public:
    virtual ~JobHost() = default;
    [[nodiscard]] virtual sd_event* event() const = 0;
    [[nodiscard]] virtual const Settings& settings() const = 0;
    virtual RecordStore& records() = 0;
    virtual Observer& observer() = 0;
    // Settings::notice, where there is one.
    virtual void notice(const std::string& message) const = 0;
    // It is active from now on, until over().
    virtual void add(std::unique_ptr<Job> job) = 0;
    // As FileWatcher::watch; a change comes as Job::file_changed().
    virtual int watch(Job& job, const std::string& path) = 0;
    virtual void unwatch(int watch) = 0;
    virtual KeeperLink& keeper() = 0;
    // Tells postern-output from the loop what it has not heard of the job's output.
    virtual void sync_soon(const Job& job) = 0;
    // Calls it from the loop, if the job is not over by then.
    virtual void later(const Job& job, std::function<void(Job&)> what) = 0;
    // The job is over, its observer and followers told nothing yet. Destroys it. With a failure it
    // was not started, else its record says how it ended.
    virtual void over(Job& job, const std::optional<StartFailure>& failure) = 0;
};

}  // namespace postern::jobs
