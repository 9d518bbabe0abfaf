// A Run: the order of what is asked, and each failure in between.
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/daemon/guard/calls/choke_point.h"

namespace postern {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

const Arguments bad_arguments = {{"n", Value("text")}};
const Arguments good_arguments = {{"n", Value(std::int64_t{1})}};

class RunOrder : public ChokePoint {};

TEST_F(RunOrder, RecordedThenAuditedThenStarted) {
    EXPECT_THAT(
        call(owner(), RunCall{"hello", good_arguments, ""}),
        ElementsAre("record job1", "audit job-started action=hello job=job1 rule=allow user 1000",
                    "start job1"));
    jobs_.tell_started("job1");
    EXPECT_THAT(since().back(), "answer JobStarted job1");
    jobs_.followers.at(JobId("job1"))->output(JobId("job1"));
    EXPECT_THAT(since(), ElementsAre("answer JobOutput"));
    EXPECT_EQ(kept_.size(), 1U);
    JobResult result;
    result.status = 3;
    jobs_.tell_ended("job1", result);
    EXPECT_THAT(since(), ElementsAre("answer JobEnded 3"));
    EXPECT_TRUE(kept_.empty());
}

// What is asked first is what the answer is about, however much else is wrong.
TEST_F(RunOrder, TheRulesComeBeforeTheWay) {
    EXPECT_THAT(call(packet(berta), RunCall{"shut", bad_arguments, ""}),
                ElementsAre("audit call-denied action=shut reason=no rule matches",
                            "answer Refused not_granted [shut]"));
}

TEST_F(RunOrder, TheRulesComeBeforeTheArguments) {
    limits_.jobs = 0;
    EXPECT_THAT(call(by(berta, {berta}), RunCall{"hello", bad_arguments, ""}),
                ElementsAre("audit call-denied action=hello reason=no rule matches",
                            "answer Refused not_granted [hello]"));
}

TEST_F(RunOrder, TheWayComesBeforeTheArguments) {
    EXPECT_THAT(
        call(packet(anna), RunCall{"shut", bad_arguments, ""}),
        ElementsAre("audit call-refused action=shut reason=the action is not for the datagram "
                    "socket",
                    "answer Refused not_by_datagram [shut]"));
}

TEST_F(RunOrder, TheArgumentsComeBeforeTheKey) {
    jobs_.records_error = "no record can be read";
    EXPECT_THAT(call(owner(), RunCall{"hello", bad_arguments, "k"}).back(),
                "answer Refused invalid_argument [n]");
}

TEST_F(RunOrder, TheKeyComesBeforeTheLimits) {
    limits_.jobs = 0;
    jobs_.records_error = "no record can be read";
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}),
                ElementsAre("answer Refused unavailable []"));
}

TEST_F(RunOrder, TheLimitsComeBeforeTheRecord) {
    jobs_.disk_error = "the disk is full";
    limits_.jobs = 0;
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, ""}),
                ElementsAre("audit call-refused action=hello reason=limit jobs",
                            "answer Refused limit_reached [jobs]"));
}

TEST_F(RunOrder, TheLimitOfAUserIsItsOwn) {
    limits_.jobs_per_user = 1;
    call(owner(), RunCall{"hello", {}, ""}, 1);
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 2),
                ElementsAre("audit call-refused action=hello reason=limit jobsPerUser",
                            "answer Refused limit_reached [jobsPerUser]"));
    EXPECT_THAT(call(by(berta, {berta}), RunCall{"berta", {}, ""}, 3).back(), "start job2");
}

// A guard before has left a job: it may have ended long ago.
TEST_F(RunOrder, WhetherAJobStillRunsIsFoundOutBeforeItCounts) {
    limits_.jobs_per_user = 1;
    std::uint32_t request = 0;
    bool settled = false;
    may_begin_ = [&settled] { return settled; };
    for (const bool runs : {true, false}) {
        SCOPED_TRACE(runs);
        settled = false;
        jobs_.running = jobs_.not_known = 1;
        EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, ++request), IsEmpty());
        // What waits counts at once.
        EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, ++request).back(),
                    "answer Refused limit_reached [jobsPerUser]");
        jobs_.not_known = 0;
        jobs_.running = runs ? 1 : 0;
        settled = true;
        while (starts_->waiting(anna) > 0) ASSERT_GE(sd_event_run(loop_.get(), 1'000'000), 0);
        const Story story = since();
        ASSERT_FALSE(story.empty());
        EXPECT_EQ(story.back(), runs ? "answer Refused limit_reached [jobsPerUser]" : "start job1");
    }
    may_begin_ = [] { return true; };
}

