#include "daemon/guard/calls/own_jobs.h"

#include "base/utf8.h"
#include "daemon/policy/verdict.h"

namespace postern {

jobs::Requester requester_of(const CallContext& call, const jobs::JobManager& jobs,
                             const std::string& key) {
    const policy::Caller& caller = call.caller();
    jobs::Requester requester{caller.uid,
                              caller.gid,
                              call.origin().pid,
                              jobs.digest(caller.groups),
                              caller.groups_known,
                              call.origin().unit,
                              key};
    requester.paid_by = caller.paid_by;
    requester.user = call.names().user(caller.uid);
    return requester;
}

bool is_own(const CallContext& call, const jobs::JobManager& jobs, const jobs::Record& record,
            const policy::Snapshot& snapshot) {
    const policy::Caller& caller = call.caller();
    const jobs::Requester& requester = record.requester;
    // What a packet has started, whoever of its user and group could have started.
    const bool groups_fit = !requester.groups_known ||
                            (caller.groups_known && jobs.digest(caller.groups) == requester.groups);
    if (caller.uid != requester.uid || caller.gid != requester.gid || !groups_fit) return false;
    const auto action = snapshot.actions.find(record.action);
    const bool unit_counts =
        action != snapshot.actions.end() && policy::names_a_unit(action->second);
    return !unit_counts || call.origin().unit == requester.unit;
}

Result<std::optional<jobs::Record>> find_own(const CallContext& call, const jobs::JobManager& jobs,
                                             const std::string& key,
                                             const policy::Snapshot& snapshot) {
    POSTERN_TRY(auto records, jobs.find_key(requester_of(call, jobs, key)));
    for (jobs::Record& record : records) {
        if (!record.again && is_own(call, jobs, record, snapshot)) {
            return std::optional(std::move(record));
        }
    }
    return std::optional<jobs::Record>();
}

std::optional<jobs::Record> own_job_or_refuse(CallContext& call, const jobs::JobManager& jobs,
                                              const JobId& job, const policy::Snapshot& snapshot) {
    std::optional<jobs::Record> record = jobs.find(job);
    const bool administers = call.origin().way == Way::administrator;
    if (record && (administers || is_own(call, jobs, *record, snapshot))) return record;
    AuditEvent event =
        call.event(AuditEvent::Kind::call_denied, record ? record->action : std::string());
    event.job = job.text();
    event.reason = record ? "the job is another caller's" : "no such job";
    call.audit(event);
    // The same words whether it exists or not.
    call.refuse(
        Refusal::no_such_job, job.text(),
        "there is no job \"" + printable(job.text()) +
            "\" of yours: it never was, it is another caller's, or its record is no longer kept");
    return std::nullopt;
}

}  // namespace postern
