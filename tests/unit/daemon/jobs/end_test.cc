// How jobs end: by time, by request, with what they leave behind; with a cgroup and without.
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>

#include "daemon/jobs/direct/proc.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::HasSubstr;
using testing::Not;

using Clock = std::chrono::steady_clock;
// Long enough that who is asked to end has ended, also on a busy machine.
constexpr std::chrono::microseconds short_grace{1'000'000};
// Long enough that a test which wrongly waits for it fails by its time.
constexpr std::chrono::microseconds endless_grace{600'000'000};

class JobsEnd : public JobsTest {
  protected:
    void use(std::chrono::microseconds grace) {
        settings_.kill_grace = grace;
        create();
        if (manager_->supervision() != "cgroups") GTEST_SKIP() << "no cgroup for jobs here";
    }
    [[nodiscard]] std::string path(const char* name) const { return open_folder_ + "/" + name; }
};

// The time that a job has which is ended by it: enough for a shell to have begun, also on a busy
// machine.
constexpr std::chrono::seconds short_time{1};

// A shell that waits for ever and can be woken by signals.
constexpr const char* wait_for_ever = "while :; do sleep 100 & wait $!; done";

TEST_F(JobsEnd, TheTimeIsUpTermThenTheOutcomeIsTimeout) {
    use(endless_grace);
    policy::Action slow = shell_action(anna);
    slow.description.timeout = short_time;
    const auto before = Clock::now();
    const StoryPtr story = run(slow, shell("echo begun; exec sleep 100"));
    EXPECT_THAT(story, EndedBySignal(Outcome::timeout, SIGTERM));
    EXPECT_GE(Clock::now() - before, short_time);
    EXPECT_EQ(read_all(story->out), "begun\n");
    EXPECT_EQ(record_of(story).result, *story->result);
}

TEST_F(JobsEnd, AJobThatExitsOnTermIsStillATimeout) {
    use(endless_grace);
    policy::Action slow = shell_action(anna);
    slow.description.timeout = short_time;
    const StoryPtr story =
        run(slow, shell(std::string("trap 'echo term; exit 3' TERM; ") + wait_for_ever));
    ASSERT_TRUE(story->result);
    EXPECT_EQ(story->result->outcome, Outcome::timeout);
    EXPECT_FALSE(story->result->by_signal);
    EXPECT_EQ(story->result->status, 0);
    EXPECT_EQ(read_all(story->out), "term\n");
}

TEST_F(JobsEnd, AJobThatIgnoresTermIsKilledAfterTheGrace) {
    use(short_grace);
    policy::Action slow = shell_action(anna);
    slow.description.timeout = short_time;
    const auto before = Clock::now();
    const StoryPtr story = run(slow, shell(std::string("trap '' TERM; ") + wait_for_ever));
    EXPECT_THAT(story, EndedBySignal(Outcome::timeout, SIGKILL));
    EXPECT_GE(Clock::now() - before, short_time + short_grace);
}

TEST_F(JobsEnd, AStoppedJobGetsItsTerm) {
    use(endless_grace);
    const StoryPtr story = start_shell("echo $$ >" + path("pid") + "; kill -STOP $$", anna);
    ASSERT_TRUE(loop_until_written(path("pid")));
    ASSERT_TRUE(loop_until([&] {
        return field_of(read_path("/proc/" + std::to_string(pid_in(path("pid"))) + "/status"),
                        "State")
            .starts_with("T");
    }));
    manager_->end(story->job, Outcome::disconnected);
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(story, EndedBySignal(Outcome::disconnected, SIGTERM));
}

TEST_F(JobsEnd, TheFirstReasonToEndAJobCounts) {
    use(endless_grace);
    const StoryPtr story = start_shell(wait_for_ever);
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    manager_->end(story->job, Outcome::disconnected);
    manager_->end(story->job, Outcome::stopped);
    EXPECT_FALSE(story->over()) << "called from inside end()";
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(story, EndedBySignal(Outcome::disconnected, SIGTERM));
    manager_->end(story->job, Outcome::stopped);
    manager_->end(JobId("no such job"), Outcome::stopped);
}

