#include "daemon/jobs/direct/direct_supervisor.h"

#include <unistd.h>

#include <utility>

#include "daemon/jobs/direct/direct_job.h"
#include "daemon/jobs/direct/process_group.h"

namespace postern::jobs {

DirectSupervisor::DirectSupervisor(JobHost& host, std::optional<CgroupPlace> cgroup)
    : host_(host),
      cgroup_(std::move(cgroup)),
      launchers_(host.event(), {host.settings().spawner, host.settings().launcher.get(),
                                host.settings().launchers_waiting, host.settings().launcher_wait}) {
}

DirectSupervisor::~DirectSupervisor() {
    // What jobs still run keep it.
    if (cgroup_) rmdir(cgroup_->folder.c_str());
}

std::string_view DirectSupervisor::name() const {
    return cgroup_ ? "cgroups" : "process groups";
}

Result<std::unique_ptr<Job>> DirectSupervisor::prepare(JobParts parts) {
    std::unique_ptr<Processes> processes = std::make_unique<ProcessGroup>();
    if (cgroup_) {
        POSTERN_TRY(auto cgroup, Cgroup::make(*cgroup_, parts.record.job));
        parts.record.cgroup = cgroup->folder();
        processes = std::move(cgroup);
    }
    return std::unique_ptr<Job>(
        std::make_unique<DirectJob>(host_, std::move(parts), std::move(processes), launchers_));
}

}  // namespace postern::jobs
