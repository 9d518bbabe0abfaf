// Jobs that nobody waits for, and what is stored of jobs that run.
#include <gtest/gtest.h>

#include "tests/unit/daemon/guard/calls/choke_point.h"

namespace postern {
namespace {

using testing::ElementsAre;

class DetachedRun : public ChokePoint {
  protected:
    static RunCall run(const std::string& action, const std::string& key = "") {
        RunCall asked{action, {}, key};
        asked.detach = true;
        return asked;
    }
};

TEST_F(DetachedRun, IsAnsweredOnceTheJobIsRecorded) {
    EXPECT_THAT(
        call(owner(), run("hello")),
        ElementsAre("record job1", "audit job-started action=hello job=job1 rule=allow user 1000",
                    "start job1", "answer Detached job1"));
    EXPECT_TRUE(kept_.empty());
    EXPECT_FALSE(jobs_.followers.contains(JobId("job1"))) << "nobody follows it";
}

TEST_F(DetachedRun, IsRefusedWhereTheJobEndsWithItsCaller) {
    set_actions(true);
    EXPECT_THAT(call(owner(), run("hello")),
                ElementsAre(R"(audit call-refused action=hello reason=the action says )"
                            R"("onDisconnect": "kill", so it can't be detached)",
                            "answer Refused not_detachable [hello]"));
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 2).back(), "start job1");
}

TEST_F(DetachedRun, IsRefusedWhereDataGoesStraightToItsCaller) {
    EXPECT_THAT(call(owner(), run("dump")),
                ElementsAre(R"(audit call-refused action=dump reason=the action says )"
                            R"("output": "direct", so it can't be detached)",
                            "answer Refused not_detachable [dump]"));
}

// Whoever may not run it learns nothing about it.
TEST_F(DetachedRun, TheRulesComeFirst) {
    set_actions(true);
    EXPECT_THAT(call(by(berta, {berta}), run("hello")),
                ElementsAre("audit call-denied action=hello reason=no rule matches",
                            "answer Refused not_granted [hello]"));
}

TEST_F(DetachedRun, TheSameCallNamesTheSameJob) {
    call(owner(), run("hello", "k"));
    EXPECT_THAT(call(owner(), run("hello", "k"), 2), ElementsAre("answer Detached job1"));
    EXPECT_TRUE(kept_.empty());
    // The same call without detaching it is followed.
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "k"}, 3), ElementsAre("follow job1"));
}

class StoredOutput : public ChokePoint {
  protected:
    void add(jobs::RecordState state) {
        jobs::Record job = record_of("mine", state);
        job.requester.groups = jobs_.digest(owner().caller->groups);
        jobs_.records[JobId("mine")] = job;
    }
    Story stored() { return call(owner(), FollowCall{JobId("mine"), true}); }
};

TEST_F(StoredOutput, OfAJobThatRunsNothingIsFollowed) {
    add(jobs::RecordState::running);
    EXPECT_THAT(stored(), ElementsAre("answer JobStarted mine", "answer JobStored"));
    EXPECT_TRUE(kept_.empty());
}

TEST_F(StoredOutput, OfAJobThatHasEndedTheResultComesToo) {
    add(jobs::RecordState::ended);
    EXPECT_THAT(stored(), ElementsAre("answer JobStarted mine", "answer JobEnded 0"));
}

TEST_F(StoredOutput, OfAJobThatCouldNotBeStartedThereIsNone) {
    add(jobs::RecordState::failed);
    EXPECT_THAT(stored(), ElementsAre("answer Refused start_failed [mine]"));
}

TEST_F(StoredOutput, IsItsOwners) {
    add(jobs::RecordState::running);
    EXPECT_THAT(call(by(berta, {berta, 27}), FollowCall{JobId("mine"), true}).back(),
                "answer Refused no_such_job [mine]");
}

}  // namespace
}  // namespace postern