TEST_F(JobsEnd, EndedFromInsideStarted) {
    use(endless_grace);
    const StoryPtr story = start_shell(wait_for_ever);
    story->on_started = [&] { manager_->end(story->job, Outcome::disconnected); };
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(story, EndedBySignal(Outcome::disconnected, SIGTERM));
}

TEST_F(JobsEnd, EndedBeforeItBeganItIsNotStarted) {
    use(endless_grace);
    const StoryPtr story = start_shell("touch " + path("mark"));
    manager_->end(story->job, Outcome::disconnected);
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message, "the job was ended before it began");
    EXPECT_NE(access(path("mark").c_str(), F_OK), 0);
    EXPECT_EQ(record_of(story).state, RecordState::failed);
}

// Forks twice and leaves the POSIX session: what a process group can't hold.
std::string escapee(const std::string& pid_file, const std::string& what) {
    return "(setsid sh -c 'echo $$ >" + pid_file + "; " + what + "' &) &";
}

TEST_F(JobsEnd, ADoubleForkedProcessWithItsOwnSessionEndsWithTheCgroup) {
    use(short_grace);
    const StoryPtr story =
        run_shell(escapee(path("pid"), "trap \"\" TERM; while :; do sleep 1; done") +
                      " while [ ! -s " + path("pid") + " ]; do sleep 0.01; done; exit 5",
                  anna);
    EXPECT_THAT(story, Exited(5));
    EXPECT_TRUE(gone_within(pid_in(path("pid")), 0));
}

TEST_F(JobsEnd, WhatIsEndedWithItIsCounted) {
    use(short_grace);
    StoryPtr story = run_shell("sleep 100 & " + escapee(path("pid"), "sleep 100; true") +
                                   " while [ ! -s " + path("pid") + " ]; do sleep 0.01; done",
                               anna);
    EXPECT_THAT(story, Exited(0));
    // The shell of the escapee, and what both wait for.
    EXPECT_EQ(story->result->ended_processes, 3U);
    EXPECT_EQ(record_of(story).result, *story->result);
    story = run_shell("yes | head -n 1", anna);
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(story->result->ended_processes, 0U) << "yes ended by itself";
    EXPECT_EQ(read_all(story->out), "y\n");
}

TEST_F(JobsEnd, TheOutputOfABackgroundChildBelongsToTheJob) {
    use(endless_grace);
    // The child gets its TERM when the main process is gone, writes its last word, and goes.
    const StoryPtr story =
        run_shell("(trap 'echo last; exit' TERM; echo ready >" + path("ready") +
                      "; while :; do sleep 0.01; done) & while [ ! -s " + path("ready") +
                      " ]; do sleep 0.01; done; echo main; exit 0",
                  anna);
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->out), "main\nlast\n");
}

TEST_F(JobsEnd, AForkBombIsEndedWhole) {
    use(short_grace);
    policy::Action bomb = shell_action(anna);
    bomb.description.timeout = short_time;
    const StoryPtr story =
        run(bomb,
            shell("trap '' TERM; spread() { i=0; while [ $i -lt 40 ]; do (sleep 100 & sleep 0.01; "
                  "while :; do (sleep 0.05); done) & i=$((i+1)); done; }; spread; wait"));
    EXPECT_THAT(story, EndedBySignal(Outcome::timeout, SIGKILL));
    for (const pid_t pid : all_processes()) {
        EXPECT_THAT(read_path("/proc/" + std::to_string(pid) + "/environ"),
                    Not(HasSubstr(story->job.text())));
    }
}

TEST_F(JobsEnd, ARootJobThatMakesCgroupsAndLeavesItsOwnIsEndedToo) {
    use(short_grace);
    const StoryPtr story =
        start_shell("cg=$(sed -n 's/.*\"cgroup\": \"\\(.*\\)\",/\\1/p' " +
                    folder_ / "state/jobs/$POSTERN_JOB/record.json" +
                    "); mkdir $cg/inner; sleep 100 & "
                    "child=$!; echo $child "
                    ">$cg/inner/cgroup.procs; echo $$ >$cg/../../cgroup.procs; echo $child >" +
                    path("pid") + "; while :; do wait; sleep 1; done");
    ASSERT_TRUE(loop_until_written(path("pid")));
    const std::string cgroup = record_of(story).cgroup;
    ASSERT_EQ(access((cgroup + "/inner").c_str(), F_OK), 0);
    manager_->end(story->job, Outcome::stopped);
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(story, EndedBySignal(Outcome::stopped, SIGTERM));
    EXPECT_TRUE(gone_within(pid_in(path("pid")), 0));
    EXPECT_NE(access(cgroup.c_str(), F_OK), 0);
}

