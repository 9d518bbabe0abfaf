#include "daemon/guard/calls/admission.h"

#include <cstddef>
#include <optional>

#include "base/limits.h"

namespace postern {

bool admit_or_refuse(CallContext& call, const CallEnvironment& environment,
                     const std::string& action, bool has_turn) {
    const jobs::JobManager& jobs = environment.jobs;
    const jobs::StartQueue& starts = environment.starts;
    const Limits& limits = environment.limits;
    const uid_t payer = call.caller().payer();
    const std::size_t all =
        jobs.active() - jobs.unproven(std::nullopt) + (has_turn ? 0 : starts.waiting());
    const std::size_t of_payer =
        jobs.active(payer) - jobs.unproven(payer) + (has_turn ? 0 : starts.waiting(payer));
    const bool full = all >= limits.jobs;
    if (!full && of_payer < limits.jobs_per_user) return true;
    const std::string limit = full ? "jobs" : "jobsPerUser";
    const std::string bound = std::to_string(full ? limits.jobs : limits.jobs_per_user);
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, action);
    event.reason = "limit " + limit;
    call.audit(event);
    call.refuse(Refusal::limit_reached, limit,
                (full ? "there are already " : "you already have ") + bound +
                    " jobs running (limit " + limit + "); try again when one has ended");
    return false;
}

bool admit_key_or_refuse(CallContext& call, jobs::JobManager& jobs, const std::string& action) {
    if (jobs.has_room_for_key(call.caller().payer())) return true;
    const std::string limit = "recordsPerUser";
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, action);
    event.reason = "limit " + limit + ": no room for another key";
    call.audit(event);
    call.refuse(Refusal::limit_reached, limit,
                "too many keys were given within " + std::to_string(limits::key_memory.count()) +
                    " minutes, for which all of them are remembered (limit " + limit +
                    "); try again later, or call without a key");
    return false;
}

std::string told_of_full_disk(const std::string& full) {
    return "no job can be started at the moment: disk full (" + full +
           "); ask the administrator to make room there, then try again";
}

bool room_or_refuse(CallContext& call, const CallEnvironment& environment,
                    const std::string& action) {
    std::string reason = environment.jobs.disk_full();
    const std::string told = reason.empty() ? told_of_no_record : told_of_full_disk(reason);
    if (reason.empty()) reason = environment.jobs.state_problem();
    if (reason.empty()) reason = environment.job_audit.audit_problem();
    if (reason.empty()) return true;
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, action);
    event.reason = reason;
    call.audit(event);
    call.refuse(Refusal::unavailable, "", told);
    return false;
}

}  // namespace postern
