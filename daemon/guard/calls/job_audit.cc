#include "daemon/guard/calls/job_audit.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace postern {

void JobAudit::remember(const JobId& job, std::shared_ptr<const policy::Caller> caller) {
    callers_.emplace(job, std::move(caller));
}

bool JobAudit::write(AuditEvent event, const jobs::Record& job) {
    policy::Caller known;
    known.uid = job.requester.uid;
    known.gid = job.requester.gid;
    known.paid_by = job.requester.paid_by;
    const auto remembered = callers_.extract(job.job);
    event.caller = remembered ? remembered.mapped().get() : &known;
    event.pid = job.requester.pid;
    event.unit = job.requester.unit;
    event.action = job.action;
    event.job = job.job.text();
    return audit_.write(event);
}

void JobAudit::resumed(const jobs::Record& job) {
    spdlog::info("job {} of {}, started before this daemon, is resumed", job.job.text(),
                 job.action);
}

void JobAudit::lost(const jobs::Record& job) {
    spdlog::warn("job {} of {} is lost: the daemon that ran it died", job.job.text(), job.action);
    policy::Caller caller;
    caller.uid = job.requester.uid;
    caller.paid_by = job.requester.paid_by;
    AuditEvent event;
    event.kind = AuditEvent::Kind::job_lost;
    event.caller = &caller;
    event.action = job.action;
    event.job = job.job.text();
    audit_.write(event);
}

void JobAudit::start_failed(const jobs::Record& job, const jobs::StartFailure& failure) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::job_not_started;
    event.reason = failure.detail;
    write(std::move(event), job);
    spdlog::warn("job {} of {} was not started: {}", job.job.text(), job.action, failure.detail);
}

void JobAudit::ended(const jobs::Record& job) {
    const bool lost = job.result.outcome == Outcome::lost;
    AuditEvent event;
    event.kind = lost ? AuditEvent::Kind::job_lost : AuditEvent::Kind::job_ended;
    if (!lost) event.result = job.result;
    if (!write(std::move(event), job)) spdlog::error("job {} ended: not audited", job.job.text());
    spdlog::info("job {} of {} ended: {}", job.job.text(), job.action, describe(job.result));
}

void JobAudit::moved(const JobId& job, std::string_view from, std::string_view to) {
    spdlog::debug("job {}: {} -> {}", job.text(), from, to);
}

}  // namespace postern
