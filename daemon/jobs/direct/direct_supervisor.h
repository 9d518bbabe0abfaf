// The guard supervises jobs itself: each in a cgroup of its own where there can be one, else in a
// process group.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "daemon/jobs/direct/cgroup.h"
#include "daemon/jobs/direct/launcher_stock.h"
#include "daemon/jobs/supervisor.h"

namespace postern::jobs {

class DirectSupervisor final : public Supervisor {
  public:
    // `cgroup` holds those of all jobs; absent: there is none.
    DirectSupervisor(JobHost& host, std::optional<CgroupPlace> cgroup);
    ~DirectSupervisor() override;
    DirectSupervisor(const DirectSupervisor&) = delete;
    DirectSupervisor& operator=(const DirectSupervisor&) = delete;

    [[nodiscard]] std::string_view name() const override;
    Result<std::unique_ptr<Job>> prepare(JobParts parts) override;

  private:
    JobHost& host_;
    std::optional<CgroupPlace> cgroup_;
    LauncherStock launchers_;
};

}  // namespace postern::jobs