TEST_F(RunOrder, TheLimitOfAUserIsHisPayersToo) {
    limits_.jobs_per_user = 1;
    call(owner(), RunCall{"hello", {}, ""}, 1);
    Origin paid = by(berta, {berta});
    auto caller = std::make_shared<policy::Caller>(*paid.caller);
    caller->paid_by = anna;
    paid.caller = caller;
    EXPECT_THAT(call(paid, RunCall{"berta", {}, ""}, 2).back(),
                "answer Refused limit_reached [jobsPerUser]");
}

TEST_F(RunOrder, AKeyThatCouldNotBeRememberedIsRefused) {
    jobs_.disk_error = "the disk is full";
    jobs_.room_for_keys = false;
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}),
                ElementsAre("audit call-refused action=hello reason=limit recordsPerUser: no room "
                            "for another key",
                            "answer Refused limit_reached [recordsPerUser]"));
    // Without a key there is nothing to remember; and one that is known is answered.
    jobs_.disk_error.clear();
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, ""}, 2).back(), "start job1");
    jobs_.room_for_keys = true;
    call(owner(), RunCall{"hello", good_arguments, "k"}, 3);
    jobs_.room_for_keys = false;
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}, 4),
                ElementsAre("follow job2"));
}

// ---- What fails in between ----

class RunFailure : public ChokePoint {};

TEST_F(RunFailure, TheDiskIsFull) {
    jobs_.disk_error = "the disk is full";
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}),
                ElementsAre("audit call-refused action=hello reason=the disk is full",
                            "answer Refused unavailable []"));
    EXPECT_TRUE(kept_.empty());
}

TEST_F(RunFailure, WhereRoomIsBeingMadeItWaits) {
    jobs_.disk_error = "the disk is full";
    jobs_.room_after = 1;
    EXPECT_THAT(
        call(owner(), RunCall{"hello", {}, ""}),
        ElementsAre("record job1", "audit job-started action=hello job=job1 rule=allow user 1000",
                    "start job1"));
    // Not for ever.
    jobs_.disk_error = "the disk is full";
    jobs_.room_after = 100;
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 2),
                ElementsAre("audit call-refused action=hello reason=the disk is full",
                            "answer Refused unavailable []"));
    EXPECT_EQ(jobs_.room_after, 97);
}

TEST_F(RunFailure, TheDiskIsFullAndACheckSaysSo) {
    EXPECT_THAT(call(owner(), CheckCall{"hello", {}}), ElementsAre("answer CheckPassed"));
    jobs_.full = "/jobs: No space left on device";
    EXPECT_THAT(call(owner(), CheckCall{"hello", {}}),
                ElementsAre("audit call-refused action=hello reason=/jobs: No space left on device",
                            "answer Refused unavailable []"));
    // What else is wrong comes first.
    EXPECT_THAT(call(owner(), CheckCall{"hello", bad_arguments}).back(),
                "answer Refused invalid_argument [n]");
    EXPECT_THAT(call(by(berta, {berta}), CheckCall{"hello", {}}).back(),
                "answer Refused not_granted [hello]");
}

TEST_F(RunFailure, TheAuditIsFull) {
    audit_full_ = true;
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}),
                ElementsAre("record job1",
                            "audit job-started action=hello job=job1 rule=allow user 1000 (full)",
                            "no record job1",
                            "audit call-refused action=hello reason=the story is full (full)",
                            "answer Refused unavailable []"));
    EXPECT_TRUE(jobs_.records.empty());
    EXPECT_TRUE(kept_.empty());
}

TEST_F(RunFailure, TheAuditIsFullForAPacket) {
    audit_full_ = true;
    EXPECT_THAT(call(packet(anna), RunCall{"hello", {}, ""}).back(),
                "answer Refused unavailable []");
    EXPECT_TRUE(jobs_.records.empty());
}

TEST_F(RunFailure, TheStartIsRefused) {
    call(owner(), RunCall{"hello", {}, ""});
    since();
    jobs_.tell_start_failed("job1", false);
    EXPECT_THAT(since(), ElementsAre("answer Refused start_failed [job1]"));
    EXPECT_TRUE(kept_.empty());
}

TEST_F(RunFailure, AStartThatCameToNothingIsBegunAnewThreeTimesInAll) {
    call(owner(), RunCall{"hello", {}, ""});
    since();
    jobs_.tell_start_failed("job1", true);
    EXPECT_THAT(since(), ElementsAre("record job2",
                                     "audit job-started action=hello job=job2 rule=allow user "
                                     "1000",
                                     "start job2"));
    EXPECT_EQ(kept_.size(), 1U);
    jobs_.tell_start_failed("job2", true);
    EXPECT_THAT(since().back(), "start job3");
    jobs_.tell_start_failed("job3", true);
    EXPECT_THAT(since(), ElementsAre("answer Refused retryable []"));
    EXPECT_TRUE(kept_.empty());
}

