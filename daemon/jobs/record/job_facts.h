// What is known of each job without reading its record, and which jobs are asked for.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/jobs/record/record.h"
#include "daemon/jobs/record/requester.h"
#include "model/job.h"

namespace postern::jobs {

// Of a Requester, what its other jobs have in common with this one.
struct JobOwner {
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint64_t groups = 0;
    bool groups_known = true;
    std::optional<uid_t> paid_by;
    auto operator<=>(const JobOwner&) const = default;
};

struct JobFacts {
    JobId job;
    std::string action;
    RecordState state = RecordState::starting;
    Time created;
    JobOwner owner;
    pid_t pid = 0;             // the requester's
    std::uint64_t unit = 0;    // unit_number() of the requester's
    JobResult result;          // once it is over
    bool unit_counts = false;  // as in the record
};

// A unit's name as facts have it; 0: there is none. `digest`: JobManager::digest() of bytes.
template <typename Digest>
std::uint64_t unit_number(const std::optional<std::string>& unit, Digest digest) {
    if (!unit) return 0;
    const std::vector<std::uint8_t> bytes(unit->begin(), unit->end());
    const std::uint64_t number = digest(std::span<const std::uint8_t>(bytes));
    return number == 0 ? 1 : number;
}

JobFacts facts_of(const Record& record, std::uint64_t unit);

// As callers see it.
JobState job_state(RecordState state);

// In the order of the list, which begins with the newest.
struct JobPlace {
    Time created;
    JobId job;
    auto operator<=>(const JobPlace&) const = default;
};

// Whose jobs are asked for: as is_own() in daemon/guard/calls/own_jobs.h decides it.
struct JobCaller {
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint64_t groups = 0;
    bool groups_known = true;
    std::uint64_t unit = 0;
    // Whether only callers of the same unit have the jobs of this action, by the rules of today.
    std::function<bool(const std::string& action)> unit_counts;

    [[nodiscard]] bool is(const JobOwner& owner) const;
};

struct JobQuery {
    using Caller = JobCaller;
    std::optional<Caller> caller = std::nullopt;  // absent: everybody's
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string action = {};  // empty: any
    std::optional<JobState> state = std::nullopt;
    // NOLINTNEXTLINE(readability-redundant-member-init): as above
    Time since = {};                                // created then or later
    std::optional<JobPlace> before = std::nullopt;  // after this one in the list
    // NOLINTNEXTLINE(readability-redundant-member-init): as above
    std::string beginning = {};  // of the id
    std::size_t limit = 0;       // not more of them

    [[nodiscard]] bool wants(const JobFacts& job) const;
};

struct JobPage {
    std::vector<JobFacts> jobs;  // the newest first
    // To be asked for those that follow. Absent: that is all. (So many were looked at that the
    // answer is given, though there may be fewer of them than could be, or none.)
    std::optional<JobPlace> next;
};

}  // namespace postern::jobs
