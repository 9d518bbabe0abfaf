// Units that are cancelled: at each point of their lives, twice, and with a guard that is killed in
// between.
#include <chrono>
#include <csignal>
#include <vector>

#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

class UnitCancel : public UnitJobsTest {
  protected:
    void SetUp() override {
        UnitJobsTest::SetUp();
        // On a slow machine KILL would come before what TERM does is seen.
        settings_.kill_grace = std::chrono::minutes(10);
    }
    static std::vector<Event> runs_on() {
        return {Event::answer, Event::forked, Event::executed, Event::job_removed};
    }
    static std::vector<Event> exits_by_itself() {
        std::vector<Event> events = runs_on();
        events.insert(events.end(), {Event::exits, Event::settles});
        return events;
    }
    static Cancellation cancelled_by(uid_t uid, int signal = SIGTERM, bool now = false) {
        return {{uid, "somebody"}, signal, now};
    }
    StoryPtr begin_one(std::vector<Event> events) {
        begin(FakeSystemd::Version::v252);
        systemd_->set_life({"exit 7", CLD_EXITED, 7, "exit-code"}, std::move(events));
        return start_job();
    }
    StoryPtr begin_running() {
        StoryPtr story = begin_one(runs_on());
        EXPECT_TRUE(go_on([&] { return story->started; }, Pace::calm));
        settle();
        return story;
    }
    void to_the_end(const StoryPtr& story) {
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm)) << book_.states[story->job];
        expect_nothing_left();
    }
};

TEST_F(UnitCancel, AtAnyPoint) {
    std::size_t cancelled = 0;
    for (std::size_t steps = 0;; ++steps) {
        SCOPED_TRACE(steps);
        const StoryPtr story = begin_one(exits_by_itself());
        if (go_on([&] { return story->over(); }, Pace::calm, steps)) break;
        if (!manager_->cancel(story->job, cancelled_by(anna))) {
            // Nothing of it runs any more, and what it wrote last is awaited.
            to_the_end(story);
            EXPECT_FALSE(story->result->cancelled_by);
            continue;
        }
        ++cancelled;
        EXPECT_EQ(record_of(story).cancelling, cancelled_by(anna));
        to_the_end(story);
        ASSERT_TRUE(story->result) << story;
        // By itself, where it was the first to end; else by the signal.
        if (story->result->by_signal) {
            EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGTERM));
        } else {
            EXPECT_THAT(story, Exited(7));
        }
        EXPECT_EQ(story->result->cancelled_by, cancelled_by(anna).by);
        EXPECT_EQ(record_of(story).result, *story->result);
        EXPECT_EQ(book_.ended_jobs.at(0).result, *story->result);
    }
    EXPECT_GT(cancelled, 10U);
}

TEST_F(UnitCancel, OneThatIgnoresItsSignalIsKilled) {
    settings_.kill_grace = std::chrono::milliseconds(20);
    const StoryPtr story = begin_running();
    systemd_->ignore_signal(SIGINT);
    EXPECT_TRUE(manager_->cancel(story->job, cancelled_by(anna, SIGINT)));
    to_the_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGKILL));
    EXPECT_THAT(systemd_->calls(),
                ElementsAre("list", "start", "kill 2", "kill 18", "kill 9", "reset"));
}

TEST_F(UnitCancel, NowIsKillAlone) {
    const StoryPtr story = begin_running();
    EXPECT_TRUE(manager_->cancel(story->job, cancelled_by(anna, SIGKILL, true)));
    to_the_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGKILL));
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "kill 9", "reset"));
}

TEST_F(UnitCancel, ASecondTimeAnotherSignalAndThenNow) {
    const StoryPtr story = begin_running();
    systemd_->ignore_signal(SIGTERM);
    EXPECT_EQ(manager_->cancel(story->job, cancelled_by(anna)), Cancelled::now);
    settle();
    EXPECT_EQ(manager_->cancel(story->job, cancelled_by(berta)), Cancelled::already);
    settle();
    EXPECT_EQ(manager_->cancel(story->job, cancelled_by(berta, SIGKILL, true)), Cancelled::now);
    to_the_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGKILL));
    EXPECT_EQ(story->result->cancelled_by, cancelled_by(anna).by);
    EXPECT_THAT(systemd_->calls(),
                ElementsAre("list", "start", "kill 15", "kill 18", "kill 9", "reset"));
}

