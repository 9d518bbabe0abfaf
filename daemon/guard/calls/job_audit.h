// What every job leaves in audit and log when it is over, whether or not a call still waits for it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "daemon/guard/audit/audit.h"
#include "daemon/guard/calls/job_ends.h"
#include "daemon/jobs/observer.h"
#include "daemon/policy/verdict.h"

namespace postern {

class JobAudit final : public jobs::Observer {
  public:
    // `changed`: called when a job is over, and when trouble() changes.
    explicit JobAudit(
        Audit& audit, std::function<void()> changed = [] {})
        : audit_(audit), changed_(std::move(changed)) {}

    // Whose job it is, with all groups, of which its record has only a digest. Until it is over.
    void remember(const JobId& job, std::shared_ptr<const policy::Caller> caller);

    void resumed(const jobs::Record& job) override;
    void lost(const jobs::Record& job) override;
    void start_failed(const jobs::Record& job, const jobs::StartFailure& failure) override;
    void ended(const jobs::Record& job) override;
    void evicted(const jobs::Record& job, const std::string& why, bool for_room) override;
    void disk_full(const std::string& path, const std::string& why) override;
    void disk_has_room(const std::string& path) override;
    // Why no start can be recorded in the audit. Empty: it can, as far as is known.
    [[nodiscard]] std::string audit_problem();
    // What the service manager is to show of the disk; empty: nothing.
    [[nodiscard]] const std::string& trouble() const { return trouble_; }
    void moved(const JobId& job, std::string_view from, std::string_view to) override;
    // They are told when it is written down.
    [[nodiscard]] JobEnds& ends() { return ends_; }

  private:
    // What is the same in all that is written of how it ended. Forgets its caller.
    bool write(AuditEvent event, const jobs::Record& job);
    void tell(bool recorded, const std::string& what);
    void write_of_disk(AuditEvent::Kind kind, const std::string& path, const std::string& reason);

    Audit& audit_;
    std::function<void()> changed_;
    std::string trouble_;
    JobEnds ends_;
    std::unordered_map<JobId, std::shared_ptr<const policy::Caller>> callers_;
};

}  // namespace postern
