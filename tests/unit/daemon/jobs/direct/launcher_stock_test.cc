// Launchers that wait for a job: when they come, how many, and when they go.
#include "daemon/jobs/direct/launcher_stock.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <vector>

#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/daemon/jobs/direct/children.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

class LauncherStockTest : public JobsTest {
  protected:
    void SetUp() override {
        JobsTest::SetUp();
        loop_ = make_event_loop();
    }
    LauncherStock::Settings settings(std::chrono::microseconds wait = std::chrono::hours(1)) const {
        return {spawner_.get(), settings_.launcher.get(), 2, wait};
    }
    // Until the loop has nothing more to do.
    void run_loop() const {
        while (sd_event_run(loop_.get(), 0) > 0) {
        }
    }
    static bool is_there(pid_t pid) { return kill(pid, 0) == 0; }  // as a zombie too
};

TEST_F(LauncherStockTest, ThereIsNoneBeforeThereWasAJob) {
    LauncherStock stock(loop_.get(), settings());
    run_loop();
    EXPECT_FALSE(stock.take());
}

TEST_F(LauncherStockTest, AfterAJobOneIsStartedFromTheLoop) {
    LauncherStock stock(loop_.get(), settings());
    stock.ran();
    EXPECT_FALSE(stock.take());
    run_loop();
    auto taken = stock.take();
    ASSERT_TRUE(taken);
    EXPECT_TRUE(is_there(taken->pid));
    EXPECT_FALSE(stock.take());
    end_launcher(std::move(*taken));
}

TEST_F(LauncherStockTest, ThereAreNeverMoreThanIsSaid) {
    LauncherStock stock(loop_.get(), settings());
    for (int i = 0; i < 5; ++i) stock.ran();
    run_loop();
    for (int i = 0; i < 5; ++i) stock.ran();
    run_loop();
    auto first = stock.take();
    auto second = stock.take();
    ASSERT_TRUE(first && second);
    EXPECT_NE(first->pid, second->pid);
    EXPECT_FALSE(stock.take());
    end_launcher(std::move(*first));
    end_launcher(std::move(*second));
    // And what was taken is made up for.
    stock.ran();
    run_loop();
    end_launcher(stock.take().value());
}

TEST_F(LauncherStockTest, WhateverElseIsToBeDoneComesBefore) {
    LauncherStock stock(loop_.get(), settings());
    EventSource other;
    int left = 20;
    add_defer(loop_.get(), other, [&] {
        EXPECT_FALSE(stock.take()) << left;
        if (--left > 0) sd_event_source_set_enabled(other.get(), SD_EVENT_ONESHOT);
    });
    stock.ran();
    run_loop();
    EXPECT_EQ(left, 0);
    end_launcher(stock.take().value());
}

TEST_F(LauncherStockTest, TheyAreGoneSomeTimeAfterTheLastJob) {
    LauncherStock stock(loop_.get(), settings(std::chrono::milliseconds(1)));
    for (int round = 0; round < 2; ++round) {
        stock.ran();
        stock.ran();
        std::vector<pid_t> pids;
        EXPECT_TRUE(loop_until([&] {
            const std::vector<pid_t> now = children();
            if (now.size() > pids.size()) pids = now;
            return now.empty() && !pids.empty();
        }));
        for (const pid_t pid : pids) EXPECT_FALSE(is_there(pid));
        EXPECT_FALSE(stock.take());
    }
}

TEST_F(LauncherStockTest, NoneIsLeftWhenItIsDestroyed) {
    auto stock = std::make_unique<LauncherStock>(loop_.get(), settings());
    stock->ran();
    stock->ran();
    run_loop();
    const std::vector<pid_t> pids = children();
    EXPECT_EQ(pids.size(), 2U);
    stock.reset();
    for (const pid_t pid : pids) EXPECT_FALSE(is_there(pid));
}

// ---- With a manager ----

class WaitingLaunchers : public JobsTest {
  protected:
    // Runs a job; its process.
    pid_t pid_of_a_job() {
        const StoryPtr story = run_shell("echo $$", anna);
        EXPECT_THAT(story, Exited(0));
        return std::atoi(read_all(story->out).c_str());
    }
    // The one that waits.
    pid_t waiting() {
        EXPECT_TRUE(loop_until([] { return children().size() == 1; }));
        return children().at(0);
    }
};

TEST_F(WaitingLaunchers, TheNextJobGetsTheOneThatWaits) {
    create();
    EXPECT_TRUE(children().empty());
    pid_of_a_job();
    for (int i = 0; i < 3; ++i) {
        const pid_t pid = waiting();
        EXPECT_EQ(pid_of_a_job(), pid);
    }
}

TEST_F(WaitingLaunchers, OneThatDiedIsNotUsed) {
    create();
    pid_of_a_job();
    const pid_t pid = waiting();
    kill(pid, SIGKILL);
    ASSERT_TRUE(gone_within(pid, 50));
    EXPECT_NE(pid_of_a_job(), pid);
    EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1) << "it was not reaped";
}

TEST_F(WaitingLaunchers, AJobThatCouldNotStartTakesNoneAlong) {
    create();
    pid_of_a_job();
    const pid_t pid = waiting();
    policy::Action nowhere = shell_action(anna);
    nowhere.working_directory = "/nonexistent";
    EXPECT_TRUE(run(nowhere, shell("exit 0"))->failure);
    EXPECT_TRUE(gone_within(pid, 50));
    const pid_t next = waiting();
    EXPECT_EQ(pid_of_a_job(), next);
}

TEST_F(WaitingLaunchers, NoneStaysWhenTheGuardIsKilled) {
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    const std::string pid_file = folder_ / "pid";
    const int status = end_of(fork_child([&] {
        create();
        pid_of_a_job();
        write_path(pid_file, std::to_string(waiting()) + "\n", 0600);
        return kill(getpid(), SIGKILL);
    }));
    ASSERT_TRUE(WIFSIGNALED(status));
    const pid_t pid = pid_in(pid_file);
    ASSERT_GT(pid, 1);
    EXPECT_TRUE(gone_within(pid, 50));
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

}  // namespace
}  // namespace postern::jobs
