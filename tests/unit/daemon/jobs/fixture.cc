#include "tests/unit/daemon/jobs/fixture.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <ostream>

#include "daemon/jobs/direct/proc.h"
#include "daemon/jobs/open/open_jobs.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/daemon/readable.h"

namespace postern::jobs {
namespace {

class Recorder final : public Follower {
  public:
    explicit Recorder(StoryPtr story) : story_(std::move(story)) {}

    [[nodiscard]] bool is_owners() const override { return story_->is_owners; }

    void started(const JobId& job, UniqueFd out, UniqueFd err) override {
        EXPECT_EQ(job, story_->job);
        EXPECT_FALSE(story_->started);
        EXPECT_FALSE(story_->over());
        story_->started = true;
        story_->out = std::move(out);
        story_->err = std::move(err);
        if (story_->on_started) story_->on_started();
    }
    void start_failed(const JobId& job, const StartFailure& failure) override {
        EXPECT_EQ(job, story_->job);
        EXPECT_FALSE(story_->started);
        EXPECT_FALSE(story_->over());
        story_->failure = failure;
    }
    void output(const JobId& job) override {
        EXPECT_EQ(job, story_->job);
        EXPECT_TRUE(story_->started);
        EXPECT_FALSE(story_->over());
        ++story_->outputs;
        if (story_->on_output) story_->on_output();
    }
    void ended(const JobId& job, const JobResult& result) override {
        EXPECT_EQ(job, story_->job);
        EXPECT_TRUE(story_->started);
        EXPECT_FALSE(story_->over());
        story_->result = result;
    }