// systemd is told of each signal once, and of none after KILL.
TEST_F(UnitCancel, AgainAndAgainChangesNothing) {
    const StoryPtr story = begin_running();
    EXPECT_EQ(manager_->cancel(story->job, cancelled_by(anna)), Cancelled::now);
    for (int again = 0; again < 100; ++again) {
        EXPECT_EQ(manager_->cancel(story->job, cancelled_by(anna)), Cancelled::already);
    }
    EXPECT_EQ(manager_->cancel(story->job, cancelled_by(berta, SIGHUP)), Cancelled::now);
    EXPECT_EQ(manager_->cancel(story->job, cancelled_by(berta)), Cancelled::already);
    EXPECT_EQ(record_of(story).cancelling, (Cancellation{cancelled_by(anna).by, SIGHUP, false}));
    EXPECT_EQ(manager_->cancel(story->job, cancelled_by(berta, SIGKILL, true)), Cancelled::now);
    for (const int signal : {SIGTERM, SIGUSR1, SIGKILL}) {
        EXPECT_EQ(manager_->cancel(story->job, cancelled_by(anna, signal, signal == SIGKILL)),
                  Cancelled::already);
    }
    to_the_end(story);
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "kill 15", "kill 18", "kill 1",
                                               "kill 18", "kill 9", "reset"));
}

TEST_F(UnitCancel, BesideAnotherReasonTheFirstIsTheOutcome) {
    StoryPtr story = begin_running();
    manager_->end(story->job, Outcome::disconnected);
    EXPECT_TRUE(manager_->cancel(story->job, cancelled_by(anna, SIGKILL, true)));
    to_the_end(story);
    EXPECT_EQ(outcome_name(story->result->outcome), "disconnected");
    EXPECT_EQ(story->result->cancelled_by, cancelled_by(anna).by);

    story = begin_running();
    EXPECT_TRUE(manager_->cancel(story->job, cancelled_by(anna)));
    manager_->end(story->job, Outcome::disconnected);
    to_the_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGTERM));
}

// systemd refuses its unit, or the connection breaks before it has it: it is not begun anew.
TEST_F(UnitCancel, OneThatNeverBeganIsNotStartedAgain) {
    const StoryPtr story = begin_one(runs_on());
    systemd_->break_at_start();
    EXPECT_TRUE(manager_->cancel(story->job, cancelled_by(anna)));
    to_the_end(story);
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message, "the job was cancelled before it began");
    EXPECT_FALSE(story->failure->again);
    EXPECT_EQ(systemd_->executions(), 0);
    EXPECT_EQ(record_of(story).result.cancelled_by, cancelled_by(anna).by);
}

TEST_F(UnitCancel, AGuardThatIsKilledBeforeTheSignalGoes) {
    for (const bool now : {false, true}) {
        SCOPED_TRACE(now);
        const StoryPtr story = begin_running();
        const int signal = now ? SIGKILL : SIGHUP;
        EXPECT_TRUE(manager_->cancel(story->job, cancelled_by(anna, signal, now)));
        kill_guard(FakeSystemd::Unread::lost);
        EXPECT_THAT(systemd_->calls(), Not(Contains("kill " + std::to_string(signal))));
        EXPECT_EQ(record_of(story).state, RecordState::running);
        EXPECT_EQ(record_of(story).cancelling, cancelled_by(anna, signal, now));
        open();
        ASSERT_TRUE(go_on([&] { return idle(); }, Pace::calm));
        settle();
        const Record record = record_of(story);
        EXPECT_EQ(record.state, RecordState::ended);
        EXPECT_EQ(outcome_name(record.result.outcome), "signaled");
        EXPECT_EQ(record.result.status, signal);
        EXPECT_EQ(record.result.cancelled_by, cancelled_by(anna).by);
        ASSERT_EQ(book_.ended_jobs.size(), 1U);
        EXPECT_EQ(book_.ended_jobs[0].result, record.result);
    }
}

TEST_F(UnitCancel, WhatABrokenConnectionSwallowedIsSaidAgain) {
    const StoryPtr story = begin_running();
    EXPECT_TRUE(manager_->cancel(story->job, cancelled_by(anna, SIGUSR2)));
    systemd_->end_connection(FakeSystemd::Unread::lost);
    EXPECT_THAT(systemd_->calls(), Not(Contains("kill 12")));
    to_the_end(story);
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGUSR2));
}

}  // namespace
}  // namespace postern::jobs
