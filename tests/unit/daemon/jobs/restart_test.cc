// A guard that was killed: what the next one makes of it.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/io.h"
#include "daemon/jobs/direct/cgroup.h"
#include "host/boot_id.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Restart : public JobsTest {
  protected:
    // A guard in a process of its own, which is killed once it has done `what`.
    static void killed_guard(const std::function<void()>& what) {
        const int status = end_of(fork_child([&what] {
            what();
            return kill(getpid(), SIGKILL);
        }));
        ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    [[nodiscard]] std::string path(const char* name) const { return open_folder_ + "/" + name; }
    [[nodiscard]] std::vector<std::string> jobs() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(folder_ / "state/jobs")) {
            names.push_back(entry.path().filename());
        }
        return names;
    }
    [[nodiscard]] Record record(const std::string& job) const {
        const auto read = from_json(read_path(folder_ / "state/jobs/" + job + "/record.json"));
        EXPECT_TRUE(read) << (read ? "" : read.error().message);
        return read ? *read : Record{};
    }
    // Of the only job there is.
    void change_record(const std::string& what, const std::string& by) const {
        const std::string file = folder_ / "state/jobs/" + jobs().at(0) + "/record.json";
        std::string text = read_path(file);
        const std::size_t at = text.find(what);
        ASSERT_NE(at, std::string::npos);
        write_path(file, text.replace(at, what.size(), by), 0600);
    }
    // A running job with an escaped, stubborn process; their pids are in main and escaped.
    void guard_with_a_job() {
        create();
        // A shell says of a child that is killed that it was, and nobody reads that any more.
        start_shell("exec 2>/dev/null; (setsid sh -c 'trap \"\" TERM; echo $$ >" + path("escaped") +
                        "; while :; do sleep 1; done' &) & echo said; echo $$ >" + path("main") +
                        "; trap '' TERM; while :; do sleep 1; done",
                    anna);
        loop_until_written(path("escaped"));
        loop_until_written(path("main"));
    }
};