TEST_F(JobsEnd, TheCgroupGoesWithTheJob) {
    use(endless_grace);
    const StoryPtr story = run_shell("exit 0");
    const std::string cgroup = record_of(story).cgroup;
    EXPECT_TRUE(cgroup.ends_with(story->job.text())) << cgroup;
    EXPECT_NE(access(cgroup.c_str(), F_OK), 0);
    manager_.reset();
    EXPECT_NE(access(std::filesystem::path(cgroup).parent_path().c_str(), F_OK), 0);
}

TEST_F(JobsEnd, ShutDownEndsAllAndThenSaysSo) {
    use(short_grace);
    std::vector<StoryPtr> stories;
    for (int i = 0; i < 3; ++i) stories.push_back(start_shell(wait_for_ever, anna));
    stories.push_back(
        start_shell(std::string("trap '' TERM; echo >") + path("ready") + ";" + wait_for_ever));
    ASSERT_TRUE(loop_until_written(path("ready")));
    ASSERT_TRUE(loop_until([&] {
        return std::all_of(stories.begin(), stories.end(), [](auto& s) { return s->started; });
    }));
    EXPECT_EQ(manager_->active(anna), 4U);  // by requester
    int done = 0;
    manager_->shut_down([&] {
        EXPECT_EQ(manager_->active(), 0U);
        ++done;
    });
    EXPECT_EQ(done, 0) << "called from inside shut_down()";
    const auto refused = manager_->start(shell_action(), shell("true"), {}, {}, {},
                                         [](const JobId&) { return true; });
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "the guard is stopping");
    ASSERT_TRUE(loop_until([&] { return done > 0; }));
    EXPECT_EQ(done, 1);
    for (int i = 0; i < 3; ++i) {
        EXPECT_THAT(stories[static_cast<std::size_t>(i)], EndedBySignal(Outcome::stopped, SIGTERM));
    }
    EXPECT_THAT(stories[3], EndedBySignal(Outcome::stopped, SIGKILL));
    EXPECT_EQ(manager_->active(anna), 0U);
}

TEST_F(JobsEnd, ShutDownWithNothingToEndSaysSoFromTheLoop) {
    use(endless_grace);
    bool done = false;
    manager_->shut_down([&] { done = true; });
    EXPECT_FALSE(done);
    EXPECT_TRUE(loop_until([&] { return done; }));
}

// ---- Without cgroups ----

class JobsEndGroup : public JobsTest {
  protected:
    // As root where no cgroup2 is mounted.
    void without_cgroups(const std::function<void()>& what) {
        EXPECT_TRUE(in_child([&] {
            ASSERT_EQ(unshare(CLONE_NEWNS), 0);
            ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
            for (const std::string& line : lines_of(read_path("/proc/self/mountinfo"))) {
                if (line.find(" - cgroup2 ") == std::string::npos) continue;
                std::istringstream fields(line);
                std::string field;
                for (int i = 0; i < 5; ++i) fields >> field;
                ASSERT_EQ(umount2(field.c_str(), MNT_DETACH), 0);
            }
            settings_.kill_grace = short_grace;
            create();
            ASSERT_EQ(manager_->supervision(), "process groups");
            what();
            manager_.reset();
        }));
    }
};

TEST_F(JobsEndGroup, ItSaysThatThereAreNone) {
    without_cgroups([&] {
        ASSERT_EQ(notices_.size(), 1U);
        EXPECT_THAT(notices_[0], HasSubstr("jobs get no cgroup of their own ("));
        EXPECT_THAT(run_shell("exit 4", anna), Exited(4));
        EXPECT_THAT(run_shell("kill -9 $$", anna), EndedBySignal(Outcome::signaled, SIGKILL));
    });
}

