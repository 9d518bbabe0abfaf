#include "daemon/jobs/supervised_jobs.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "daemon/jobs/job_command.h"
#include "daemon/loop/clock.h"
#include "daemon/output/stored_file.h"
#include "daemon/policy/verdict.h"
#include "host/boot_id.h"
#include "host/random_id.h"

namespace postern::jobs {
namespace {

// A call looks at the state directory more than once; calls that come together may share a look.
constexpr std::chrono::milliseconds just_seen{20};

}  // namespace

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
    if (const std::string problem = state_problem(); !problem.empty()) return fail(problem);
    POSTERN_TRY(Place at, place_for(action, command));
    const JobId& id = at.id;

    Record record;
    record.job = id;
    record.action = action.description.name;
    record.boot = boot_;
    record.requester = requester;
    record.uid = action.uid;
    record.gid = action.gid;
    record.file_version = action.version;
    record.arguments = command.shown;
    record.lists = command.lists;
    record.kill_on_disconnect = action.description.kill_on_disconnect;
    record.unit_counts = policy::names_a_unit(action);
    record.created = wall_clock();
    record.timeout = action.timeout;
    const bool one_pipe = error_stream(action) == 0;
    record.pipes = one_pipe ? 1 : stream_count;
    record.stored_output = action.stored_output.value_or(table_->settings().stored_output_bytes);
    auto made = make(std::move(record), at, one_pipe, std::move(place), std::move(follower), admit);
    if (!made) {
        supervisor_->drop_prepared(id);
        table_->records().remove(id);
        return Unexpected(std::move(made).error());
    }
    Job& job = **made;
    table_->add(std::move(*made));
    // Before anything can write: it is there again should this guard die, and it has what is needed
    // should that die.
    if (job.output().sync(table_->keeper())) {
        job.start(action, command);
    } else {
        job.fail_later({"the program could not be started", "postern-output takes no more", true});
    }
    return id;
}

Result<SupervisedJobs::Place> SupervisedJobs::place_for(const policy::Action& action,
                                                        const policy::Command& command) {
    auto prepared = supervisor_->take_prepared(action, command);
    if (prepared) return Place{std::move(prepared->id), {}, std::move(prepared->streams)};
    POSTERN_TRY(std::string text, random_id());
    JobId id(std::move(text));
    POSTERN_TRY(UniqueFd folder, make_folder(id));
    return Place{std::move(id), std::move(folder), std::nullopt};
}

Result<std::unique_ptr<Job>> SupervisedJobs::make(
    Record record, Place& at, bool one_pipe, StartPlace place, std::unique_ptr<Follower> follower,
    const std::function<bool(const JobId& job)>& admit) {
    if (!at.streams) {
        POSTERN_TRY(at.streams, JobStreams::create(at.folder.get(), table_->keeper(), one_pipe));
    }
    JobStreams streams = std::move(*at.streams);
    const Straight straight = follower ? follower->straight() : Straight{};
    ClientEnds of_client;
    UniqueFd stdin_end;
    if (straight.output) of_client.output = std::move(streams.streams[0].read_end);
    if (straight.input) {
        auto pipe = table_->keeper().take_input_pipe();
        if (!pipe) return fail("postern-output has no pipe ready");
        stdin_end = std::move(pipe->read_end);
        of_client.input = std::move(pipe->write_end);
    }
    record.stdout_not_kept = straight.output;
    if (straight.any()) follower->take_ends(std::move(of_client));
    JobParts parts{std::move(record),   std::move(streams), {},
                   std::move(follower), std::move(place),   std::move(stdin_end)};
    for (std::size_t i = 0; i < stream_count && parts.follower; ++i) {
        POSTERN_TRY(parts.readers[i], parts.streams.streams[i].open_reader());
    }
    POSTERN_TRY(auto job, supervisor_->prepare(std::move(parts)));
    POSTERN_TRY(table_->records().write(job->record()));
    if (!admit(job->id())) return fail("it was not admitted");
    return job;
}

std::string SupervisedJobs::state_problem() {
    if (!state_seen_ || Clock::now() - *state_seen_ >= just_seen) (void)look_at_state();
    return table_->records().place_problem();
}

Result<UniqueFd> SupervisedJobs::make_folder(const JobId& job) {
    auto folder = table_->records().make_folder(job);
    if (folder) return folder;
    // It may be gone since it was seen: then it is made again.
    if (look_at_state() != RecordStore::Place::made_again) return folder;
    return table_->records().make_folder(job);
}

RecordStore::Place SupervisedJobs::look_at_state() {
    RecordStore& records = table_->records();
    const RecordStore::Place place = records.look();
    switch (place) {
        case RecordStore::Place::there:
        case RecordStore::Place::lost:
            break;
        case RecordStore::Place::made_again:
            // So that the next guard knows of them.
            for (const auto& [id, job] : table_->jobs()) records.restore(job->record());
            break;
    }
    state_seen_.reset();
    if (place != RecordStore::Place::lost) state_seen_ = Clock::now();
    return place;
}

