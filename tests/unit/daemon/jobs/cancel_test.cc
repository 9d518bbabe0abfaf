// Jobs that somebody cancels, in each of their states, twice, and beside other reasons to end them.
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "daemon/jobs/direct/proc.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

// Whoever waits for one of these fails by its time.
constexpr std::chrono::microseconds endless_grace_of_cancel{600'000'000};
constexpr std::chrono::microseconds no_grace{1};

constexpr const char* waits_for_ever = "while :; do sleep 100 & wait $!; done";

class JobsCancel : public JobsTest {
  protected:
    void use(std::chrono::microseconds grace) {
        settings_.kill_grace = grace;
        create();
        if (manager_->supervision() != "cgroups") GTEST_SKIP() << "no cgroup for jobs here";
    }
    [[nodiscard]] std::string path(const char* name) const { return open_folder_ + "/" + name; }
    static Cancellation by(uid_t uid, int signal = SIGTERM, bool now = false) {
        return {{uid, uid == anna ? "anna" : ""}, signal, now};
    }
    // A job that has said that it is there.
    StoryPtr start_ready(const std::string& before, const std::string& after = waits_for_ever) {
        const StoryPtr story =
            start_shell(before + "; echo >" + path("ready") + "; " + after, anna);
        EXPECT_TRUE(loop_until_written(path("ready")));
        return story;
    }
    void run_to_end(const StoryPtr& story) {
        ASSERT_TRUE(loop_until([&] { return story->over(); }));
        EXPECT_EQ(record_of(story).result, story->result.value_or(record_of(story).result));
    }
};

TEST_F(JobsCancel, TermEndsItAndTheResultSaysWho) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_ready("true");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    EXPECT_FALSE(story->over()) << "called from inside cancel()";
    // Before anything of it has ended.
    const Record before = record_of(story);
    EXPECT_EQ(before.state, RecordState::running);
    EXPECT_EQ(before.cancelling, by(anna));
    EXPECT_EQ(before.result.cancelled_by, by(anna).by);
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGTERM));
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
    ASSERT_EQ(book_.ended_jobs.size(), 1U);
    EXPECT_EQ(book_.ended_jobs[0].result, *story->result);
    EXPECT_FALSE(manager_->cancel(story->job, by(berta))) << "it has ended";
    EXPECT_FALSE(manager_->cancel(JobId("no such job"), by(berta)));
}

TEST_F(JobsCancel, OneThatExitsOfItsTermHasExited) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_ready("trap 'exit 7' TERM");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    run_to_end(story);
    EXPECT_THAT(story, Exited(7));
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
}

TEST_F(JobsCancel, WhatIgnoresTermIsKilledAfterTheGraceAndTheWholeTree) {
    use(no_grace);
    const StoryPtr story =
        start_ready("trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ >" + path("escaped") +
                    "; while :; do sleep 1; done' &); while [ ! -s " + path("escaped") +
                    " ]; do sleep 0.01; done");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGKILL));
    EXPECT_TRUE(gone_within(pid_in(path("escaped")), 0));
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
}

// As a child does whose signal came between its fork and its exec: it is there when the main
// process has ended, and knows of no signal.
TEST_F(JobsCancel, WhatLosesItsSignalGetsItOnceMore) {
    use(endless_grace_of_cancel);
    const StoryPtr story =
        start_ready("trap 'exit 3' TERM; (trap 'trap - TERM' TERM; echo >" + path("child") +
                    "; while :; do sleep 0.01; done) & while [ ! -s " + path("child") +
                    " ]; do sleep 0.01; done");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    run_to_end(story);
    EXPECT_THAT(story, Exited(3));
}

TEST_F(JobsCancel, AnotherSignalTakesThePlaceOfTerm) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_ready("trap '' TERM; trap 'exit 3' USR1");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna, SIGUSR1)));
    run_to_end(story);
    EXPECT_THAT(story, Exited(3));
}

TEST_F(JobsCancel, AStoppedOneGetsItsSignal) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_shell("echo $$ >" + path("pid") + "; kill -STOP $$", anna);
    ASSERT_TRUE(loop_until_written(path("pid")));
    ASSERT_TRUE(loop_until([&] {
        const std::string status = "/proc/" + std::to_string(pid_in(path("pid"))) + "/status";
        return field_of(read_path(status), "State").starts_with("T");
    }));
    EXPECT_TRUE(manager_->cancel(story->job, by(anna, SIGHUP)));
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGHUP));
}

TEST_F(JobsCancel, NowIsKill) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_ready("trap '' TERM");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna, SIGKILL, true)));
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGKILL));
}