TEST_F(JobsEndGroup, TimeoutEndsTheWholeGroup) {
    without_cgroups([&] {
        const std::string pid = open_folder_ + "/pid";
        policy::Action slow = shell_action(anna);
        slow.description.timeout = short_time;
        const StoryPtr story =
            run(slow, shell("trap '' TERM; sh -c 'echo $$ >" + pid +
                            "; while :; do sleep 1; done' & while :; do sleep 1; done"));
        EXPECT_THAT(story, EndedBySignal(Outcome::timeout, SIGKILL));
        EXPECT_TRUE(gone_within(pid_in(pid), 0));
    });
}

TEST_F(JobsEndGroup, AStoppedJobGetsItsTerm) {
    without_cgroups([&] {
        const std::string pid = open_folder_ + "/pid";
        const StoryPtr story = start_shell("echo $$ >" + pid + "; kill -STOP $$", anna);
        ASSERT_TRUE(loop_until_written(pid));
        ASSERT_TRUE(loop_until([&] {
            return field_of(read_path("/proc/" + std::to_string(pid_in(pid)) + "/status"), "State")
                .starts_with("T");
        }));
        manager_->end(story->job, Outcome::disconnected);
        ASSERT_TRUE(loop_until([&] { return story->over(); }));
        EXPECT_THAT(story, EndedBySignal(Outcome::disconnected, SIGTERM));
    });
}

TEST_F(JobsEndGroup, TheOutputOfABackgroundChildBelongsToTheJob) {
    without_cgroups([&] {
        const std::string ready = open_folder_ + "/ready";
        const StoryPtr story = run_shell("(trap 'echo last; exit' TERM; echo ready >" + ready +
                                             "; while :; do sleep 0.01; done) & while [ ! -s " +
                                             ready + " ]; do sleep 0.01; done; echo main; exit 0",
                                         anna);
        EXPECT_THAT(story, Exited(0));
        EXPECT_EQ(read_all(story->out), "main\nlast\n");
    });
}

TEST_F(JobsEndGroup, ABackgroundChildThatIgnoresTermIsKilled) {
    without_cgroups([&] {
        const std::string pid = open_folder_ + "/pid";
        const StoryPtr story = run_shell("sh -c 'trap \"\" TERM; echo $$ >" + pid +
                                             "; while :; do sleep 1; done' & while [ ! -s " + pid +
                                             " ]; do sleep 0.01; done; exit 6",
                                         anna);
        EXPECT_THAT(story, Exited(6));
        EXPECT_TRUE(gone_within(pid_in(pid), 0));
    });
}

// ---- Without root ----

TEST_F(JobsEndGroup, AnOrdinaryUsersGuardRunsJobsAsThatUserAlone) {
    const std::string own = folder_ / "own";
    ASSERT_EQ(mkdir(own.c_str(), 0700), 0);
    ASSERT_EQ(chown(own.c_str(), anna, anna), 0);
    settings_.state_folder = own + "/state";
    EXPECT_TRUE(in_child([&] {
        const gid_t groups[] = {anna, 27};
        ASSERT_EQ(setgroups(2, groups), 0);
        ASSERT_EQ(setresgid(anna, anna, anna), 0);
        ASSERT_EQ(setresuid(anna, anna, anna), 0);
        create();
        const StoryPtr story =
            run(action("/bin/cat", anna), command({"/bin/cat", "/proc/self/status"}));
        EXPECT_THAT(story, Exited(0));
        const std::string status = read_all(story->out);
        EXPECT_EQ(field_of(status, "Uid"), "64001\t64001\t64001\t64001");
        EXPECT_EQ(field_of(status, "Groups"), "27 64001 ");
        EXPECT_EQ(read_all(run(action("/bin/sh", anna), shell("echo x >/dev/stderr"))->err), "x\n");
        const StoryPtr other = run(action("/bin/cat", berta), command({"/bin/cat"}));
        ASSERT_TRUE(other->failure);
        EXPECT_EQ(other->failure->message,
                  "the program could not be started: Operation not permitted while setting "
                  "its user id");
        EXPECT_TRUE(run(action("/bin/cat", 0), command({"/bin/cat"}))->failure);
        manager_.reset();
    }));
}

}  // namespace
}  // namespace postern::jobs
