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

#include "daemon/jobs/cgroup.h"
#include "daemon/jobs/job.h"
#include "daemon/jobs/launch.h"
#include "daemon/jobs/proc.h"
#include "daemon/jobs/process_group.h"
#include "daemon/jobs/recovery.h"
#include "daemon/policy/safe_file.h"

namespace postern::jobs {
namespace {

// How often output is looked at that grows.
constexpr std::uint64_t look_usec = 200'000;

// The whole environment of a job, sorted by name.
std::vector<std::string> environment_of(const policy::Action& action, const std::string& job,
                                        const Requester& requester) {
    std::vector<std::pair<std::string, std::string>> variables;
    for (const auto& variable : action.environment) {
        if (!variable.first.starts_with("POSTERN_")) variables.push_back(variable);
    }
    variables.emplace_back("POSTERN_ACTION", action.description.name);
    variables.emplace_back("POSTERN_JOB", job);
    variables.emplace_back("POSTERN_UID", std::to_string(requester.uid));
    variables.emplace_back("POSTERN_GID", std::to_string(requester.gid));
    std::ranges::sort(variables);
    std::vector<std::string> texts;
    texts.reserve(variables.size());
    for (const auto& [name, text] : variables) {
        texts.emplace_back(name).append("=").append(text);
    }
    return texts;
}

Result<UniqueFd> stdin_of(const policy::Command& command) {
    if (!command.stdin_text) return null_file();
    const std::string& text = *command.stdin_text;
    return sealed_file("postern-stdin",
                       {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

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

    Status begin();

    [[nodiscard]] bool has_cgroups() const override { return cgroup_.has_value(); }
    Result<std::string> start(const policy::Action& action, const policy::Command& command,
                              const Requester& requester, std::unique_ptr<Observer> observer,
                              const std::function<bool(const std::string& job)>& admit) override;
    void await_output(const std::string& job, std::uint64_t stdout_offset,
                      std::uint64_t stderr_offset) override;
    void end(const std::string& job, Outcome outcome) override;
    [[nodiscard]] std::size_t active(uid_t uid) const override;
    [[nodiscard]] std::size_t active() const override { return jobs_.size(); }
    void shut_down(std::function<void()> done) override;

  private:
    [[nodiscard]] sd_event* event() const override { return event_.get(); }
    [[nodiscard]] const Settings& settings() const override { return settings_; }
    RecordStore& records() override { return records_; }
    int watch(Job& job, const std::string& path, FileWatcher::Times times) override;
    void unwatch(int watch) override;
    void look_soon(Job& job) override;
    void tell_later(Job& job) override;
    void over(Job& job, std::optional<StartFailure> failure,
              std::optional<JobResult> result) override;

    Result<JobFiles> make_files(const UniqueFd& folder, Record& record) const;
    Result<Launched> launch_job(const policy::Action& action, const policy::Command& command,
                                const Record& record, const JobFiles& files) const;
    void later(std::function<void()> what);
    Job* find(const std::string& job) const;

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

    std::unordered_map<int, Job*> watches_;
    std::unordered_set<Job*> look_at_;
    std::unordered_map<uid_t, std::size_t> active_of_uid_;
    std::vector<std::function<void()>> later_;
    std::function<void()> shut_down_;  // set: it shuts down
    // Last, so that jobs go first: they use the others.
    std::unordered_map<std::string, std::unique_ptr<Job>> jobs_;
};

Status Manager::begin() {
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
    return {};
}

// ---- What the guard asks ----

Result<JobFiles> Manager::make_files(const UniqueFd& folder, Record& record) const {
    Result<OutputFile> out = OutputFile::create(folder.get(), "stdout");
    if (!out) return fail(out.error().message);
    Result<OutputFile> err = OutputFile::create(folder.get(), "stderr");
    if (!err) return fail(err.error().message);
    JobFiles files{{std::move(*out), std::move(*err)}, {}, nullptr};
    for (std::size_t stream = 0; stream < files.output.size(); ++stream) {
        files.readers[stream] = files.output[stream].open_reader();
        if (!files.readers[stream]) return fail(std::string("output: ") + std::strerror(errno));
    }
    if (cgroup_) {
        Result<std::unique_ptr<Cgroup>> cgroup = Cgroup::make(*cgroup_, record.job);
        if (!cgroup) return fail(cgroup.error().message);
        record.cgroup = (*cgroup)->folder();
        files.processes = std::move(*cgroup);
    } else {
        files.processes = std::make_unique<ProcessGroup>();
    }
    return files;
}

Result<Launched> Manager::launch_job(const policy::Action& action, const policy::Command& command,
                                     const Record& record, const JobFiles& files) const {
    const auto program = policy::open_safe(action.program, geteuid(), policy::Use::execute);
    if (!program) return fail(program.error().message);
    launcher::Order order;
    order.uid = action.uid;
    order.gid = action.gid;
    order.groups.assign(action.groups.begin(), action.groups.end());
    order.join_cgroup = !record.cgroup.empty();
    order.open_files = settings_.job_open_files;
    order.program = action.program;
    order.working_directory = action.working_directory;
    order.argv = command.argv;
    order.environment = environment_of(action, record.job, record.requester);
    const Result<std::vector<std::uint8_t>> bytes = launcher::encode(order);
    if (!bytes) return fail(bytes.error().message);
    const Result<UniqueFd> order_file = sealed_file("postern-order", *bytes);
    if (!order_file) return fail(order_file.error().message);
    const Result<UniqueFd> stdin_file = stdin_of(command);
    if (!stdin_file) return fail(stdin_file.error().message);
    UniqueFd procs;
    if (order.join_cgroup) {
        procs.reset(open((record.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (!procs) return fail(record.cgroup + "/cgroup.procs: " + std::strerror(errno));
    }
    return launch({settings_.launcher.get(), stdin_file->get(), files.output[0].fd(),
                   files.output[1].fd(), order_file->get(), program->get(), procs.get()});
}

Result<std::string> Manager::start(const policy::Action& action, const policy::Command& command,
                                   const Requester& requester, std::unique_ptr<Observer> observer,
                                   const std::function<bool(const std::string& job)>& admit) {
    if (shut_down_) return fail("the guard is stopping");
    Result<std::string> id = RecordStore::new_job_id();
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
    record.created_usec = now_usec();
    Result<JobFiles> files = make_files(*folder, record);
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

    Result<Launched> launched = launch_job(action, command, record, *files);
    const uid_t uid = requester.uid;
    auto owned = std::make_unique<Job>(*this, std::move(record), std::move(*files),
                                       action.description.timeout_usec, std::move(observer));
    Job& job = *owned;
    jobs_.emplace(*id, std::move(owned));
    ++active_of_uid_[uid];
    StartFailure failure{"the program could not be started",
                         launched ? "the event loop is full" : launched.error().message};
    if (!launched || !job.begin(std::move(*launched))) {
        later([this, job_id = *id, failure = std::move(failure)] {
            if (Job* failed = find(job_id)) failed->fail_start(failure);
        });
    }
    return id;
}

void Manager::await_output(const std::string& job, std::uint64_t stdout_offset,
                           std::uint64_t stderr_offset) {
    if (Job* found = find(job)) found->await_output(stdout_offset, stderr_offset);
}

void Manager::end(const std::string& job, Outcome outcome) {
    if (Job* found = find(job)) found->end(outcome);
}

std::size_t Manager::active(uid_t uid) const {
    const auto found = active_of_uid_.find(uid);
    return found == active_of_uid_.end() ? 0 : found->second;
}

void Manager::shut_down(std::function<void()> done) {
    shut_down_ = std::move(done);
    for (const auto& [id, job] : jobs_) job->end(Outcome::stopped);
    if (jobs_.empty()) later(shut_down_);
}

Job* Manager::find(const std::string& job) const {
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

void Manager::tell_later(Job& job) {
    later([this, id = job.id()] {
        if (Job* found = find(id)) found->tell_output();
    });
}

void Manager::over(Job& job, std::optional<StartFailure> failure, std::optional<JobResult> result) {
    const auto node = jobs_.extract(job.id());
    look_at_.erase(&job);
    const auto active = active_of_uid_.find(job.record().requester.uid);
    if (--active->second == 0) active_of_uid_.erase(active);
    const std::unique_ptr<Observer> observer = job.take_observer();
    if (failure) observer->start_failed(job.id(), *failure);
    if (result) observer->ended(job.id(), *result);
    if (shut_down_ && jobs_.empty()) later(shut_down_);
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
    std::optional<CgroupPlace> cgroup;
    Result<CgroupPlace> made = make_jobs_cgroup(records->state_folder());
    if (made) {
        cgroup = *made;
    } else if (settings.notice) {
        settings.notice("jobs get no cgroup of their own (" + made.error().message +
                        "): when one is ended, processes that left its process group go on");
    }
    const auto tell = [&lost](const Record& record) {
        if (lost) lost(record.job, record.action, record.requester.uid);
    };
    recover(*records, cgroup, tell, settings.notice);
    auto manager = std::make_unique<Manager>(event, std::move(settings), std::move(*records),
                                             std::move(cgroup));
    if (const Status begun = manager->begin(); !begun) return fail(begun.error().message);
    return std::unique_ptr<JobManager>(std::move(manager));
}

}  // namespace postern::jobs