  private:
    StoryPtr story_;
};

}  // namespace

std::string read_all(const UniqueFd& file) {
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t got = 0;
    off_t at = 0;
    while ((got = pread(file.get(), buffer.data(), buffer.size(), at)) > 0) {
        text.append(buffer.data(), static_cast<std::size_t>(got));
        at += got;
    }
    return text;
}

void write_path(const std::string& path, const std::string& text, mode_t mode) {
    std::ofstream(path, std::ios::binary) << text;
    // A file of /proc has its own.
    ASSERT_TRUE(path.starts_with("/proc/") || chmod(path.c_str(), mode) == 0);
}

std::string field_of(const std::string& text, const std::string& name) {
    for (const std::string& line : lines_of(text)) {
        if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
    }
    return "no " + name;
}

bool gone_within(pid_t pid, int seconds) {
    const UniqueFd process = open_process(pid);
    if (!process) return errno == ESRCH;
    return readable_within(process.get(), seconds);
}

pid_t pid_in(const std::string& path) {
    const std::string text = read_path(path);
    return text.ends_with('\n') ? static_cast<pid_t>(std::atoi(text.c_str())) : 0;
}

bool in_child(const std::function<void()>& what) {
    const int status = end_of(fork_child([&what] {
        what();
        std::fflush(nullptr);
        return testing::Test::HasFailure() ? 1 : 0;
    }));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void Book::clear() {
    for (auto* jobs : {&resumed_jobs, &lost_jobs, &failed_jobs, &ended_jobs}) jobs->clear();
    states.clear();
    disk.clear();
    evicted_jobs.clear();
}

void Book::resumed(const Record& job) {
    resumed_jobs.push_back(job);
    states.erase(job.job);  // it begins anew
}

void Book::start_failed(const Record& job, const StartFailure& failure) {
    EXPECT_EQ(job.message, failure.detail);
    failed_jobs.push_back(job);
}

void Book::ended(const Record& job) {
    ended_jobs.push_back(job);
}

void Book::evicted(const Record& job, const std::string& why, bool /*for_room*/) {
    evicted_jobs.emplace_back(job.job, why);
}

void Book::disk_full(const std::string& path, const std::string& why) {
    disk.push_back("full " + path + ": " + why);
}

void Book::disk_has_room(const std::string& path) {
    disk.push_back("room " + path);
}

void Book::moved(const JobId& job, std::string_view from, std::string_view to) {
    std::string& all = states[job];
    if (all.empty()) all = from;
    EXPECT_TRUE(all.ends_with(from));
    all.append(" ").append(to);
}

void JobsTest::start_spawner() {
    if (spawner_of_ == getpid()) return;
    spawner_of_ = getpid();
    (void)spawner_.release();
    spawner_ = std::move(Spawner::create()).value();
    settings_.spawner = spawner_.get();
}

void JobsTest::SetUp() {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: it starts jobs of several users";
    // As the guard does: a job costs it some descriptors.
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    open_folder_ = folder_.make_folder("open", 0777);
    settings_.state_folder = folder_ / "state";
    // As root: the build may be below a folder that nobody else may enter.
    start_spawner();
    settings_.launcher = UniqueFd(open(POSTERN_LAUNCHER, O_PATH | O_CLOEXEC));
    keeper_program_.reset(open(POSTERN_OUTPUT, O_PATH | O_CLOEXEC));
    ASSERT_TRUE(settings_.launcher && keeper_program_);
    settings_.notice = [this](const std::string& message) { notices_.push_back(message); };
}

void JobsTest::TearDown() {
    manager_.reset();
    loop_.reset();
}

void JobsTest::create() {
    loop_ = make_event_loop();
    Settings settings;
    settings.state_folder = settings_.state_folder;
    settings.runtime_folder = settings_.runtime_folder;
    start_spawner();
    settings.spawner = spawner_.get();
    settings.launcher = duplicate(settings_.launcher.get());
    ASSERT_TRUE(settings.launcher);
    settings.launchers_waiting = settings_.launchers_waiting;
    settings.kill_grace = settings_.kill_grace;
    settings.spares = settings_.spares;
    settings.spare_life = settings_.spare_life;
    settings.start_patience = settings_.start_patience;
    settings.return_patience = settings_.return_patience;
    settings.stored_output_bytes = settings_.stored_output_bytes;
    settings.retention = settings_.retention;
    settings.job_open_files = settings_.job_open_files;
    settings.notice = settings_.notice;
    settings.systemd_socket = settings_.systemd_socket;
    settings.cgroup_root = settings_.cgroup_root;
    settings.proc_root = settings_.proc_root;
    settings.follower_stall = settings_.follower_stall;
    settings.ready = settings_.ready;
    settings.connect_keeper = settings_.systemd_socket.empty()
                                  ? real_keeper(loop_.get(), *spawner_, keeper_program_.get())
                                  : fake_keeper_->connect(loop_.get());
    auto created = open_jobs(loop_.get(), std::move(settings), book_);
    ASSERT_TRUE(created) << created.error().message;
    manager_ = std::move(*created);
    ASSERT_TRUE(!waits_until_ready_ || loop_until([this] { return manager_->ready(); }));
}

bool JobsTest::loop_until(const std::function<bool()>& so, int seconds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!so()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        constexpr std::uint64_t round_usec = 20'000;
        if (sd_event_run(loop_.get(), round_usec) < 0) return false;
    }
    return true;
}

bool JobsTest::loop_until_written(const std::string& path) {
    return loop_until([&path] { return read_path(path).ends_with('\n'); });
}

policy::Action JobsTest::action(const std::string& program, uid_t uid) const {
    policy::Action made;
    made.description.name = "test.action";
    made.description.timeout = std::chrono::minutes(10);  // longer than any test waits
    made.program = program;
    made.uid = uid;
    made.gid = uid;
    made.groups = {uid};
    made.environment = {{"PATH", "/usr/bin:/bin"}};
    made.working_directory = "/";
    return made;
}

policy::Command JobsTest::command(std::vector<std::string> argv) {
    policy::Command made;
    made.argv = std::move(argv);
    return made;
}

StoryPtr JobsTest::start(const policy::Action& what, const policy::Command& with,
                         const Requester& requester, StartPlace place) {
    // Not a turn of the loop where there is no need.
    EXPECT_TRUE(loop_until([this] { return manager_->ready(); }));
    auto story = std::make_shared<Story>();
    const auto id = manager_->start(what, with, requester, std::move(place), follower(story),
                                    [&story](const JobId& job) {
                                        story->job = job;
                                        return true;
                                    });
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    EXPECT_FALSE(story->started || story->over()) << "called from inside start()";
    EXPECT_EQ(id ? *id : JobId(), story->job);
    return story;
}

std::unique_ptr<Follower> JobsTest::follower(StoryPtr story) {
    return std::make_unique<Recorder>(std::move(story));
}

StoryPtr JobsTest::run(const policy::Action& what, const policy::Command& with) {
    StoryPtr story = start(what, with);
    EXPECT_TRUE(loop_until([&story] { return story->over(); }));
    return story;
}

Record JobsTest::record_of(const JobId& job) const {
    std::string text = settings_.runtime_folder.empty()
                           ? ""
                           : read_path(settings_.runtime_folder + "/" + job.text() + ".json");
    if (text.empty()) {
        text = read_path(settings_.state_folder + "/jobs/" + job.text() + "/record.json");
    }
    const auto record = from_json(text);
    EXPECT_TRUE(record) << (record ? "" : record.error().message);
    return record ? *record : Record{};
}

void PrintTo(const StoryPtr& story, std::ostream* out) {
    *out << "job " << story->job.text() << (story->started ? ", started" : "");
    if (story->failure) *out << ", failed: " << story->failure->detail;
    if (story->result) {
        *out << ", " << name_of(story->result->outcome) << " "
             << (story->result->by_signal ? "signal " : "status ") << story->result->status;
    }
    if (story->err) *out << ", stderr: " << read_all(story->err);
}

}  // namespace postern::jobs
