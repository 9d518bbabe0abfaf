#include "daemon/jobs/job_manager.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "daemon/jobs/direct/cgroup.h"
#include "daemon/jobs/direct/direct_job.h"
#include "daemon/jobs/direct/launch.h"
#include "daemon/jobs/direct/process_group.h"
#include "daemon/jobs/direct/recovery.h"
#include "daemon/jobs/job.h"
#include "daemon/jobs/job_start.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/jobs/unit/unit_job.h"
#include "daemon/loop/clock.h"
#include "host/boot_id.h"
#include "host/random_id.h"
#include "host/safe_file.h"

namespace postern::jobs {
namespace {

// How often output is looked at that grows.
constexpr std::uint64_t look_usec = 200'000;

// An ignored SIGCHLD is inherited over exec; with it the kernel reaps our children itself, and how
// they ended is lost (wait(2), NOTES).
void keep_children_waitable() {
    struct sigaction action{};
    if (sigaction(SIGCHLD, nullptr, &action) < 0) return;
    const bool ignored =
        (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;  // NOLINT
    if (!ignored && (action.sa_flags & SA_NOCLDWAIT) == 0) return;
    action = {};
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, nullptr);
}

class Manager final : public JobManager, public JobHost {
  public:
    Manager(sd_event* event, Settings settings, RecordStore records,
            std::optional<CgroupPlace> cgroup)
        : event_(sd_event_ref(event)),
          settings_(std::move(settings)),
          records_(std::move(records)),
          cgroup_(std::move(cgroup)) {}
    ~Manager() override {
        jobs_.clear();
        // What jobs still run keep it.
        if (cgroup_) rmdir(cgroup_->folder.c_str());
    }

    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    // `left` are the jobs that a guard before this one left to systemd.
    Status begin(std::vector<Record> left);

    [[nodiscard]] std::string_view supervision() const override {
        if (services_) return "systemd";
        return cgroup_ ? "cgroups" : "process groups";
    }
    [[nodiscard]] std::uint64_t digest(std::span<const gid_t> groups) const override {
        return records_.digest()(groups);
    }
    Result<std::string> start(const policy::Action& action, const policy::Command& command,
                              const Requester& requester, Audience audience,
                              const std::function<bool(const std::string& job)>& admit) override;
    [[nodiscard]] std::optional<Record> find(const std::string& job) const override;
    [[nodiscard]] Result<std::vector<Record>> find_key(const Requester& who) const override;
    [[nodiscard]] Result<std::array<UniqueFd, 2>> open_output(
        const std::string& job) const override;
    Result<FollowerId> follow(const std::string& job, std::unique_ptr<Follower> follower) override;
    void leave(const std::string& job, FollowerId follower, Leaving leaving) override;
    void await_output(const std::string& job, FollowerId follower, std::uint64_t stdout_offset,
                      std::uint64_t stderr_offset) override;
    void end(const std::string& job, Outcome outcome) override;
    [[nodiscard]] std::size_t active(uid_t uid) const override;
    [[nodiscard]] std::size_t active() const override { return jobs_.size(); }
    [[nodiscard]] std::vector<ActiveJob> list() const override;
    void shut_down(std::function<void()> done) override;

  private:
    [[nodiscard]] sd_event* event() const override { return event_.get(); }
    [[nodiscard]] const Settings& settings() const override { return settings_; }
    RecordStore& records() override { return records_; }
    int watch(Job& job, const std::string& path, FileWatcher::Times times) override;
    void unwatch(int watch) override;
    void look_soon(Job& job) override;
    void later(Job& job, void (Job::*what)()) override;
    void over(Job& job, std::optional<StartFailure> failure,
              std::optional<JobResult> result) override;