TEST_F(RunFailure, WhatIsBegunAnewIsDecidedAnew) {
    call(owner(), RunCall{"hello", {}, ""});
    since();
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>());
    jobs_.tell_start_failed("job1", true);
    EXPECT_THAT(since(), ElementsAre("audit call-denied action=hello reason=no such action",
                                     "answer Refused not_granted [hello]"));
}

TEST_F(RunFailure, OnceItRanItIsNotBegunAnew) {
    call(owner(), RunCall{"hello", {}, ""});
    jobs_.tell_started("job1");
    since();
    jobs_.tell_start_failed("job1", true);
    EXPECT_THAT(since(), ElementsAre("answer Refused retryable []"));
}

TEST_F(RunFailure, TheConnectionIsGoneWhileItStarts) {
    call(owner(), RunCall{"hello", {}, ""});
    since();
    gone_ = true;
    kept_.at(1)->left(jobs::Leaving::gone);
    EXPECT_THAT(since(), ElementsAre("leave job1 1 gone"));
    kept_.clear();
}

TEST_F(RunFailure, TheConnectionIsGoneBeforeItStarts) {
    gone_ = true;
    EXPECT_THAT(
        call(owner(), RunCall{"hello", {}, ""}),
        ElementsAre("record job1", "audit job-started action=hello job=job1 rule=allow user 1000",
                    "start job1", "leave job1 1 interrupted"));
}

TEST_F(RunFailure, TheSessionIsGoneAndTheJobGoesOn) {
    call(owner(), RunCall{"hello", {}, ""});
    since();
    gone_ = true;
    jobs_.tell_started("job1");
    jobs_.tell_ended("job1", {});
    EXPECT_THAT(since(), ElementsAre("to nobody: JobStarted job1", "to nobody: JobEnded 0"));
}

// ---- The action files have changed ----

class RunReading : public ChokePoint {
  protected:
    // What is told of it. If 20 ms go by until its turn comes, it is read once more.
    Story read(const CurrentPolicy::Names& restless) {
        Story told;
        for (int i = 0; i < 100 && told.empty(); ++i) {
            current_->loaded(looks_, true, restless);
            told = since();
        }
        return told.empty() ? Story{"nothing"} : told;
    }

    const CurrentPolicy::Names none_;
};

TEST_F(RunReading, WhatIsCurrentIsComparedOnce) {
    limits_.jobs = limits_.jobs_per_user = 1000;
    // Only if 20 ms go by until its turn comes, it is compared once more.
    for (std::uint32_t request = 1; request <= 100 && compared_.size() != 1; ++request) {
        compared_.clear();
        EXPECT_EQ(call(owner(), RunCall{"hello", {}, ""}, request).back(),
                  "start job" + std::to_string(request));
    }
    EXPECT_THAT(compared_, ElementsAre("hello"));
    EXPECT_EQ(looks_, 0U);
}

TEST_F(RunReading, ItWaitsAndIsDecidedByWhatWasReadAfterIt) {
    is_current_ = false;
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}), IsEmpty());
    EXPECT_EQ(looks_, 1U);
    EXPECT_EQ(current_->waiting(), 1U);
    // One that began before it says nothing.
    current_->loaded(0, true, none_);
    EXPECT_THAT(since(), IsEmpty());
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>());
    current_->loaded(1, true, none_);
    EXPECT_THAT(since(), ElementsAre("audit call-denied action=hello reason=no such action",
                                     "answer Refused not_granted [hello]"));
    EXPECT_EQ(current_->waiting(), 0U);
    EXPECT_TRUE(kept_.empty());
}

TEST_F(RunReading, WhatWasReadIsGoodEnoughThoughMoreHasChanged) {
    is_current_ = false;
    call(owner(), RunCall{"hello", {}, ""});
    EXPECT_EQ(read(none_).back(), "start job1");
}

TEST_F(RunReading, WhatIsNotAtRestIsWaitedFor) {
    is_current_ = false;
    call(owner(), RunCall{"hello", {}, ""}, 1);
    call(owner(), RunCall{"shut", {}, ""}, 2);
    EXPECT_EQ(read({"hello"}).back(), "start job1") << "the other one";
    EXPECT_EQ(read(none_).back(), "start job2");
}

