// What every job leaves in audit and log when it is over, whether or not a call still waits for it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "daemon/guard/audit/audit.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/policy/verdict.h"

namespace postern {

class JobAudit final : public jobs::Witness {
  public:
    JobAudit(Audit& audit, std::shared_ptr<const policy::Caller> caller, pid_t pid,
             std::optional<std::string> unit, std::string action);

    void start_failed(const std::string& job, const jobs::StartFailure& failure) override;
    void ended(const std::string& job, const JobResult& result) override;

  private:
    AuditEvent audit_event(AuditEvent::Kind kind, const std::string& job) const;

    Audit& audit_;
    std::shared_ptr<const policy::Caller> caller_;
    pid_t pid_;
    std::optional<std::string> unit_;
    std::string action_;
};

}  // namespace postern
