#include "daemon/guard/calls/job_audit.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "daemon/guard/audit/audit_message.h"
#include "daemon/jobs/job_manager.h"

namespace postern {

void JobAudit::remember(const JobId& job, std::shared_ptr<const policy::Caller> caller) {
    callers_.emplace(job, std::move(caller));
}

std::string JobAudit::audit_problem() {
    Status ready = audit_.ready();
    return ready ? std::string() : std::move(ready).error().message;
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

// In the log too, but where that would be the same journal.
void JobAudit::tell(bool recorded, const std::string& what) {
    const bool is_there = recorded && std::string_view(audit_.sink_name()) == "journal";
    spdlog::log(is_there ? spdlog::level::debug : spdlog::level::warn, "{}", what);
}

void JobAudit::resumed(const jobs::Record& job) {
    spdlog::info("job {} of {}, started before this daemon, is resumed", job.job.text(),
                 job.action);
}

void JobAudit::lost(const jobs::Record& job) {
    policy::Caller caller;
    caller.uid = job.requester.uid;
    caller.paid_by = job.requester.paid_by;
    AuditEvent event;
    event.kind = AuditEvent::Kind::job_lost;
    event.cancelled_by = job.result.cancelled_by;
    event.caller = &caller;
    event.action = job.action;
    event.job = job.job.text();
    const bool recorded = audit_.write(event);
    tell(recorded,
         "job " + job.job.text() + " of " + job.action + " is lost: the daemon that ran it died");
}

void JobAudit::start_failed(const jobs::Record& job, const jobs::StartFailure& failure) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::job_not_started;
    event.reason = failure.detail;
    event.cancelled_by = job.result.cancelled_by;
    const bool recorded = write(std::move(event), job);
    tell(recorded,
         "job " + job.job.text() + " of " + job.action + " was not started: " + failure.detail);
    ends_.tell(job);
    changed_();
}

void JobAudit::ended(const jobs::Record& job) {
    const bool lost = job.result.outcome == Outcome::lost;
    AuditEvent event;
    event.kind = lost ? AuditEvent::Kind::job_lost : AuditEvent::Kind::job_ended;
    if (!lost) event.result = job.result;
    event.cancelled_by = job.result.cancelled_by;
    const bool recorded = write(std::move(event), job);
    // Once is enough.
    if (!recorded) {
        spdlog::error("job {} of {} ended: {}; this can't be recorded in the audit", job.job.text(),
                      job.action, describe(job.result));
    }
    ends_.tell(job);
    changed_();
}

// Newer jobs of the same user take the place of older ones all the time.
void JobAudit::evicted(const jobs::Record& job, const std::string& why, bool for_room) {
    if (for_room) {
        AuditEvent event;
        event.kind = AuditEvent::Kind::job_evicted;
        event.reason = why;
        if (write(std::move(event), job)) return;
    }
    spdlog::info("job {} of {} is no longer kept: {}", job.job.text(), job.action, why);
}

void JobAudit::write_of_disk(AuditEvent::Kind kind, const std::string& path,
                             const std::string& reason) {
    AuditEvent event;
    event.kind = kind;
    event.place = path;
    event.reason = reason;
    audit_.write(event);
}

// In the log too, wherever the audit goes: it may be to the same disk.
void JobAudit::disk_full(const std::string& path, const std::string& why) {
    write_of_disk(AuditEvent::Kind::disk_full, path, why);
    trouble_ = "disk full: " + path + ": " + why;
    spdlog::error("{}; {}", trouble_, jobs::full_disk_advice);
    changed_();
}

void JobAudit::disk_has_room(const std::string& path) {
    write_of_disk(AuditEvent::Kind::disk_has_room, path, "");
    trouble_.clear();
    spdlog::warn("the disk has room again: {}", path);
    changed_();
}

void JobAudit::moved(const JobId& job, std::string_view from, std::string_view to) {
    spdlog::debug("job {}: {} -> {}", job.text(), from, to);
}

}  // namespace postern