TEST_F(RunReading, ItDoesNotWaitForEver) {
    is_current_ = false;
    const auto began = CurrentPolicy::Clock::now();
    call(owner(), RunCall{"hello", {}, ""});
    while (current_->waiting() > 0) ASSERT_GT(sd_event_run(loop_.get(), 50'000'000), 0);
    EXPECT_GE(CurrentPolicy::Clock::now() - began, CurrentPolicy::patience);
    EXPECT_THAT(since(),
                ElementsAre("audit call-refused action=hello reason=the action files were not read "
                            "within 3 s",
                            "answer Refused unavailable []"));
    current_->loaded(9, true, none_);
    EXPECT_THAT(since(), IsEmpty());
}

TEST_F(RunReading, WhatCantBeReadIsSaidAtOnce) {
    is_current_ = false;
    call(owner(), RunCall{"hello", {}, ""});
    current_->loaded(1, false, none_);
    EXPECT_THAT(since(),
                ElementsAre("audit call-refused action=hello reason=the action files can't be read",
                            "answer Refused unavailable []"));
}

TEST_F(RunReading, TheDaemonStopsMeanwhile) {
    is_current_ = false;
    call(owner(), RunCall{"hello", {}, ""});
    current_->close();
    EXPECT_THAT(since(),
                ElementsAre("audit call-refused action=hello reason=the daemon is stopping",
                            "answer Refused retryable []"));
}

TEST_F(RunReading, OneWhoseCallerLeftIsDecided) {
    is_current_ = false;
    call(owner(), RunCall{"hello", {}, ""});
    gone_ = true;
    kept_.at(1)->left(jobs::Leaving::gone);
    kept_.clear();
    EXPECT_THAT(read(none_), Contains("start job1"));
}

TEST_F(RunReading, OneThatEndsWithItsCallerIsNotStarted) {
    set_actions(true);
    is_current_ = false;
    call(owner(), RunCall{"hello", {}, ""});
    gone_ = true;
    kept_.at(1)->left(jobs::Leaving::gone);
    kept_.clear();
    EXPECT_THAT(read(none_),
                ElementsAre("audit call-refused action=hello reason=its caller left before "
                            "its turn"));
}

TEST_F(RunReading, APacketWaitsToo) {
    is_current_ = false;
    EXPECT_THAT(call(packet(anna), RunCall{"hello", {}, ""}), IsEmpty());
    EXPECT_EQ(read(none_).back(), "answer Detached job1");
}

TEST_F(RunReading, SoManyWaitOfAnOwnerAndInAll) {
    is_current_ = false;
    const Story refused = {
        "audit call-refused action=hello reason=too many calls wait for the action files to be "
        "read",
        "answer Refused unavailable []"};
    call(owner(), RunCall{"hello", {}, ""}, 1);
    call(owner(), CheckCall{"hello", {}}, 2);
    EXPECT_EQ(call(owner(), RunCall{"hello", {}, ""}, 3), refused);
    EXPECT_THAT(call(by(berta, {berta}), RunCall{"hello", {}, ""}, 4), IsEmpty());
    EXPECT_EQ(call(by(1002, {1002}), RunCall{"hello", {}, ""}, 5), refused);
    EXPECT_EQ(current_->waiting(), 3U);
}

// What is taken away while it waits for its turn grants nothing when that comes.
TEST_F(RunReading, ItIsComparedAnewWhenItsTurnComesLater) {
    limits_.jobs = limits_.jobs_per_user = 1000;
    jobs::StartRules rules;
    rules.at_once = 1;
    set_starts(rules);
    call(owner(), RunCall{"hello", {}, ""}, 100);
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 1), IsEmpty());
    ::usleep(50'000);
    is_current_ = false;
    jobs_.tell_started("job1");
    EXPECT_THAT(since(), ElementsAre("answer JobStarted job1"));
    EXPECT_EQ(current_->waiting(), 1U);
    is_current_ = true;
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 2).back(), "start job2")
        << "it holds no place meanwhile";
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>());
    current_->loaded(1, true, none_);
    EXPECT_THAT(since().back(), "answer Refused not_granted [hello]");
}

// ---- Its turn ----

class RunTurn : public ChokePoint {
  protected:
    RunTurn() {
        limits_.jobs = limits_.jobs_per_user = 1000;
        jobs::StartRules rules;
        rules.at_once = 1;
        set_starts(rules);
        call(owner(), RunCall{"hello", {}, ""}, first);
    }
    // What holds the only place.
    static constexpr std::uint32_t first = 100;
};