    static Result<JobFiles> open_files(Result<OutputFile> out, Result<OutputFile> err);
    Result<std::unique_ptr<Processes>> make_processes(Record& record) const;
    void start_unit(const policy::Action& action, const policy::Command& command, Record record,
                    JobFiles files, Audience audience);
    void start_directly(const policy::Action& action, const policy::Command& command, Record record,
                        JobFiles files, std::unique_ptr<Processes> processes, Audience audience);
    void resume(Record record);
    void forget_units();
    void fail_later(const std::string& job, StartFailure failure);
    template <typename Kind>
    Kind& add(std::unique_ptr<Kind> job);
    void unit_changed(const std::string& unit, const UnitChanges& changes);
    void later(std::function<void()> what);
    [[nodiscard]] Job* active_job(const std::string& job) const;
    [[nodiscard]] bool nothing_to_wait_for() const;

    static int on_later(sd_event_source* source, std::uint64_t usec, void* self);
    static int on_look(sd_event_source* source, std::uint64_t usec, void* self);
    void changed(int watch);

    EventLoop event_;
    Settings settings_;
    RecordStore records_;
    std::optional<CgroupPlace> cgroup_;
    std::string boot_ = boot_id();
    std::unique_ptr<FileWatcher> watcher_;
    EventSource later_timer_;
    EventSource look_timer_;

    std::unique_ptr<ServiceManager> services_;

