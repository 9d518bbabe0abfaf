// What every job leaves in audit and log when it is over, whether or not a call still waits for it.
#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>

#include "daemon/guard/audit/audit.h"
#include "daemon/jobs/observer.h"
#include "daemon/policy/verdict.h"

namespace postern {

class JobAudit final : public jobs::Observer {
  public:
    explicit JobAudit(Audit& audit) : audit_(audit) {}

    // Whose job it is, with all groups, of which its record has only a digest. Until it is over.
    void remember(const JobId& job, std::shared_ptr<const policy::Caller> caller);

    void resumed(const jobs::Record& job) override;
    void lost(const jobs::Record& job) override;
    void start_failed(const jobs::Record& job, const jobs::StartFailure& failure) override;
    void ended(const jobs::Record& job) override;
    void moved(const JobId& job, std::string_view from, std::string_view to) override;

  private:
    // What is the same in all that is written of how it ended. Forgets its caller.
    bool write(AuditEvent event, const jobs::Record& job);

    Audit& audit_;
    std::unordered_map<JobId, std::shared_ptr<const policy::Caller>> callers_;
};

}  // namespace postern