TEST_F(RunTurn, OneThatWaitsLeavesNothingBehind) {
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 1), IsEmpty());
    EXPECT_EQ(jobs_.records.size(), 1U);
    EXPECT_TRUE(kept_.contains(1)) << "its number is in use";
    EXPECT_THAT(call(owner(), AwaitOutput{0, 0}, 1), IsEmpty());
    EXPECT_THAT(call(owner(), OutputTaken{0, 0}, 1),
                ElementsAre("violated: it said that its client has output that there is not"));
    since();
    jobs_.tell_started("job1");
    EXPECT_THAT(since(), ElementsAre("answer JobStarted job1", "record job2",
                                     "audit job-started action=hello job=job2 rule=allow user 1000",
                                     "start job2"));
}

TEST_F(RunTurn, WhatIsHeldWaits) {
    jobs_.tell_started("job1");
    since();
    int asked = 0;
    may_begin_ = [&asked] { return ++asked >= 4; };
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 1), IsEmpty());
    while (asked < 4) ASSERT_GE(sd_event_run(loop_.get(), 1'000'000), 0);
    EXPECT_THAT(since(), ElementsAre("record job2",
                                     "audit job-started action=hello job=job2 rule=allow user 1000",
                                     "start job2"));
    EXPECT_EQ(asked, 4) << "nobody waits any more";
}

TEST_F(RunTurn, EveryEndOfAStartFreesItsPlace) {
    call(owner(), RunCall{"hello", {}, ""}, 1);
    call(owner(), RunCall{"hello", {}, ""}, 2);
    jobs_.tell_start_failed("job1", false);
    EXPECT_THAT(since().back(), "start job2");
    jobs_.disk_error = "the disk is full";
    jobs_.tell_started("job2");
    EXPECT_THAT(since().back(), "answer Refused unavailable []");
    jobs_.disk_error.clear();
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 3).back(), "start job3");
}

TEST_F(RunTurn, AnotherUsersTurnComesFirst) {
    for (std::uint32_t request = 1; request <= 20; ++request) {
        EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, request), IsEmpty());
    }
    EXPECT_THAT(call(by(berta, {berta}), RunCall{"berta", {}, ""}, 50), IsEmpty());
    jobs_.tell_started("job1");
    EXPECT_THAT(since().at(2), "audit job-started action=berta job=job2 rule=allow user 1001");
}

TEST_F(RunTurn, WhatWaitsCountsForTheLimits) {
    limits_.jobs_per_user = 3;
    call(owner(), RunCall{"hello", {}, ""}, 1);
    call(owner(), RunCall{"hello", {}, ""}, 2);
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 3).back(),
                "answer Refused limit_reached [jobsPerUser]");
    limits_.jobs = 3;
    EXPECT_THAT(call(by(berta, {berta}), RunCall{"berta", {}, ""}, 4).back(),
                "answer Refused limit_reached [jobs]");
    // Each has its turn all the same.
    jobs_.tell_started("job1");
    EXPECT_THAT(since().back(), "start job2");
    jobs_.tell_started("job2");
    EXPECT_THAT(since().back(), "start job3");
}

TEST_F(RunTurn, ItIsDecidedAnew) {
    call(owner(), RunCall{"hello", {}, ""}, 1);
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>());
    jobs_.tell_started("job1");
    EXPECT_THAT(since(), ElementsAre("answer JobStarted job1",
                                     "audit call-denied action=hello reason=no such action",
                                     "answer Refused not_granted [hello]"));
    EXPECT_FALSE(kept_.contains(1));
    set_actions();
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 2).back(), "start job2")
        << "it has left its place";
}

TEST_F(RunTurn, TheSameKeyWaitsBehindItAndFindsItsJob) {
    call(owner(), RunCall{"hello", good_arguments, "k"}, 1);
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}, 2), IsEmpty());
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 3), IsEmpty());
    jobs_.tell_started("job1");
    EXPECT_THAT(since().back(), "start job2");
    jobs_.tell_started("job2");
    EXPECT_THAT(since(),
                ElementsAre("answer JobStarted job2", "follow job2",
                            "audit call-refused action=hello job=job2 reason=the key is in use",
                            "answer Refused key_in_use [k]"));
}

TEST_F(RunTurn, OneWhoseCallerLeftIsStarted) {
    call(owner(), RunCall{"hello", {}, ""}, 1);
    gone_ = true;
    kept_.at(1)->left(jobs::Leaving::gone);
    kept_.erase(1);
    jobs_.tell_started("job1");
    EXPECT_THAT(since().back(), "leave job2 1 interrupted");
    EXPECT_TRUE(jobs_.records.contains(JobId("job2")));
}