TEST_F(Restart, LeftoversAreEndedAndRecordedAsLost) {
    killed_guard([&] { guard_with_a_job(); });
    const pid_t main = pid_in(path("main"));
    const pid_t escaped = pid_in(path("escaped"));
    ASSERT_EQ(kill(main, 0), 0);
    ASSERT_EQ(kill(escaped, 0), 0);
    ASSERT_EQ(jobs().size(), 1U);
    const std::string job = jobs()[0];
    EXPECT_EQ(record(job).state, RecordState::running);
    const std::string cgroup = record(job).cgroup;

    create();
    EXPECT_TRUE(gone_within(main, 0));
    EXPECT_TRUE(gone_within(escaped, 0));
    EXPECT_NE(access(cgroup.c_str(), F_OK), 0);
    ASSERT_EQ(book_.lost_jobs.size(), 1U);
    EXPECT_EQ(book_.lost_jobs[0].job.text(), job);
    EXPECT_EQ(book_.lost_jobs[0].action, "test.action");
    EXPECT_EQ(book_.lost_jobs[0].requester.uid, anna);
    EXPECT_THAT(notices_, IsEmpty());
    const Record lost = record(job);
    EXPECT_EQ(lost.state, RecordState::lost);
    EXPECT_EQ(lost.result.outcome, Outcome::lost);
    EXPECT_EQ(lost.message, "the guard ended while the job ran");
    const std::string output = folder_ / "state/jobs/" + job + "/stdout";
    EXPECT_EQ(read_path(output), "said\n");
    struct stat status{};
    ASSERT_EQ(stat(output.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
    EXPECT_EQ(manager_->active(), 0U);
    EXPECT_THAT(run_shell("exit 2"), Exited(2));

    // Lost once, not again.
    manager_.reset();
    book_.lost_jobs.clear();
    create();
    EXPECT_THAT(book_.lost_jobs, IsEmpty());
    EXPECT_EQ(record(job).state, RecordState::lost);
}

TEST_F(Restart, AJobWhoseGuardDiedBeforeItsLauncherWasReadyNeverRuns) {
    killed_guard([&] {
        create();
        start_shell("touch " + path("mark"));
        // Not one round of the loop: no go.
    });
    create();
    ASSERT_EQ(book_.lost_jobs.size(), 1U);
    EXPECT_EQ(record(jobs().at(0)).message, "the guard ended before the program was run");
    EXPECT_NE(access(path("mark").c_str(), F_OK), 0);
}

TEST_F(Restart, OfAnotherBootNothingIsEnded) {
    killed_guard([&] { guard_with_a_job(); });
    const pid_t main = pid_in(path("main"));
    // Pid and start time are those of a process, but of another one: the machine was started anew.
    // (Out of our own folder of cgroups, which is emptied in any case.)
    const std::string cgroup = record(jobs()[0]).cgroup;
    const std::string elsewhere = std::filesystem::path(cgroup).parent_path().parent_path();
    ASSERT_EQ(write_file(elsewhere + "/cgroup.procs", std::to_string(main)), 0);
    change_record(cgroup, "");
    change_record(boot_id(), "another-boot");
    create();
    EXPECT_EQ(book_.lost_jobs.size(), 1U);
    EXPECT_FALSE(gone_within(main, 0));
    kill(main, SIGKILL);
    EXPECT_EQ(record(jobs()[0]).message, "the machine stopped before the job ended");
}

TEST_F(Restart, AForgedCgroupInARecordIsNotEnded) {
    const pid_t bystander = fork_idle_child();
    const auto other = make_jobs_cgroup("/of somebody else " + std::to_string(getpid()));
    if (!other) GTEST_SKIP() << other.error().message;
    const std::string cgroup = other->folder + "/x";
    ASSERT_EQ(mkdir(cgroup.c_str(), 0755), 0);
    ASSERT_EQ(write_file(cgroup + "/cgroup.procs", std::to_string(bystander)), 0);
    killed_guard([&] { guard_with_a_job(); });
    change_record(record(jobs()[0]).cgroup, cgroup);
    create();
    EXPECT_EQ(book_.lost_jobs.size(), 1U);
    int status = 0;
    EXPECT_EQ(waitpid(bystander, &status, WNOHANG), 0) << "the bystander is gone";
    // The job itself is ended all the same: its cgroup is in our folder.
    EXPECT_TRUE(gone_within(pid_in(path("main")), 0));
    kill(bystander, SIGKILL);
    waitpid(bystander, &status, 0);
    rmdir(cgroup.c_str());
    rmdir(other->folder.c_str());
}

TEST_F(Restart, WithoutACgroupTheGroupIsEndedByPidAndStartTime) {
    // As if it had had no cgroup: out of the folder, and not in the record.
    killed_guard([&] { guard_with_a_job(); });
    const pid_t main = pid_in(path("main"));
    const pid_t escaped = pid_in(path("escaped"));
    const std::string cgroup = record(jobs()[0]).cgroup;
    const std::string elsewhere = std::filesystem::path(cgroup).parent_path().parent_path();
    for (const pid_t pid : {main, escaped}) {
        ASSERT_EQ(write_file(elsewhere + "/cgroup.procs", std::to_string(pid)), 0);
    }
    change_record(cgroup, "");
    create();
    EXPECT_TRUE(gone_within(main, 50));
    // Known by the variable that it began with.
    EXPECT_TRUE(gone_within(escaped, 50));
}

TEST_F(Restart, AProcessThatOnlyHasThePidOfTheJobIsLeftAlone) {
    killed_guard([&] { guard_with_a_job(); });
    const std::string cgroup = record(jobs()[0]).cgroup;
    const pid_t bystander = fork();
    if (bystander == 0) {
        setsid();
        while (true) pause();
    }
    change_record("\"pid\": " + std::to_string(record(jobs()[0]).pid),
                  "\"pid\": " + std::to_string(bystander));
    change_record(cgroup, "");
    create();
    int status = 0;
    EXPECT_EQ(waitpid(bystander, &status, WNOHANG), 0) << "the bystander is gone";
    kill(bystander, SIGKILL);
    waitpid(bystander, &status, 0);
}

TEST_F(Restart, ACorruptRecordIsSetAsideToldAndStopsNothing) {
    killed_guard([&] { guard_with_a_job(); });
    const std::string job = jobs().at(0);
    const std::string folder = folder_ / "state/jobs/" + job;
    write_path(folder + "/record.json", "{ half", 0600);
    create();
    ASSERT_EQ(notices_.size(), 1U);
    EXPECT_THAT(notices_[0], HasSubstr(folder + "/record.json is not believed"));
    EXPECT_EQ(read_path(folder + "/record.json.bad"), "{ half");
    EXPECT_NE(access((folder + "/record.json").c_str(), F_OK), 0);
    EXPECT_THAT(book_.lost_jobs, IsEmpty());
    // What it was about is ended all the same.
    EXPECT_TRUE(gone_within(pid_in(path("main")), 0));
    struct stat status{};
    ASSERT_EQ(stat((folder + "/stdout").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
    EXPECT_THAT(run_shell("exit 2"), Exited(2));
    // Told once.
    manager_.reset();
    notices_.clear();
    create();
    EXPECT_THAT(notices_, IsEmpty());
}

TEST_F(Restart, ARecordThatIsAnotherJobsOrALinkIsNotBelieved) {
    create();
    const StoryPtr story = run_shell("exit 0");
    manager_.reset();
    const std::string jobs_folder = folder_ / "state/jobs/";
    const std::string copied(32, 'a');
    const std::string linked(32, 'b');
    ASSERT_EQ(mkdir((jobs_folder + copied).c_str(), 0700), 0);
    ASSERT_EQ(mkdir((jobs_folder + linked).c_str(), 0700), 0);
    ASSERT_EQ(mkdir((jobs_folder + "something else").c_str(), 0700), 0);
    write_path(jobs_folder + copied + "/record.json", read_path(job_folder(story) + "/record.json"),
               0600);
    ASSERT_EQ(symlink("/etc/passwd", (jobs_folder + linked + "/record.json").c_str()), 0);
    create();
    EXPECT_THAT(notices_, testing::UnorderedElementsAre(HasSubstr("it is another job's"),
                                                        HasSubstr("symbolic links")));
    EXPECT_EQ(record_of(story).state, RecordState::ended);
}

TEST_F(Restart, ADestroyedManagerLeavesNothingRunning) {
    guard_with_a_job();
    const pid_t main = pid_in(path("main"));
    const pid_t escaped = pid_in(path("escaped"));
    manager_.reset();
    EXPECT_TRUE(gone_within(main, 50));
    EXPECT_TRUE(gone_within(escaped, 50));
    create();
    EXPECT_EQ(book_.lost_jobs.size(), 1U);
}

}  // namespace
}  // namespace postern::jobs
