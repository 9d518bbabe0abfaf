#include "daemon/jobs/record/job_facts.h"

namespace postern::jobs {

JobFacts facts_of(const Record& record, std::uint64_t unit) {
    const Requester& who = record.requester;
    return {record.job,
            record.action,
            record.state,
            record.created,
            {who.uid, who.gid, who.groups, who.groups_known, who.paid_by},
            who.pid,
            unit,
            is_over(record.state) ? record.result : JobResult{},
            record.unit_counts};
}

JobState job_state(RecordState state) {
    switch (state) {
        case RecordState::starting:
            return JobState::starting;
        case RecordState::running:
            return JobState::running;
        case RecordState::ended:
        case RecordState::lost:
            return JobState::ended;
        case RecordState::failed:
            break;
    }
    return JobState::failed;
}

// What a packet has started, whoever of its user and group could have started.
bool JobCaller::is(const JobOwner& owner) const {
    const bool groups_fit = !owner.groups_known || (groups_known && groups == owner.groups);
    return uid == owner.uid && gid == owner.gid && groups_fit;
}

bool JobQuery::wants(const JobFacts& job) const {
    if (caller) {
        if (!caller->is(job.owner)) return false;
        const bool unit_counts = job.unit_counts || caller->unit_counts(job.action);
        if (unit_counts && caller->unit != job.unit) return false;
    }
    if (!action.empty() && action != job.action) return false;
    if (state && *state != job_state(job.state)) return false;
    if (job.created < since) return false;
    if (before && !(JobPlace{job.created, job.job} < *before)) return false;
    return job.job.text().starts_with(beginning);
}

}  // namespace postern::jobs