TEST_F(RunTurn, OneThatEndsWithItsCallerIsNot) {
    set_actions(true);
    call(owner(), RunCall{"hello", {}, ""}, 1);
    kept_.at(1)->left(jobs::Leaving::gone);
    kept_.erase(1);
    EXPECT_THAT(since(), ElementsAre("audit call-refused action=hello reason=its caller left "
                                     "before its turn"));
    EXPECT_EQ(starts_->waiting(), 0U);
    jobs_.tell_started("job1");
    EXPECT_THAT(since(), ElementsAre("answer JobStarted job1"));
}

TEST_F(RunTurn, TheGuardStopsMeanwhile) {
    call(owner(), RunCall{"hello", {}, ""}, 1);
    call(packet(anna), RunCall{"hello", {}, ""}, 2);
    since();
    starts_->close();
    const Story refused = {"audit call-refused action=hello reason=the daemon is stopping",
                           "answer Refused retryable []"};
    EXPECT_THAT(since(), ElementsAre(refused[0], refused[1], refused[0], refused[1]));
    EXPECT_EQ(kept_.size(), 1U) << "the one that was started";
    EXPECT_EQ(call(owner(), RunCall{"hello", {}, ""}, 3), refused);
    since();
    jobs_.tell_start_failed("job1", true);
    EXPECT_THAT(since(), ElementsAre(refused[0], refused[1])) << "nor is one begun anew";
}

TEST_F(RunTurn, APacketDoesNotWaitForTheRate) {
    jobs::StartRules rules;
    rules.per_second = rules.burst = 1;
    set_starts(rules);
    EXPECT_THAT(call(packet(anna), RunCall{"hello", {}, ""}, 1).back(), "answer Detached job2");
    EXPECT_THAT(call(packet(anna), RunCall{"hello", {}, ""}, 2),
                ElementsAre("audit call-refused action=hello reason=limit startsPerUser",
                            "answer Refused limit_reached [startsPerUser]"));
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 3), IsEmpty()) << "a connection does";
}

TEST_F(RunTurn, OneThatWaitsTooLongForTheRateIsRefused) {
    jobs::StartRules rules;
    rules.per_second = rules.burst = 1;
    rules.patience = std::chrono::milliseconds(1);
    set_starts(rules);
    while (!jobs_.records.contains(JobId("job2"))) call(owner(), RunCall{"hello", {}, ""}, 1);
    call(owner(), RunCall{"hello", {}, ""}, 2);
    while (starts_->waiting() > 0) sd_event_run(loop_.get(), UINT64_MAX);
    EXPECT_THAT(story_, ElementsAre("audit call-refused action=hello reason=limit startsPerUser",
                                    "answer Refused limit_reached [startsPerUser]"));
    EXPECT_FALSE(kept_.contains(2));
}

TEST_F(RunTurn, OneThatWaitsTooLongForOthersIsRefused) {
    jobs::StartRules rules;
    rules.at_once = 1;
    rules.patience = std::chrono::milliseconds(1);
    set_starts(rules);
    while (!jobs_.records.contains(JobId("job2"))) call(owner(), RunCall{"hello", {}, ""}, 1);
    call(owner(), RunCall{"hello", {}, ""}, 2);
    while (starts_->waiting() > 0) sd_event_run(loop_.get(), UINT64_MAX);
    EXPECT_THAT(story_,
                ElementsAre("audit call-refused action=hello reason=it waited too long for its "
                            "turn",
                            "answer Refused unavailable []"));
}

// ---- Keys ----

class RunKey : public ChokePoint {};

TEST_F(RunKey, TheSameCallIsAnsweredWithItsJob) {
    call(owner(), RunCall{"hello", good_arguments, "k"}, 1);
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}, 2),
                ElementsAre("follow job1"));
    EXPECT_EQ(kept_.size(), 2U);
    EXPECT_THAT(call(owner(), AwaitOutput{10, 20}, 2), ElementsAre("await job1 7 10 20"));
    EXPECT_THAT(call(owner(), OutputTaken{9, 20}, 2), ElementsAre("taken job1 7 9 20"));
    jobs_.believes_taken = false;
    EXPECT_THAT(call(owner(), OutputTaken{8, 20}, 2),
                ElementsAre("taken job1 7 8 20",
                            "violated: it said that its client has output that there is not"));
    JobResult result;
    result.status = 4;
    jobs_.tell_ended("job1", result);
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}, 3),
                ElementsAre("answer JobStarted job1", "answer JobEnded 4"));
}

TEST_F(RunKey, APacketIsAnsweredWithTheJobAlone) {
    call(packet(anna), RunCall{"hello", {}, "k"});
    EXPECT_THAT(call(packet(anna), RunCall{"hello", {}, "k"}), ElementsAre("answer Detached job1"));
}

