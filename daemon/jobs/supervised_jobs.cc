#include "daemon/jobs/supervised_jobs.h"

#include <algorithm>
#include <utility>

#include "daemon/loop/clock.h"
#include "host/boot_id.h"
#include "host/random_id.h"

namespace postern::jobs {

SupervisedJobs::SupervisedJobs(std::unique_ptr<JobTable> table,
                               std::unique_ptr<Supervisor> supervisor)
    : table_(std::move(table)), supervisor_(std::move(supervisor)), boot_(boot_id()) {}

SupervisedJobs::~SupervisedJobs() {
    // Jobs use their supervisor, and that uses the table.
    table_->clear();
}

std::uint64_t SupervisedJobs::digest(std::span<const gid_t> groups) const {
    return records().digest()(groups);
}

std::uint64_t SupervisedJobs::digest(std::span<const std::uint8_t> bytes) const {
    return records().digest().of_bytes(bytes);
}

Result<JobId> SupervisedJobs::start(const policy::Action& action, const policy::Command& command,
                                    const Requester& requester, StartPlace place,
                                    std::unique_ptr<Follower> follower,
                                    const std::function<bool(const JobId& job)>& admit) {
    if (table_->shuts_down()) return fail("the guard is stopping");
    POSTERN_TRY(std::string text, random_id());
    const JobId id(std::move(text));
    POSTERN_TRY(UniqueFd folder, records().make_folder(id));

    Record record;
    record.job = id;
    record.action = action.description.name;
    record.boot = boot_;
    record.requester = requester;
    record.uid = action.uid;
    record.gid = action.gid;
    record.file_version = action.version;
    record.arguments = command.shown;
    record.kill_on_disconnect = action.description.kill_on_disconnect;
    record.created = wall_clock();
    auto made = make(std::move(record), folder.get(), std::move(place), std::move(follower), admit);
    if (!made) {
        records().remove(id);
        return Unexpected(std::move(made).error());
    }
    Job& job = **made;
    table_->add(std::move(*made));
    job.start(action, command);
    return id;
}

Result<std::unique_ptr<Job>> SupervisedJobs::make(
    Record record, int folder, StartPlace place, std::unique_ptr<Follower> follower,
    const std::function<bool(const JobId& job)>& admit) {
    POSTERN_TRY(JobFiles files, JobFiles::create(folder));
    JobEnds ends = follower ? follower->take_job_ends() : JobEnds{};
    record.stdout_not_kept = static_cast<bool>(ends.stdout_end);
    JobParts parts{std::move(record), std::move(files), std::move(follower), std::move(place),
                   std::move(ends)};
    POSTERN_TRY(auto job, supervisor_->prepare(std::move(parts)));
    POSTERN_TRY(records().write(job->record()));
    if (!admit(job->id())) return fail("it was not admitted");
    return job;
}

std::optional<Record> SupervisedJobs::find(const JobId& job) const {
    if (const Job* active = table_->find(job)) return active->record();
    const Record* over = records().find(job);
    return over != nullptr ? std::optional(*over) : std::nullopt;
}

Result<std::vector<Record>> SupervisedJobs::find_key(const Requester& who) const {
    std::vector<Record> found;
    for (const auto& [id, job] : table_->jobs()) {
        if (owner_of(job->record().requester) == owner_of(who)) found.push_back(job->record());
    }
    for (const JobId& id : records().find_key(who)) {
        std::optional<Record> record = records().read(id);
        if (!record) return fail("the record of job " + id.text() + " can't be read");
        found.push_back(std::move(*record));
    }
    return found;
}

Result<std::array<UniqueFd, 2>> SupervisedJobs::open_output(const JobId& job) const {
    const UniqueFd folder = records().open_folder(job);
    POSTERN_TRY(JobFiles files, JobFiles::open(folder.get()));
    return std::move(files.readers);
}

Result<FollowerId> SupervisedJobs::follow(const JobId& job, std::unique_ptr<Follower> follower) {
    Job* active = table_->find(job);
    if (active == nullptr) return fail("it is over");
    return active->follow(std::move(follower));
}

void SupervisedJobs::leave(const JobId& job, FollowerId follower, Leaving leaving) {
    if (Job* active = table_->find(job)) active->leave(follower, leaving);
}

void SupervisedJobs::await_output(const JobId& job, FollowerId follower,
                                  std::uint64_t stdout_offset, std::uint64_t stderr_offset) {
    if (Job* active = table_->find(job)) {
        active->await_output(follower, {stdout_offset, stderr_offset});
    }
}

void SupervisedJobs::end(const JobId& job, Outcome outcome) {
    if (Job* active = table_->find(job)) active->end(outcome);
}

std::vector<ActiveJob> SupervisedJobs::list() const {
    std::vector<ActiveJob> active;
    active.reserve(table_->jobs().size());
    for (const auto& [id, job] : table_->jobs()) {
        const Record& record = job->record();
        active.push_back({id, record.action, record.requester, record.unit, record.created});
    }
    std::ranges::sort(active, {}, &ActiveJob::created);
    return active;
}

}  // namespace postern::jobs
