#include "daemon/guard/calls/own_jobs.h"

#include <spdlog/spdlog.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "daemon/jobs/record/job_key.h"
#include "daemon/policy/verdict.h"

namespace postern {
namespace {

// Whether it may name a job: by the whole of its id, or by the beginning.
bool is_beginning(const JobId& job) {
    constexpr std::size_t least_digits = 4;
    return job.text().size() >= least_digits && jobs::JobKey::least_with(job.text());
}

// The same words whether it exists or not.
std::string told_of_no_job(const JobId& job, bool is_everybodys) {
    const std::string name = '"' + printable(job.text()) + '"';
    if (!is_beginning(job)) {
        return name +
               " is not the id of a job, or its beginning; give at least four of its digits (0 to "
               "9, a to f)";
    }
    if (is_everybodys) {
        return "there is no job " + name + ": it may not exist, or may have been removed";
    }
    return "you have no job " + name +
           ": it may not exist, may belong to somebody else, or may have been removed";
}

// Those that the caller may know of.
std::vector<JobId> jobs_beginning(const CallContext& call, const jobs::JobManager& jobs,
                                  const JobId& beginning, const policy::Snapshot& snapshot) {
    jobs::JobQuery query;
    if (call.origin().way != Way::administrator) {
        query.caller = caller_of_jobs(call, jobs, snapshot);
    }
    query.beginning = beginning.text();
    query.limit = std::numeric_limits<std::size_t>::max();
    std::vector<JobId> found;
    for (const jobs::JobFacts& facts : jobs.page(query).jobs) found.push_back(facts.job);
    return found;
}

}  // namespace

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
    requester.listener = call.origin().listener;
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
    const bool unit_counts = record.unit_counts || (action != snapshot.actions.end() &&
                                                    policy::names_a_unit(action->second));
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

jobs::JobQuery::Caller caller_of_jobs(const CallContext& call, const jobs::JobManager& jobs,
                                      const policy::Snapshot& snapshot) {
    const policy::Caller& caller = call.caller();
    const std::uint64_t unit =
        jobs::unit_number(call.origin().unit, [&](auto bytes) { return jobs.digest(bytes); });
    return {caller.uid,
            caller.gid,
            jobs.digest(caller.groups),
            caller.groups_known,
            unit,
            [&snapshot](const std::string& name) {
                const auto action = snapshot.actions.find(name);
                return action != snapshot.actions.end() && policy::names_a_unit(action->second);
            }};
}

std::optional<jobs::Record> own_job_or_refuse(CallContext& call, const jobs::JobManager& jobs,
                                              const JobId& job, const policy::Snapshot& snapshot) {
    const bool is_everybodys = call.origin().way == Way::administrator;
    const bool is_whole = jobs::JobKey::of(job.text()).has_value();
    std::vector<JobId> own = !is_whole && is_beginning(job)
                                 ? jobs_beginning(call, jobs, job, snapshot)
                                 : std::vector<JobId>();
    if (own.size() > 1) {
        call.refuse(Refusal::ambiguous_job, job.text(),
                    std::to_string(own.size()) + (is_everybodys ? "" : " of your") +
                        " jobs begin with \"" + job.text() +
                        "\"; give more digits of the one you mean");
        return std::nullopt;
    }
    Result<jobs::Record, jobs::NotFound> record = jobs.find(own.empty() ? job : own.front());
    if (record && (is_everybodys || is_own(call, jobs, *record, snapshot))) {
        return std::move(*record);
    }
    const bool is_unreadable = !record && record.error() == jobs::NotFound::unreadable;
    // Whose it is can't be read from its record.
    if (is_unreadable && is_whole) own = jobs_beginning(call, jobs, job, snapshot);
    if (is_unreadable && !own.empty()) {
        spdlog::error("the record of job {} can't be read", own.front().text());
        call.refuse(Refusal::unavailable, "",
                    "the record of job " + own.front().text() +
                        " can't be read at the moment; try again later, the administrator finds "
                        "more in the log");
        return std::nullopt;
    }
    AuditEvent event =
        call.event(AuditEvent::Kind::call_denied, record ? record->action : std::string());
    event.job = job.text();
    event.reason = record ? "the job is another caller's" : "no such job";
    call.audit(event);
    call.refuse(Refusal::no_such_job, job.text(), told_of_no_job(job, is_everybodys));
    return std::nullopt;
}

}  // namespace postern