TEST_F(RunKey, AnotherCallIsRefused) {
    call(owner(), RunCall{"hello", good_arguments, "k"}, 1);
    const Story refused = {"audit call-refused action=hello job=job1 reason=the key is in use",
                           "answer Refused key_in_use [k]"};
    EXPECT_EQ(call(owner(), RunCall{"hello", {}, "k"}, 2), refused);
    EXPECT_THAT(call(owner(), RunCall{"shut", good_arguments, "k"}, 3).back(),
                "answer Refused key_in_use [k]");
}

TEST_F(RunKey, AnotherSecretIsAnotherCall) {
    const auto with = [](const char* secret) {
        return RunCall{"hello", {{"secret", Value(std::string(secret))}}, "k"};
    };
    call(owner(), with("a"), 1);
    EXPECT_THAT(call(owner(), with("a"), 2), ElementsAre("follow job1"));
    EXPECT_THAT(call(owner(), with("b"), 3).back(), "answer Refused key_in_use [k]");
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 4).back(),
                "answer Refused key_in_use [k]");
}

TEST_F(RunKey, TheOrderOfArgumentsIsNoMatter) {
    Arguments arguments = {{"n", Value(std::int64_t{1})}, {"secret", Value(std::string("a"))}};
    call(owner(), RunCall{"hello", arguments, "k"}, 1);
    std::swap(arguments[0], arguments[1]);
    EXPECT_THAT(call(owner(), RunCall{"hello", arguments, "k"}, 2), ElementsAre("follow job1"));
}

// A call that is made again is the same call, whatever the file says meanwhile.
TEST_F(RunKey, AFileThatChangedDoesNotChangeTheCall) {
    call(owner(), RunCall{"hello", good_arguments, "k"}, 1);
    policy::Snapshot changed;
    policy::Action action;
    action.description.name = "hello";
    action.version = "another";
    action.program = "/bin/true";
    policy::Rule rule;
    rule.subject.user = anna;
    action.allow = {rule};
    changed.actions.emplace("hello", std::move(action));  // without "n"
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>(std::move(changed)));
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}, 2),
                ElementsAre("follow job1"));
    EXPECT_THAT(call(owner(), RunCall{"hello", bad_arguments, "k"}, 3).back(),
                "answer Refused invalid_argument [n]");
}

// What version 0.1.0 left has no digest.
TEST_F(RunKey, ARecordWithoutADigestIsComparedByWhatItShows) {
    call(owner(), RunCall{"hello", good_arguments, "k"}, 1);
    jobs_.records.at(JobId("job1")).requester.call.reset();
    EXPECT_THAT(call(owner(), RunCall{"hello", good_arguments, "k"}, 2),
                ElementsAre("follow job1"));
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 3).back(),
                "answer Refused key_in_use [k]");
}

TEST_F(RunKey, TheKeyOfAnotherCallerIsItsOwn) {
    call(owner(), RunCall{"hello", {}, "k"}, 1);
    EXPECT_THAT(call(by(anna, {anna}), RunCall{"hello", {}, "k"}, 2).back(), "start job2");
    EXPECT_THAT(call(by(berta, {berta}), RunCall{"berta", {}, "k"}, 3).back(), "start job3");
}

TEST_F(RunKey, WhatIsTakenAwayIsNotFoundAgain) {
    call(owner(), RunCall{"hello", {}, "k"}, 1);
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>());
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 2).back(),
                "answer Refused not_granted [hello]");
}

TEST_F(RunKey, AStartThatFailedIsTheAnswer) {
    call(owner(), RunCall{"hello", {}, "k"}, 1);
    jobs_.tell_start_failed("job1", false);
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 2),
                ElementsAre("answer Refused start_failed [job1]"));
}

TEST_F(RunKey, AStartThatCameToNothingLeavesItFree) {
    call(packet(anna), RunCall{"hello", {}, "k"}, 1);
    jobs_.records.at(JobId("job1")).state = jobs::RecordState::failed;
    jobs_.records.at(JobId("job1")).again = true;
    EXPECT_THAT(call(packet(anna), RunCall{"hello", {}, "k"}, 2).back(), "answer Detached job2");
}

TEST_F(RunKey, OutputThatCantBeReadIsNoAnswer) {
    call(owner(), RunCall{"hello", {}, "k"}, 1);
    jobs_.outputs_readable = false;
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 2),
                ElementsAre("answer Refused unavailable []"));
    jobs_.tell_ended("job1", {});
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 3),
                ElementsAre("answer Refused unavailable []"));
}