// Who was first stays, and so does the time; what is asked for is done.
TEST_F(JobsCancel, ASecondTimeAnotherSignalAndThenNow) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_ready("trap 'echo term >" + path("term") +
                                       "' TERM; trap 'echo int >" + path("int") + "' INT");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    ASSERT_TRUE(loop_until_written(path("term")));
    EXPECT_EQ(manager_->cancel(story->job, by(berta, SIGINT)), Cancelled::now);
    ASSERT_TRUE(loop_until_written(path("int")));
    EXPECT_EQ(manager_->cancel(story->job, by(berta)), Cancelled::already);
    EXPECT_EQ(record_of(story).cancelling, (Cancellation{by(anna).by, SIGINT, false}));
    EXPECT_TRUE(manager_->cancel(story->job, by(berta, SIGKILL, true)));
    EXPECT_EQ(manager_->cancel(story->job, by(berta)), Cancelled::already)
        << "being killed it still runs";
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGKILL));
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
}

TEST_F(JobsCancel, BeforeItBeganItIsNotStarted) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_shell("touch " + path("mark"));
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message, "the job was cancelled before it began");
    EXPECT_EQ(story->failure->detail, "cancelled before it began, by \"anna\" (uid 64001)");
    EXPECT_FALSE(story->failure->again);
    EXPECT_NE(access(path("mark").c_str(), F_OK), 0);
    EXPECT_EQ(record_of(story).state, RecordState::failed);
    EXPECT_EQ(record_of(story).result.cancelled_by, by(anna).by);
}

TEST_F(JobsCancel, FromInsideStarted) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_shell(waits_for_ever);
    story->on_started = [&] { EXPECT_TRUE(manager_->cancel(story->job, by(anna))); };
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGTERM));
}

// Between the word and the exec there is nobody yet who could get a signal.
TEST_F(JobsCancel, BetweenTheWordAndTheExec) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_shell(waits_for_ever);
    // On a slow machine the same turn of the loop may have seen the exec as well.
    ASSERT_TRUE(
        loop_until([&] { return book_.states[story->job].find("released") != std::string::npos; }));
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    run_to_end(story);
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
}

// Nothing of it is asked twice for its own reason: what came first is the outcome.
TEST_F(JobsCancel, BesideAnotherReasonTheFirstIsTheOutcome) {
    use(endless_grace_of_cancel);
    StoryPtr story = start_ready("trap '' TERM");
    manager_->end(story->job, Outcome::disconnected);
    EXPECT_TRUE(manager_->cancel(story->job, by(anna, SIGKILL, true)));
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::disconnected, SIGKILL));
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);

    ASSERT_EQ(unlink(path("ready").c_str()), 0);
    story = start_ready("true");
    EXPECT_TRUE(manager_->cancel(story->job, by(anna)));
    manager_->end(story->job, Outcome::disconnected);
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGTERM));
}

TEST_F(JobsCancel, WhenItsTimeIsUpAsWell) {
    use(endless_grace_of_cancel);
    policy::Action slow = shell_action(anna);
    slow.description.timeout = std::chrono::seconds(1);
    const StoryPtr story =
        start(slow, shell("trap 'echo >" + path("term") + "' TERM; " + waits_for_ever));
    ASSERT_TRUE(loop_until_written(path("term")));
    EXPECT_TRUE(manager_->cancel(story->job, by(anna, SIGKILL, true)));
    run_to_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::timeout, SIGKILL));
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
}

// Its main process has exited by itself: that is the outcome.
TEST_F(JobsCancel, WhatItLeftBehindIsKilledNow) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_shell("(trap '' TERM; echo >" + path("ready") +
                                           "; while :; do sleep 1; done) & while [ ! -s " +
                                           path("ready") + " ]; do sleep 0.01; done; exit 5",
                                       anna);
    ASSERT_TRUE(loop_until([&] { return book_.states[story->job].ends_with("terminating"); }));
    EXPECT_TRUE(manager_->cancel(story->job, by(anna, SIGKILL, true)));
    run_to_end(story);
    EXPECT_THAT(story, Exited(5));
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
}

TEST_F(JobsCancel, WhileItLingers) {
    use(endless_grace_of_cancel);
    const StoryPtr story = start_shell("(trap '' TERM; echo >" + path("ready") +
                                           "; while :; do sleep 1; done) & while [ ! -s " +
                                           path("ready") + " ]; do sleep 0.01; done; exit 5",
                                       anna);
    ASSERT_TRUE(loop_until([&] { return book_.states[story->job].ends_with("lingering"); }));
    EXPECT_TRUE(manager_->cancel(story->job, by(anna, SIGKILL, true)));
    run_to_end(story);
    EXPECT_THAT(story, Exited(5));
    EXPECT_GT(story->result->ended_processes, 0U);
    EXPECT_EQ(story->result->cancelled_by, by(anna).by);
}

}  // namespace
}  // namespace postern::jobs