bool SupervisedJobs::makes_room() {
    RecordStore& records = table_->records();
    return records.room_for_start() == RecordStore::Room::soon || records.gives_way();
}

std::string SupervisedJobs::disk_full() {
    // Where nobody has started anything for a while, nobody has noticed.
    static_cast<void>(table_->records().room_for_start());
    return table_->records().disk_full();
}

Result<Record, NotFound> SupervisedJobs::find(const JobId& job) const {
    if (const Job* active = table_->find(job)) return active->record();
    std::optional<JobFacts> over = records().find(job);
    if (!over) return Unexpected(NotFound::no_such_job);
    std::optional<Record> record = read_over(job, *over);
    if (!record) return Unexpected(NotFound::unreadable);
    return *std::move(record);
}

// The file may be older than what is known, where the disk was full.
std::optional<Record> SupervisedJobs::read_over(const JobId& job, const JobFacts& known) const {
    std::optional<Record> record = records().read(job);
    if (!record) return std::nullopt;
    record->state = known.state;
    record->result = known.result;
    return record;
}

// There are fewer active ones than records, within the limits of jobs: all of them are looked at.
JobPage SupervisedJobs::page(const JobQuery& query) const {
    JobPage page = records().page(query);
    for (const auto& [id, job] : table_->jobs()) {
        if (!id.text().starts_with(query.beginning)) continue;
        const Record& record = job->record();
        JobFacts facts = facts_of(record, records().number_of_unit(record.requester));
        // What is older than where the page ends comes after it.
        const bool follows = page.next && JobPlace{facts.created, facts.job} < *page.next;
        if (!follows && query.wants(facts)) page.jobs.push_back(std::move(facts));
    }
    const auto place = [](const JobFacts& job) { return JobPlace{job.created, job.job}; };
    std::ranges::sort(page.jobs, std::ranges::greater(), place);
    if (page.jobs.size() > query.limit) {
        page.jobs.resize(query.limit);
        page.next = place(page.jobs.back());
    }
    return page;
}

std::array<std::optional<StreamSizes>, 2> SupervisedJobs::output_sizes(const JobId& job) const {
    std::array<std::optional<StreamSizes>, 2> sizes;
    const auto files = open_output(job);
    for (std::size_t stream = 0; files && stream < sizes.size(); ++stream) {
        const int file = files->at(stream).get();
        const std::uint64_t written = output::size_of(file);
        const std::uint64_t from = std::min(output::stored_from(file), written);
        sizes.at(stream) = StreamSizes{written, written - from};
    }
    return sizes;
}

Result<std::vector<Record>> SupervisedJobs::find_key(const Requester& who) const {
    std::vector<Record> found;
    for (const auto& [id, job] : table_->jobs()) {
        if (owner_of(job->record().requester) == owner_of(who)) found.push_back(job->record());
    }
    for (const JobId& id : records().find_key(who)) {
        const std::optional<JobFacts> over = records().find(id);
        std::optional<Record> record = over ? read_over(id, *over) : records().read(id);
        if (!record) return fail("the record of job " + id.text() + " can't be read");
        if (owner_of(record->requester) != owner_of(who)) continue;
        found.push_back(std::move(*record));
    }
    return found;
}

Result<std::array<UniqueFd, 2>> SupervisedJobs::open_output(const JobId& job) const {
    const UniqueFd folder = records().open_folder(job);
    return JobStreams::open_readers(folder.get());
}

Result<FollowerId> SupervisedJobs::follow(const JobId& job, std::unique_ptr<Follower> follower) {
    Job* active = table_->find(job);
    if (active == nullptr) return fail("it has ended");
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

bool SupervisedJobs::taken(const JobId& job, FollowerId follower, std::uint64_t stdout_offset,
                           std::uint64_t stderr_offset) {
    Job* active = table_->find(job);
    return active == nullptr || active->taken(follower, {stdout_offset, stderr_offset});
}

void SupervisedJobs::end(const JobId& job, Outcome outcome) {
    if (Job* active = table_->find(job)) active->end(outcome);
}

std::optional<Cancelled> SupervisedJobs::cancel(const JobId& job, const Cancellation& how) {
    Job* const active = table_->find(job);
    return active == nullptr ? std::nullopt : active->cancel(how);
}

std::size_t SupervisedJobs::unproven(std::optional<uid_t> payer) const {
    std::size_t all = 0;
    std::size_t of_payer = 0;
    if (all_proven_) return 0;
    for (const auto& [id, job] : table_->jobs()) {
        if (!job->is_unproven()) continue;
        ++all;
        if (job->record().requester.payer() == payer) ++of_payer;
    }
    all_proven_ = all == 0;
    return payer ? of_payer : all;
}

bool SupervisedJobs::settled() const {
    settled_ = settled_ || std::ranges::all_of(table_->jobs(), [](const auto& entry) {
                   return entry.second->is_found_out();
               });
    return settled_;
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