TEST_F(RunKey, AConnectionFollowsSoManyJobs) {
    for (std::uint32_t i = 1; i <= limits::followed_by_connection; ++i) {
        limits_.jobs = limits_.jobs_per_user = i + 1;
        call(owner(), RunCall{"hello", {}, "k" + std::to_string(i)}, i);
    }
    EXPECT_EQ(kept_.size(), limits::followed_by_connection);
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k1"}, 100'000),
                ElementsAre("answer Refused limit_reached [connection]"));
}

// ---- Data that goes straight ----

class DirectCall : public ChokePoint {
  protected:
    static RunCall dump() {
        RunCall asked{"dump", {}, ""};
        asked.descriptors = true;
        return asked;
    }
    void start() {
        EXPECT_THAT(call(owner(), dump()),
                    ElementsAre("record job1",
                                "audit job-started action=dump job=job1 rule=allow user 1000",
                                "start job1", "both ends"));
        jobs_.tell_started("job1");
        EXPECT_EQ(since().back(), "answer JobStarted job1");
    }
};

TEST_F(DirectCall, TheClientGetsItsEndsWithTheReplyOfTheSession) {
    start();
    EXPECT_THAT(call(owner(), HandOver{"{}"}),
                ElementsAre("hand over 2 with {}", "answer HandedOver"));
    JobResult result;
    result.status = 3;
    jobs_.tell_ended("job1", result);
    EXPECT_EQ(since().back(), "answer JobEnded 3");
    EXPECT_TRUE(kept_.empty());
}

TEST_F(DirectCall, TheEndWaitsUntilTheClientHasItsEnds) {
    start();
    jobs_.tell_ended("job1", {});
    EXPECT_THAT(since(), IsEmpty());
    EXPECT_THAT(call(owner(), HandOver{"{}"}),
                ElementsAre("hand over 2 with {}", "answer HandedOver", "answer JobEnded 0"));
    EXPECT_TRUE(kept_.empty());
}

TEST_F(DirectCall, WhereTheyCantBeSentTheJobIsEndedAndTheCallerTold) {
    FakeLink::takes_descriptors = false;
    start();
    EXPECT_THAT(call(owner(), HandOver{"{}"}),
                ElementsAre("hand over 2 with {}", "end job1", "leave job1 1 gone",
                            "answer Refused start_failed [job1]"));
    EXPECT_TRUE(kept_.empty());
}

TEST_F(DirectCall, OnceAndNothingElse) {
    start();
    EXPECT_THAT(call(owner(), HandOver{""}),
                ElementsAre("violated: it handed over what there is not"));
    EXPECT_THAT(call(owner(), HandOver{std::string(limits::started_reply_bytes + 1, 'x')}),
                ElementsAre("violated: it handed over what there is not"));
    call(owner(), HandOver{"{}"});
    EXPECT_THAT(call(owner(), HandOver{"{}"}),
                ElementsAre("violated: it handed over what there is not"));
    // One that goes the usual way has nothing to be handed over.
    call(owner(), RunCall{"hello", {}, ""}, 2);
    EXPECT_THAT(call(owner(), HandOver{"{}"}, 2),
                ElementsAre("violated: it handed over what there is not"));
}

TEST_F(DirectCall, AConnectionThatCarriesNoneIsToldSo) {
    FakeLink::can_hand_over = false;
    EXPECT_THAT(call(owner(), dump()),
                ElementsAre("audit call-refused action=dump reason=limit connection",
                            "answer Refused limit_reached [connection]"));
    // Without the caller's word nothing goes straight.
    EXPECT_EQ(call(owner(), RunCall{"dump", {}, ""}, 2).back(), "start job1");
    // Nor where nothing could: all of it came with the call, or the action has none.
    RunCall hello{"hello", {}, ""};
    hello.descriptors = true;
    EXPECT_EQ(call(owner(), hello, 3).back(), "start job2");
}

TEST_F(DirectCall, WhoGoesBeforeTakesTheEndsAlong) {
    start();
    kept_.begin()->second->left(jobs::Leaving::gone);
    EXPECT_THAT(since(), ElementsAre("leave job1 1 gone"));
}

TEST_F(DirectCall, InputThatAnActionDoesNotTakeIsRefused) {
    RunCall hello{"hello", {}, ""};
    hello.input = "text";
    EXPECT_EQ(call(owner(), hello).back(), "answer Refused invalid_argument [input]");
    hello.input = std::string(limits::input_bytes + 1, 'x');
    EXPECT_THAT(call(owner(), hello),
                ElementsAre("violated: it asked for more than a message can hold"));
}

}  // namespace
}  // namespace postern
