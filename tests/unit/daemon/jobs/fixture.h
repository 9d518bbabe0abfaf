// A real JobManager in a real loop, with the real launcher, for the tests of jobs.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <systemd/sd-event.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/observer.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/settings.h"
#include "daemon/loop/event_source.h"
#include "tests/unit/daemon/jobs/keepers.h"
#include "tests/unit/file_text.h"
#include "tests/unit/temporary_directory.h"

namespace postern::jobs {

// Ordinary uids and gids without an account.
inline constexpr uid_t anna = 64001;
inline constexpr uid_t berta = 64002;
// As whom postern-output runs.
inline constexpr uid_t keeper_user = 64009;

// What a job's follower was told.
struct Story {
    JobId job;
    bool is_owners = true;  // who hears it
    bool started = false;
    int outputs = 0;
    std::optional<StartFailure> failure;
    std::optional<JobResult> result;
    UniqueFd out;
    UniqueFd err;
    std::function<void()> on_started;
    std::function<void()> on_output;

    [[nodiscard]] bool over() const { return failure.has_value() || result.has_value(); }
};
using StoryPtr = std::shared_ptr<Story>;

std::string read_all(const UniqueFd& file);
void write_path(const std::string& path, const std::string& text, mode_t mode);
// The value of "Name:\t..." in a text like that of /proc/PID/status.
std::string field_of(const std::string& text, const std::string& name);
// Waits until the process is no more (a zombie is no more).
bool gone_within(pid_t pid, int seconds);
// The pid that a job wrote into a file, once it is there in whole.
pid_t pid_in(const std::string& path);
// Runs it in a forked process. True: nothing failed in there.
bool in_child(const std::function<void()>& what);

// What a manager's observer was told.
struct Book final : Observer {
    void clear();
    void resumed(const Record& job) override;
    void lost(const Record& job) override { lost_jobs.push_back(job); }
    void start_failed(const Record& job, const StartFailure& failure) override;
    void ended(const Record& job) override;
    void evicted(const Record& job, const std::string& why, bool for_room) override;
    void disk_full(const std::string& path, const std::string& why) override;
    void disk_has_room(const std::string& path) override;
    void moved(const JobId& job, std::string_view from, std::string_view to) override;

    std::vector<Record> resumed_jobs;
    std::vector<Record> lost_jobs;
    std::vector<Record> failed_jobs;
    std::vector<Record> ended_jobs;
    std::vector<std::string> disk;  // "full PATH: why", "room PATH"
    std::vector<std::pair<JobId, std::string>> evicted_jobs;
    std::map<JobId, std::string> states;  // "starting released running ..."
};

class JobsTest : public testing::Test {
  protected:
    void SetUp() override;
    void TearDown() override;

    // With settings_, whose state directory is folder_/state. What was lost goes into book_.
    void create();
    // Runs the loop until it is so; false after that time, which is for what does not come at all.
    bool loop_until(const std::function<bool()>& so, int seconds = 50);

    policy::Action action(const std::string& program, uid_t uid = 0) const;
    static policy::Command command(std::vector<std::string> argv);
    policy::Action shell_action(uid_t uid = 0) const { return action("/bin/sh", uid); }
    static policy::Command shell(const std::string& script) {
        return command({"/bin/sh", "-c", script});
    }

    StoryPtr start(const policy::Action& action, const policy::Command& command,
                   const Requester& requester = {anna, anna, 4711}, StartPlace place = nullptr);
    StoryPtr start_shell(const std::string& script, uid_t uid = 0) {
        return start(shell_action(uid), shell(script));
    }
    // One who writes into the story what it is told.
    static std::unique_ptr<Follower> follower(StoryPtr story);
    // Starts it and runs the loop to its end.
    StoryPtr run(const policy::Action& action, const policy::Command& command);
    StoryPtr run_shell(const std::string& script, uid_t uid = 0) {
        return run(shell_action(uid), shell(script));
    }
    // What stands in the script of a job that waits for let(), until then.
    [[nodiscard]] std::string wait_for(const std::string& name) const {
        return "while [ ! -s " + open_folder_ + "/" + name + " ]; do sleep 0.01; done; ";
    }
    void let(const std::string& name) const { write_path(open_folder_ + "/" + name, "go\n", 0644); }
    // Runs the loop until the file is there and ends in a newline.
    bool loop_until_written(const std::string& path);
    [[nodiscard]] std::string job_folder(const StoryPtr& story) const {
        return settings_.state_folder + "/jobs/" + story->job.text();
    }
    [[nodiscard]] Record record_of(const StoryPtr& story) const { return record_of(story->job); }
    // The newest: what lies in memory, until it is on the disk.
    [[nodiscard]] Record record_of(const JobId& job) const;

    const TemporaryDirectory folder_{0755};  // root's
    std::string open_folder_;                // in it, 0777: jobs may write there
    // In a forked child, where the thread of the parent's is not, another one.
    void start_spawner();
    std::unique_ptr<Spawner> spawner_;
    pid_t spawner_of_ = 0;
    Settings settings_;
    UniqueFd keeper_program_;        // postern-output
    bool waits_until_ready_ = true;  // create()
    std::unique_ptr<FakeKeeper> fake_keeper_ = std::make_unique<FakeKeeper>();
    EventLoop loop_;
    Book book_;
    std::unique_ptr<JobManager> manager_;
    std::vector<std::string> notices_;
};

// Outcome, whether by signal, status.
MATCHER_P(Exited, code, "") {
    return arg->result && arg->result->outcome == Outcome::exited && !arg->result->by_signal &&
           arg->result->status == code;
}
MATCHER_P2(EndedBySignal, outcome, signal, "") {
    return arg->result && arg->result->outcome == outcome && arg->result->by_signal &&
           arg->result->status == signal;
}

void PrintTo(const StoryPtr& story, std::ostream* out);

}  // namespace postern::jobs
