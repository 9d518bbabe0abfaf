#include "daemon/guard/calls/job_audit.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace postern {

JobAudit::JobAudit(Audit& audit, std::shared_ptr<const policy::Caller> caller, pid_t pid,
                   std::optional<std::string> unit, std::string action)
    : audit_(audit),
      caller_(std::move(caller)),
      pid_(pid),
      unit_(std::move(unit)),
      action_(std::move(action)) {}

AuditEvent JobAudit::audit_event(AuditEvent::Kind kind, const std::string& job) const {
    AuditEvent event;
    event.kind = kind;
    event.caller = caller_.get();
    event.pid = pid_;
    event.unit = unit_;
    event.action = action_;
    event.job = job;
    return event;
}

void JobAudit::start_failed(const std::string& job, const jobs::StartFailure& failure) {
    AuditEvent event = audit_event(AuditEvent::Kind::job_not_started, job);
    event.reason = failure.detail;
    audit_.write(event);
    spdlog::warn("job {} of {} was not started: {}", job, action_, failure.detail);
}

void JobAudit::ended(const std::string& job, const JobResult& result) {
    const bool lost = result.outcome == Outcome::lost;
    AuditEvent event =
        audit_event(lost ? AuditEvent::Kind::job_lost : AuditEvent::Kind::job_ended, job);
    if (!lost) event.result = result;
    if (!audit_.write(event)) spdlog::error("job {} ended: not audited", job);
    spdlog::info("job {} of {} ended: {}", job, action_, describe(result));
}

}  // namespace postern
