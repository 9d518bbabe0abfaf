// Jobs that are cancelled by calls: who may, what is written down of it, and when it is answered.
#include <csignal>

#include "tests/unit/daemon/guard/calls/choke_point.h"

namespace postern {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CancelCalls : public ChokePoint {
  protected:
    CancelCalls() { add("theirs", anna); }

    void add(const std::string& job, uid_t uid,
             jobs::RecordState state = jobs::RecordState::running) {
        jobs::Record record = record_of(job, state);
        record.requester.uid = uid;
        record.requester.gid = uid;
        record.requester.groups = jobs_.digest(owner().caller->groups);
        jobs_.records[JobId(job)] = record;
    }
    static CancelCall cancel(int signal = SIGTERM, bool now = false) {
        return {JobId("theirs"), signal, now};
    }
    // As the manager has it: its observer is told.
    Story ends(const std::string& job, std::int32_t signal) {
        jobs::Record& record = jobs_.records.at(JobId(job));
        record.state = jobs::RecordState::ended;
        record.result.outcome = Outcome::signaled;
        record.result.by_signal = true;
        record.result.status = signal;
        job_audit_.ended(record);
        return since();
    }
};

TEST_F(CancelCalls, TheOwnersIsAnsweredWhenTheJobHasEnded) {
    EXPECT_THAT(
        call(owner(), cancel()),
        ElementsAre("cancel theirs by 1000 15", "audit job-cancelled action=hello job=theirs"));
    EXPECT_EQ(kept_.size(), 1U);
    EXPECT_THAT(ends("theirs", 15), ElementsAre("audit job-ended action=hello job=theirs",
                                                "answer JobCancelled theirs 15"));
    EXPECT_THAT(kept_, IsEmpty());
    EXPECT_THAT(call(owner(), cancel()), ElementsAre("answer Refused job_ended [theirs]"));
}

TEST_F(CancelCalls, TheAdministratorMayCancelAnyAndTheAuditSaysWhose) {
    EXPECT_THAT(
        call(administrator(), cancel(SIGHUP)),
        ElementsAre("cancel theirs by 0 1",
                    "audit job-cancelled action=hello job=theirs reason=a job of uid 1000"));
    EXPECT_THAT(ends("theirs", 1).back(), "answer JobCancelled theirs 1");
}

TEST_F(CancelCalls, ForOthersThereIsNoSuchJob) {
    const Story denied = {
        "audit call-denied action=hello job=theirs reason=the job is another caller's",
        "answer Refused no_such_job [theirs]"};
    EXPECT_EQ(call(by(berta, {berta, 27}), cancel()), denied);
    EXPECT_EQ(call(by(anna, {anna}), cancel()), denied);
    // Root is the administrator on that one's socket alone.
    EXPECT_EQ(call(by(0, {0}), cancel()), denied);
}

TEST_F(CancelCalls, KillIsAtOnce) {
    EXPECT_EQ(call(owner(), cancel(SIGTERM, true)).front(), "cancel theirs by 1000 9 now");
    EXPECT_EQ(call(owner(), cancel(SIGKILL), 2).front(), "cancel theirs by 1000 9 now");
    EXPECT_THAT(ends("theirs", 9),
                ElementsAre("audit job-ended action=hello job=theirs",
                            "answer JobCancelled theirs 9", "answer JobCancelled theirs 9"));
}

// However often it is asked for: what changes nothing is answered, and is not written down.
TEST_F(CancelCalls, WhatIsBeingDoneAlreadyIsNotInTheAudit) {
    EXPECT_THAT(
        call(owner(), cancel(), 1),
        ElementsAre("cancel theirs by 1000 15", "audit job-cancelled action=hello job=theirs"));
    EXPECT_THAT(call(owner(), cancel(), 2), ElementsAre("cancel theirs by 1000 15"));
    EXPECT_THAT(call(administrator(), CancelAllCall{"1000", SIGTERM, false}, 3),
                ElementsAre("cancel theirs by 0 15", "answer JobReport theirs"));
    EXPECT_THAT(
        call(owner(), cancel(SIGINT), 4),
        ElementsAre("cancel theirs by 1000 2", "audit job-cancelled action=hello job=theirs"));
    EXPECT_THAT(ends("theirs", 2),
                ElementsAre("audit job-ended action=hello job=theirs",
                            "answer JobCancelled theirs 2", "answer JobCancelled theirs 2",
                            "answer Managed", "answer JobCancelled theirs 2"));
}

TEST_F(CancelCalls, OneThatHadNotBegunHasNoResult) {
    call(owner(), cancel());
    jobs::Record& record = jobs_.records.at(JobId("theirs"));
    record.state = jobs::RecordState::failed;
    record.result.cancelled_by = Canceller{anna, ""};
    job_audit_.start_failed(record, {"cancelled", "cancelled before it began", false});
    EXPECT_THAT(
        since(),
        ElementsAre(
            "audit job-not-started action=hello job=theirs reason=cancelled before it began",
            "answer JobCancelled theirs not started"));
    // Who asks later can tell it from one that could not be started.
    call(owner(), LookUpCall{JobId("theirs")});
    const auto found = std::get<JobFound>(FakeLink::last_answer).job;
    ASSERT_TRUE(found.result);
    EXPECT_EQ(found.result->cancelled_by, record.result.cancelled_by);
    record.result.cancelled_by.reset();
    call(owner(), LookUpCall{JobId("theirs")});
    EXPECT_FALSE(std::get<JobFound>(FakeLink::last_answer).job.result);
}

TEST_F(CancelCalls, AClientThatGoesChangesNothing) {
    call(owner(), cancel());
    kept_.at(1)->left(jobs::Leaving::gone);
    kept_.clear();
    EXPECT_THAT(since(), IsEmpty());
    EXPECT_THAT(ends("theirs", 15), ElementsAre("audit job-ended action=hello job=theirs"));
}

TEST_F(CancelCalls, AConnectionWaitsForSoManyAndNoMore) {
    for (std::uint32_t i = 1; i <= limits::followed_by_connection; ++i) call(owner(), cancel(), i);
    const Story full = {"answer Refused limit_reached [connection]"};
    EXPECT_EQ(call(owner(), cancel(), 1000), full);
}

TEST_F(CancelCalls, ASessionThatAsksForAnotherSignalIsHostile) {
    const Story hostile = {"violated: it asked for a signal that cancels no job"};
    for (const int signal : {0, -1, SIGSTOP, SIGSEGV, 64}) {
        EXPECT_EQ(call(owner(), cancel(signal)), hostile) << signal;
        EXPECT_EQ(call(administrator(), CancelAllCall{"1000", signal, false}), hostile) << signal;
    }
    call(owner(), cancel());
    EXPECT_FALSE(kept_.at(1)->output_taken({}));
}

// ---- All of a user ----

TEST_F(CancelCalls, AllOfAUserAreAnsweredWhenTheLastHasEnded) {
    add("more", anna);
    add("others", berta);
    add("over", anna, jobs::RecordState::ended);
    EXPECT_THAT(call(administrator(), CancelAllCall{"1000", SIGTERM, false}),
                ElementsAre("cancel more by 0 15",
                            "audit job-cancelled action=hello job=more reason=a job of uid 1000",
                            "answer JobReport more", "cancel theirs by 0 15",
                            "audit job-cancelled action=hello job=theirs reason=a job of uid 1000",
                            "answer JobReport theirs"));
    EXPECT_THAT(ends("theirs", 15), ElementsAre("audit job-ended action=hello job=theirs"));
    EXPECT_THAT(ends("more", 15),
                ElementsAre("audit job-ended action=hello job=more", "answer Managed"));
    EXPECT_THAT(kept_, IsEmpty());
    EXPECT_THAT(call(administrator(), CancelAllCall{"1000", SIGTERM, false}),
                ElementsAre("answer Managed"));
}

TEST_F(CancelCalls, ByNameAndByOwner) {
    jobs_.records.at(JobId("theirs")).requester.user = "anna";
    add("subordinate", 100'000);
    jobs_.records.at(JobId("subordinate")).requester.paid_by = anna;
    jobs_.records.at(JobId("subordinate")).requester.user = "anna";  // inside its namespace
    EXPECT_THAT(call(administrator(), CancelAllCall{"100000", SIGTERM, false}),
                ElementsAre("answer Managed"));
    EXPECT_EQ(call(administrator(), CancelAllCall{"anna", SIGTERM, false}).front(),
              "cancel theirs by 0 15");
    EXPECT_THAT(call(administrator(), CancelAllCall{"100001", SIGTERM, false}, 2),
                ElementsAre("answer Managed"))
        << "a uid that nobody has";
    for (const char* unknown : {"", "typo", "1000x", "-1", "4294967295", "99999999999", "01000"}) {
        EXPECT_THAT(call(administrator(), CancelAllCall{unknown, SIGTERM, false}, 2),
                    ElementsAre("answer Refused bad_parameter [user]"))
            << unknown;
    }
    EXPECT_EQ(call(administrator(), CancelAllCall{"1000", SIGTERM, true}, 3).front(),
              "cancel subordinate by 0 9 now");
}

TEST_F(CancelCalls, WhatWaitsForItsTurnIsNotStarted) {
    may_begin_ = [] { return false; };
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 1), IsEmpty());
    EXPECT_THAT(call(by(berta, {berta}), RunCall{"berta", {}, ""}, 2), IsEmpty());
    EXPECT_THAT(call(administrator(), CancelAllCall{"1000", SIGTERM, false}, 3),
                ElementsAre("cancel theirs by 0 15",
                            "audit job-cancelled action=hello job=theirs reason=a job of uid 1000",
                            "answer JobReport theirs",
                            "audit call-refused action=hello reason=the administrator has "
                            "cancelled the jobs of its user",
                            "answer Refused unavailable []"));
    EXPECT_EQ(starts_->waiting(anna), 0U);
    EXPECT_EQ(starts_->waiting(berta), 1U);
}

}  // namespace
}  // namespace postern