    std::unordered_map<int, Job*> watches_;
    std::unordered_map<std::string, UnitJob*> units_;  // by the unit's name
    std::unordered_set<Job*> look_at_;
    std::unordered_map<uid_t, std::size_t> active_of_uid_;
    std::vector<std::function<void()>> later_;
    std::function<void()> shut_down_;  // set: it shuts down
    // Last, so that jobs go first: they use the others.
    std::unordered_map<std::string, std::unique_ptr<Job>> jobs_;
};

Status Manager::begin(std::vector<Record> left) {
    Result<std::unique_ptr<FileWatcher>> watcher = FileWatcher::create(
        event_.get(), [this](int watch) { changed(watch); },
        [this] {
            // Any file may have changed.
            std::vector<int> all;
            all.reserve(watches_.size());
            for (const auto& [watch, job] : watches_) all.push_back(watch);
            for (const int watch : all) changed(watch);
        });
    if (!watcher) return fail(watcher.error().message);
    watcher_ = std::move(*watcher);
    if (settings_.systemd_socket.empty()) return {};

    ServiceManager::Events events;
    events.changed = [this](const std::string& unit, const UnitChanges& changes) {
        unit_changed(unit, changes);
    };
    events.connected = [this] {
        for (const auto& [unit, job] : units_) job->reconnected();
        forget_units();
    };
    auto services =
        ServiceManager::connect(event_.get(), settings_.systemd_socket, std::move(events));
    if (!services) return fail(services.error().message);
    services_ = std::move(*services);
    for (Record& record : left) resume(std::move(record));
    forget_units();
    return {};
}

// ---- What the guard asks ----

Result<JobFiles> Manager::open_files(Result<OutputFile> out, Result<OutputFile> err) {
    if (!out) return fail(out.error().message);
    if (!err) return fail(err.error().message);
    JobFiles files{{std::move(*out), std::move(*err)}, {}};
    for (std::size_t stream = 0; stream < files.output.size(); ++stream) {
        files.readers[stream] = files.output[stream].open_reader();
        if (!files.readers[stream]) return fail(std::string("output: ") + std::strerror(errno));
    }
    return files;
}

Result<std::unique_ptr<Processes>> Manager::make_processes(Record& record) const {
    if (!cgroup_) return std::unique_ptr<Processes>(std::make_unique<ProcessGroup>());
    Result<std::unique_ptr<Cgroup>> cgroup = Cgroup::make(*cgroup_, record.job);
    if (!cgroup) return fail(cgroup.error().message);
    record.cgroup = (*cgroup)->folder();
    return std::unique_ptr<Processes>(std::move(*cgroup));
}

Result<std::string> Manager::start(const policy::Action& action, const policy::Command& command,
                                   const Requester& requester, Audience audience,
                                   const std::function<bool(const std::string& job)>& admit) {
    if (shut_down_) return fail("the guard is stopping");
    Result<std::string> id = random_id();
    if (!id) return fail(id.error().message);
    Result<UniqueFd> folder = records_.make_folder(*id);
    if (!folder) return fail(folder.error().message);

    Record record;
    record.job = *id;
    record.action = action.description.name;
    record.boot = boot_;
    record.requester = requester;
    record.uid = action.uid;
    record.gid = action.gid;
    record.arguments = command.shown;
    record.kill_on_disconnect = action.description.kill_on_disconnect;
    record.created_usec = wall_clock_usec();
    std::unique_ptr<Processes> processes;
    if (services_) {
        record.unit = job_unit(*id);
    } else if (auto made = make_processes(record)) {
        processes = std::move(*made);
    } else {
        records_.remove(*id);
        return fail(made.error().message);
    }
    Result<JobFiles> files = open_files(OutputFile::create(folder->get(), "stdout"),
                                        OutputFile::create(folder->get(), "stderr"));
    if (!files) {
        records_.remove(*id);
        return fail(files.error().message);
    }
    if (const Status written = records_.write(record); !written) {
        records_.remove(*id);
        return fail(written.error().message);
    }
    if (!admit(*id)) {
        records_.remove(*id);
        return fail("it was not admitted");
    }
    if (services_) {
        start_unit(action, command, std::move(record), std::move(*files), std::move(audience));
    } else {
        start_directly(action, command, std::move(record), std::move(*files), std::move(processes),
                       std::move(audience));
    }
    return id;
}

template <typename Kind>
Kind& Manager::add(std::unique_ptr<Kind> job) {
    Kind& added = *job;
    ++active_of_uid_[added.record().requester.uid];
    jobs_.emplace(added.id(), std::move(job));
    return added;
}

void Manager::fail_later(const std::string& job, StartFailure failure) {
    later([this, job, failure = std::move(failure)] {
        if (Job* failed = active_job(job)) failed->fail_start(failure);
    });
}

void Manager::start_directly(const policy::Action& action, const policy::Command& command,
                             Record record, JobFiles files, std::unique_ptr<Processes> processes,
                             Audience audience) {
    Result<Launched> launched = launch_job(settings_, action, command, record, files);
    DirectJob& job = add(std::make_unique<DirectJob>(
        *this, std::move(record), std::move(files), std::move(processes),
        action.description.timeout_usec, std::move(audience)));
    StartFailure failure{"the program could not be started",
                         launched ? "the event loop is full" : launched.error().message};
    if (!launched || !job.begin(std::move(*launched))) fail_later(job.id(), std::move(failure));
}

void Manager::start_unit(const policy::Action& action, const policy::Command& command,
                         Record record, JobFiles files, Audience audience) {
    // Judged again, as before each start; systemd then takes it by its path, which only root can
    // change.
    const auto program = open_safe(action.program, geteuid(), Use::execute);
    Result<UniqueFd> stdin_file = stdin_of(command);
    UnitSpec spec = unit_spec(action, command, record);
    spec.kill_grace_usec = static_cast<std::uint64_t>(settings_.kill_grace.count());
    spec.stdout_file = files.output[0].fd();
    spec.stderr_file = files.output[error_stream(action)].fd();
    UnitJob& job = add(std::make_unique<UnitJob>(*this, *services_, std::move(record),
                                                 std::move(files), std::move(audience)));
    units_.emplace(job.record().unit, &job);
    if (!program || !stdin_file) {
        fail_later(job.id(), {"the program could not be started",
                              program ? stdin_file.error().message : program.error().message});
        return;
    }
    job.begin(std::move(spec), std::move(*stdin_file));
}

void Manager::resume(Record record) {
    const UniqueFd folder = records_.open_folder(record.job);
    auto files = open_files(OutputFile::open(folder.get(), "stdout"),
                            OutputFile::open(folder.get(), "stderr"));
    if (!files) {
        if (settings_.notice) {
            settings_.notice("job " + record.job + " can't be taken up: " + files.error().message);
        }
        // Whoever asks for it again must not start another.
        records_.remember_key(record);
        return;
    }
    Audience audience;
    if (settings_.adopt) {
        audience.witness = settings_.adopt(record.job, record.action, record.requester);
    }
    UnitJob& job = add(std::make_unique<UnitJob>(*this, *services_, std::move(record),
                                                 std::move(*files), std::move(audience)));
    units_.emplace(job.record().unit, &job);
    if (job.record().kill_on_disconnect) job.expect_return();
    job.resume();
}

// A call that systemd has not dealt with when the guard dies is lost, since systemd can't ask any
// more who made it; and so a unit may be left whose job is over. Others' units stay: they may be
// jobs of another guard, which has not seen yet how they ended.
void Manager::forget_units() {
    services_->failed_units([this](const std::vector<std::string>& names) {
        for (const std::string& name : names) {
            if (units_.contains(name)) continue;
            const auto record = records_.read(job_of_unit(name));
            if (record && is_over(record->state)) services_->reset_failed(name);
        }
    });
}

void Manager::unit_changed(const std::string& unit, const UnitChanges& changes) {
    const auto found = units_.find(unit);
    if (found != units_.end()) found->second->changed(changes);
}

std::optional<Record> Manager::find(const std::string& job) const {
    if (const Job* active = active_job(job)) return active->record();
    return records_.read(job);
}

Result<std::vector<Record>> Manager::find_key(const Requester& who) const {
    std::vector<Record> found;
    for (const auto& [id, job] : jobs_) {
        if (owner_of(job->record().requester) == owner_of(who)) found.push_back(job->record());
    }
    for (const std::string& id : records_.find_key(who)) {
        std::optional<Record> record = records_.read(id);
        if (!record) return fail("the record of job " + id + " can't be read");
        found.push_back(std::move(*record));
    }
    return found;
}

Result<std::array<UniqueFd, 2>> Manager::open_output(const std::string& job) const {
    const UniqueFd folder = records_.open_folder(job);
    Result<JobFiles> files = open_files(OutputFile::open(folder.get(), "stdout"),
                                        OutputFile::open(folder.get(), "stderr"));
    if (!files) return fail(files.error().message);
    return std::move(files->readers);
}

Result<FollowerId> Manager::follow(const std::string& job, std::unique_ptr<Follower> follower) {
    Job* active = active_job(job);
    if (active == nullptr) return fail("it is over");
    return active->follow(std::move(follower));
}

void Manager::leave(const std::string& job, FollowerId follower, Leaving leaving) {
    if (Job* active = active_job(job)) active->leave(follower, leaving);
}

void Manager::await_output(const std::string& job, FollowerId follower, std::uint64_t stdout_offset,
                           std::uint64_t stderr_offset) {
    if (Job* active = active_job(job)) {
        active->await_output(follower, {stdout_offset, stderr_offset});
    }
}

void Manager::end(const std::string& job, Outcome outcome) {
    if (Job* active = active_job(job)) active->end(outcome);
}

std::size_t Manager::active(uid_t uid) const {
    const auto found = active_of_uid_.find(uid);
    return found == active_of_uid_.end() ? 0 : found->second;
}

std::vector<ActiveJob> Manager::list() const {
    std::vector<ActiveJob> active;
    active.reserve(jobs_.size());
    for (const auto& [id, job] : jobs_) {
        const Record& record = job->record();
        active.push_back({id, record.action, record.requester, record.unit, record.created_usec});
    }
    std::ranges::sort(active, {}, &ActiveJob::created_usec);
    return active;
}

void Manager::shut_down(std::function<void()> done) {
    shut_down_ = std::move(done);
    for (const auto& [id, job] : jobs_) {
        if (!job->outlives_the_guard()) job->end(Outcome::stopped);
    }
    if (nothing_to_wait_for()) later(shut_down_);
}

bool Manager::nothing_to_wait_for() const {
    return std::ranges::all_of(
        jobs_, [](const auto& entry) { return entry.second->outlives_the_guard(); });
}

Job* Manager::active_job(const std::string& job) const {
    const auto found = jobs_.find(job);
    return found == jobs_.end() ? nullptr : found->second.get();
}

// ---- What jobs ask ----

int Manager::watch(Job& job, const std::string& path, FileWatcher::Times times) {
    const int watch = watcher_->watch(path, times);
    if (watch >= 0) watches_[watch] = &job;
    return watch;
}

void Manager::unwatch(int watch) {
    watches_.erase(watch);
    watcher_->forget(watch);
}

void Manager::changed(int watch) {
    const auto found = watches_.find(watch);
    if (found == watches_.end()) return;
    found->second->file_changed(watch);
}

void Manager::look_soon(Job& job) {
    if (look_at_.empty()) {
        static_cast<void>(arm_timer(event_.get(), look_timer_, look_usec, on_look, this));
    }
    look_at_.insert(&job);
}

int Manager::on_look(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    Manager& manager = *static_cast<Manager*>(self);
    std::unordered_set<Job*> now;
    now.swap(manager.look_at_);
    for (Job* job : now) {
        if (job->look_at_output()) manager.look_soon(*job);
    }
    return 0;
}

void Manager::later(Job& job, void (Job::*what)()) {
    later([this, id = job.id(), what] {
        if (Job* active = active_job(id)) (active->*what)();
    });
}

void Manager::over(Job& job, std::optional<StartFailure> failure, std::optional<JobResult> result) {
    const auto node = jobs_.extract(job.id());
    units_.erase(job.record().unit);
    look_at_.erase(&job);
    const auto active = active_of_uid_.find(job.record().requester.uid);
    if (--active->second == 0) active_of_uid_.erase(active);
    const std::unique_ptr<Witness> witness = job.take_witness();
    Followers followers = job.take_followers();
    if (failure) {
        if (witness) witness->start_failed(job.id(), *failure);
        followers.start_failed(job.id(), *failure);
    }
    if (result) {
        if (witness) witness->ended(job.id(), *result);
        followers.ended(job.id(), *result);
    }
    if (shut_down_ && nothing_to_wait_for()) later(shut_down_);
}

// ---- The loop ----

// A timer that is due at once, and no defer source: that one counts as the longest waiting of all
// whenever it is enabled, and a session that asks again and again would have the loop to itself.
void Manager::later(std::function<void()> what) {
    later_.push_back(std::move(what));
    if (later_.size() > 1) return;
    static_cast<void>(arm_timer(event_.get(), later_timer_, 0, on_later, this));
    sd_event_source_set_time_accuracy(later_timer_.get(), 1);
}

int Manager::on_later(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    std::vector<std::function<void()>> now;
    now.swap(static_cast<Manager*>(self)->later_);
    for (const std::function<void()>& what : now) what();
    return 0;
}

}  // namespace

Result<std::unique_ptr<JobManager>> JobManager::create(
    sd_event* event, Settings settings,
    const std::function<void(const std::string& job, const std::string& action, uid_t uid)>& lost) {
    keep_children_waitable();
    Result<RecordStore> records =
        RecordStore::open(settings.state_folder, settings.retention, settings.notice);
    if (!records) return fail(records.error().message);
    const bool by_systemd = !settings.systemd_socket.empty();
    std::optional<CgroupPlace> cgroup;
    if (!by_systemd) {
        Result<CgroupPlace> made = make_jobs_cgroup(records->state_folder());
        if (made) {
            cgroup = *made;
        } else if (settings.notice) {
            settings.notice("jobs get no cgroup of their own (" + made.error().message +
                            "): when one is ended, processes that left its process group go on");
        }
    }
    const auto tell = [&lost](const Record& record) {
        if (lost) lost(record.job, record.action, record.requester.uid);
    };
    std::vector<Record> unfinished = records->load();
    const std::string boot = boot_id();
    const auto left = std::ranges::partition(unfinished, [&](const Record& record) {
        return !by_systemd || record.unit.empty() || record.boot != boot || boot.empty();
    });
    std::vector<Record> systemds(std::make_move_iterator(left.begin()),
                                 std::make_move_iterator(left.end()));
    unfinished.erase(left.begin(), left.end());
    recover(*records, std::move(unfinished), cgroup, tell, settings.notice);
    auto manager = std::make_unique<Manager>(event, std::move(settings), std::move(*records),
                                             std::move(cgroup));
    if (const Status begun = manager->begin(std::move(systemds)); !begun) {
        return fail(begun.error().message);
    }
    return std::unique_ptr<JobManager>(std::move(manager));
}

}  // namespace postern::jobs
