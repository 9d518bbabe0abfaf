// systemd supervises jobs: each is a transient unit.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/supervisor.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/jobs/unit/spare.h"
#include "daemon/jobs/unit/spares.h"
#include "daemon/jobs/unit/unit_cleaner.h"
#include "daemon/jobs/unit/unit_job.h"

namespace postern::jobs {

class UnitSupervisor final : public Supervisor {
  public:
    // Waits for systemd's first answer: not for inside the loop. Error: why it can't be reached.
    static Result<std::unique_ptr<UnitSupervisor>> connect(JobHost& host);

    [[nodiscard]] std::string_view name() const override { return "systemd"; }
    std::optional<Prepared> take_prepared(const policy::Action& action,
                                          const policy::Command& command) override {
        return spares_->take(action, command);
    }
    void drop_prepared(const JobId& id) override { spares_->drop(id); }
    void actions_changed(const policy::SnapshotPtr& actions) override {
        spares_->actions_changed(actions);
    }
    void shut_down(const std::function<void()>& done) override { spares_->close(done); }
    Result<std::unique_ptr<Job>> prepare(JobParts parts) override;

    // What a guard before this one left to systemd in this boot: the jobs are added to the host,
    // and units whose jobs are over are forgotten.
    void resume(std::vector<Record> left);

  private:
    explicit UnitSupervisor(JobHost& host) : host_(host) {}
    void resume(Record record);
    std::unique_ptr<UnitJob> make(JobParts parts, std::unique_ptr<Spare> spare);
    void changed(const std::string& unit, Told told, const UnitNews& news);
    void reloaded();
    void reconnected();
    void forget_units();

    JobHost& host_;
    std::unique_ptr<ServiceManager> services_;
    UnitJobs jobs_;
    std::unique_ptr<UnitCleaner> cleaner_;
    std::unique_ptr<Spares> spares_;
};

}  // namespace postern::jobs
