// Every row of the guard's table, for every kind of caller.
#include <gtest/gtest.h>

#include "tests/unit/daemon/guard/calls/choke_point.h"

namespace postern {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CallTable : public ChokePoint {
  protected:
    CallTable() {
        jobs::Record job = record_of("theirs", jobs::RecordState::ended);
        job.requester.groups = jobs_.digest(owner().caller->groups);
        job.result.outcome = Outcome::exited;
        job.result.status = 3;
        jobs_.records[JobId("theirs")] = job;
    }

    static ListCall own_list() {
        ListCall list;
        list.limit = 10;
        return list;
    }

    // A call of each kind that an honest session would make.
    static Call honest(std::string_view row) {
        if (row == "Run") return RunCall{"hello", {}, ""};
        if (row == "Follow") return FollowCall{JobId("theirs")};
        if (row == "LookUp") return LookUpCall{JobId("theirs")};
        if (row == "Check") return CheckCall{"hello", {}};
        if (row == "Describe") return DescribeCall{"hello"};
        if (row == "AwaitOutput") return AwaitOutput{1, 2};
        if (row == "OutputTaken") return OutputTaken{1, 2};
        if (row == "HandOver") return HandOver{"{}"};
        if (row == "Cancel") return CancelCall{JobId("theirs"), 15, false};
        if (row == "CancelAll") return CancelAllCall{"1000", 15, false};
        if (row == "List") return own_list();
        if (row == "Unit") return UnitCall{};
        EXPECT_EQ(row, "Manage") << "a new row: say here what an honest session asks";
        return ManageCall{Management::jobs, ""};
    }
};

// What is not an answer is what is written down of it; nothing else happens.
struct Expected {
    const char* row;
    Story owner;
    Story other_groups;  // the same uid
    Story other_uid;
    Story administrator;
    Story packet;          // of the owner
    Story foreign_packet;  // of the other uid
};

void PrintTo(const Expected& expected, std::ostream* out) {
    *out << expected.row;
}

const Story started = {
    "record job1", "audit job-started action=hello job=job1 rule=allow user 1000", "start job1"};
const Story detached = {"record job1",
                        "audit job-started action=hello job=job1 rule=allow user 1000",
                        "start job1", "answer Detached job1"};
const Story not_granted = {"audit call-denied action=hello reason=no rule matches",
                           "answer Refused not_granted [hello]"};
const Story no_such_job = {
    "audit call-denied action=hello job=theirs reason=the job is another "
    "caller's",
    "answer Refused no_such_job [theirs]"};
const Story as_a_connection = {"violated: it used a datagram as if it were a connection"};
const Story nothing_there = {"violated: it handed over what there is not"};
const Story administration = {"violated: it asked for administration on a caller's connection"};
const Story followed = {"answer JobStarted theirs", "answer JobEnded 3"};

const Story has_ended = {"answer Refused job_ended [theirs]"};

const std::vector<Expected>& expectations() {
    static const std::vector<Expected> all = {
        {"Run", started, started, not_granted, not_granted, detached, not_granted},
        {"Follow", followed, no_such_job, no_such_job, followed, as_a_connection, as_a_connection},
        {"LookUp",
         {"answer JobFound theirs"},
         no_such_job,
         no_such_job,
         {"answer JobFound theirs"},
         as_a_connection,
         as_a_connection},
        {"Check",
         {"answer CheckPassed"},
         {"answer CheckPassed"},
         not_granted,
         not_granted,
         {"answer CheckPassed"},
         not_granted},
        {"Describe",
         {"answer Described hello"},
         {"answer Described hello"},
         not_granted,
         not_granted,
         {"answer Described hello"},
         not_granted},
        // Nobody follows anything: it may have ended while the message was on its way.
        {"AwaitOutput", {}, {}, {}, {}, as_a_connection, as_a_connection},
        {"OutputTaken", {}, {}, {}, {}, as_a_connection, as_a_connection},
        {"Manage",
         administration,
         administration,
         administration,
         {"answer Managed"},
         as_a_connection,
         as_a_connection},
        // Only what goes straight is handed over, which is nothing here.
        {"HandOver", nothing_there, nothing_there, nothing_there, nothing_there, as_a_connection,
         as_a_connection},
        {"Cancel", has_ended, no_such_job, no_such_job, has_ended, as_a_connection,
         as_a_connection},
        // It has ended.
        {"CancelAll",
         administration,
         administration,
         administration,
         {"answer Managed"},
         as_a_connection,
         as_a_connection},
        // The administrator has none of its own.
        {"List",
         {"answer JobsListed theirs"},
         {"answer JobsListed"},
         {"answer JobsListed"},
         {"answer JobsListed"},
         as_a_connection,
         as_a_connection},
        {"Unit",
         {"answer CallerUnit []"},
         {"answer CallerUnit []"},
         {"answer CallerUnit []"},
         {"answer CallerUnit []"},
         {"answer CallerUnit []"},
         {"answer CallerUnit []"}},
    };
    return all;
}

class EveryRow : public CallTable, public testing::WithParamInterface<Expected> {};

TEST_P(EveryRow, ForTheOwnerOfTheJob) {
    EXPECT_EQ(call(owner(), honest(GetParam().row)), GetParam().owner);
}
TEST_P(EveryRow, ForTheSameUidWithOtherGroups) {
    EXPECT_EQ(call(by(anna, {anna}), honest(GetParam().row)), GetParam().other_groups);
}
TEST_P(EveryRow, ForAnotherUid) {
    EXPECT_EQ(call(by(berta, {berta, 27}), honest(GetParam().row)), GetParam().other_uid);
}
TEST_P(EveryRow, ForTheAdministrator) {
    EXPECT_EQ(call(administrator(), honest(GetParam().row)), GetParam().administrator);
}
TEST_P(EveryRow, ForTheOwnersPacket) {
    EXPECT_EQ(call(packet(anna), honest(GetParam().row)), GetParam().packet);
}
TEST_P(EveryRow, ForAForeignPacket) {
    EXPECT_EQ(call(packet(berta), honest(GetParam().row)), GetParam().foreign_packet);
}

INSTANTIATE_TEST_SUITE_P(CallTable, EveryRow, testing::ValuesIn(expectations()),
                         [](const auto& tested) { return std::string(tested.param.row); });

TEST_F(CallTable, TheseTestsKnowEveryRow) {
    std::vector<std::string> rows;
    for (const Calls::Row& row : Calls::rows()) rows.emplace_back(row.name());
    std::vector<std::string> known;
    for (const Expected& expected : expectations()) known.emplace_back(expected.row);
    EXPECT_EQ(rows, known);
}

TEST_F(CallTable, TheUnitIsTheCallingProcesses) {
    Origin origin = owner();
    origin.unit = "ci.service";
    EXPECT_EQ(call(origin, UnitCall{}), Story{"answer CallerUnit [ci.service]"});
}

// ---- A session that is taken over, and claims what it was not given ----

TEST_F(CallTable, ASessionCanTakeNoNumberTwice) {
    call(owner(), RunCall{"hello", {}, ""}, 5);
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, ""}, 5),
                ElementsAre("violated: it used the number of a pending call"));
    EXPECT_THAT(call(owner(), FollowCall{JobId("theirs")}, 5),
                ElementsAre("violated: it used the number of a pending call"));
    EXPECT_EQ(jobs_.active(), 1U);
}

TEST_F(CallTable, ASessionCanSendNoMoreThanACallerCould) {
    const std::string too_long(limits::json_string_bytes + 1, 'x');
    const Story expected = {"violated: it asked for more than a message can hold"};
    EXPECT_EQ(call(owner(), RunCall{too_long, {}, ""}), expected);
    EXPECT_EQ(call(owner(), CheckCall{too_long, {}}), expected);
    EXPECT_EQ(call(owner(), DescribeCall{too_long}), expected);
    EXPECT_EQ(call(owner(), FollowCall{JobId(too_long)}), expected);
    EXPECT_EQ(call(owner(), LookUpCall{JobId(too_long)}), expected);
    EXPECT_EQ(call(owner(), CancelCall{JobId(too_long), 15, false}), expected);
    EXPECT_EQ(call(administrator(), CancelAllCall{too_long, 15, false}), expected);
    const Arguments arguments(
        3, NamedValue{"n", Value(std::string(limits::message_bytes / 3 + 1, 'x'))});
    EXPECT_EQ(call(owner(), RunCall{"hello", arguments, ""}), expected);
    const Arguments list = {
        {"n", Value(std::vector<Scalar>(2, std::string(limits::message_bytes / 2 + 1, 'x')))}};
    EXPECT_EQ(call(owner(), CheckCall{"hello", list}), expected);
}

TEST_F(CallTable, ASessionCanSendNoKeyThatIsNone) {
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, "a key"}),
                ElementsAre("violated: it sent a key that is none"));
    EXPECT_THAT(call(owner(), RunCall{"hello", {}, std::string(65, 'k')}),
                ElementsAre("violated: it sent a key that is none"));
}

TEST_F(CallTable, AJobThatIsNotThereIsLikeAForeignOne) {
    const Story missing = call(owner(), LookUpCall{JobId("none")});
    EXPECT_THAT(missing, ElementsAre("audit call-denied job=none reason=no such job",
                                     "answer Refused no_such_job [none]"));
}

TEST_F(CallTable, AJobOfAnotherGidIsAForeignOne) {
    jobs_.records[JobId("theirs")].requester.gid = 5;
    EXPECT_EQ(call(owner(), LookUpCall{JobId("theirs")}), no_such_job);
}

TEST_F(CallTable, APacketsJobIsThatOfItsUserAndGroup) {
    jobs_.records[JobId("theirs")].requester.groups_known = false;
    EXPECT_THAT(call(by(anna, {anna}), LookUpCall{JobId("theirs")}),
                ElementsAre("answer JobFound theirs"));
    EXPECT_EQ(call(by(berta, {berta}), LookUpCall{JobId("theirs")}), no_such_job);
}

// A `unit` in the file of another action changes nobody's jobs.
TEST_F(CallTable, AUnitCountsWhereTheJobsOwnActionNamesOne) {
    jobs_.records[JobId("theirs")].requester.unit = "a.service";
    const Story found = {"answer JobFound theirs"};
    EXPECT_EQ(call(owner(), LookUpCall{JobId("theirs")}), found);
    policy::Rule rule;
    rule.subject.unit = "a.service";
    policy::Snapshot snapshot;
    snapshot.units = {"a.service"};
    snapshot.actions["another"].allow = {rule};
    snapshot.actions["hello"].allow = {};
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>(snapshot));
    EXPECT_EQ(call(owner(), LookUpCall{JobId("theirs")}), found);
    snapshot.actions["hello"].deny = {rule};
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>(snapshot));
    EXPECT_EQ(call(owner(), LookUpCall{JobId("theirs")}), no_such_job);
    Origin same = owner();
    same.unit = "a.service";
    EXPECT_EQ(call(same, LookUpCall{JobId("theirs")}), found);
    same.unit = "b.service";
    EXPECT_EQ(call(same, LookUpCall{JobId("theirs")}), no_such_job);
}

// A session may be for callers of several units: what counts is that of the connection.
TEST_F(CallTable, ARuleAsksForTheUnitOfTheConnection) {
    policy::Rule rule;
    rule.subject.unit = "a.service";
    policy::Snapshot snapshot;
    snapshot.actions["hello"].description.name = "hello";
    snapshot.actions["hello"].program = "/bin/true";
    snapshot.actions["hello"].allow = {rule};
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>(snapshot));
    Origin origin = owner();
    EXPECT_THAT(call(origin, CheckCall{"hello", {}}).back(), "answer Refused not_granted [hello]");
    origin.unit = "b.service";
    EXPECT_THAT(call(origin, CheckCall{"hello", {}}).back(), "answer Refused not_granted [hello]");
    origin.unit = "a.service";
    EXPECT_THAT(call(origin, CheckCall{"hello", {}}), ElementsAre("answer CheckPassed"));
}

// ---- Which jobs a caller has, and how it names them ----

class JobNames : public CallTable {
  protected:
    static inline const std::string first = "abcd0123456789abcdef0123456789ab";
    static inline const std::string second = "abcd1123456789abcdef0123456789ab";
    static inline const std::string foreign = "abce0123456789abcdef0123456789ab";

    JobNames() {
        jobs_.records.clear();
        add(first, anna, 1);
        add(second, anna, 2);
        add(foreign, berta, 3);
    }
    static const Refused& told() { return std::get<Refused>(FakeLink::last_answer); }
    static const JobView& found() { return std::get<JobFound>(FakeLink::last_answer).job; }
    void add(const std::string& id, uid_t uid, std::uint64_t created) {
        jobs::Record job = record_of(id, jobs::RecordState::ended);
        job.requester.uid = job.requester.gid = uid;
        job.requester.groups = jobs_.digest(by(uid, {uid, 27}).caller->groups);
        job.created = time_of(created);
        jobs_.records[JobId(id)] = job;
    }
};

TEST_F(JobNames, ABeginningThatOneJobHasNamesIt) {
    EXPECT_THAT(call(owner(), LookUpCall{JobId("abcd0")}), ElementsAre("answer JobFound " + first));
    EXPECT_THAT(call(owner(), FollowCall{JobId("abcd1")}),
                ElementsAre("answer JobStarted " + second, "answer JobEnded 0"));
    EXPECT_THAT(call(owner(), LookUpCall{JobId(first)}), ElementsAre("answer JobFound " + first));
}

TEST_F(JobNames, ABeginningThatSeveralHaveNamesNone) {
    EXPECT_THAT(call(owner(), LookUpCall{JobId("abcd")}),
                ElementsAre("answer Refused ambiguous_job [abcd]"));
    EXPECT_EQ(told().message,
              "2 of your jobs begin with \"abcd\"; give more digits of the one you "
              "mean");
}

// Neither that there are others' jobs nor how they begin.
TEST_F(JobNames, OnlyTheCallersOwnCount) {
    EXPECT_THAT(call(by(berta, {berta, 27}), LookUpCall{JobId("abce")}),
                ElementsAre("answer JobFound " + foreign));
    const Story missing = {"audit call-denied job=abce reason=no such job",
                           "answer Refused no_such_job [abce]"};
    EXPECT_EQ(call(owner(), LookUpCall{JobId("abce")}), missing);
    EXPECT_THAT(call(administrator(), LookUpCall{JobId("abce")}),
                ElementsAre("answer JobFound " + foreign));
    EXPECT_THAT(call(administrator(), LookUpCall{JobId("abcd")}),
                ElementsAre("answer Refused ambiguous_job [abcd]"));
    EXPECT_EQ(told().message, "2 jobs begin with \"abcd\"; give more digits of the one you mean");
}

TEST_F(JobNames, WhatIsNoIdIsSaidToBeNone) {
    for (const char* text : {"", "abc", "ABCD", "abcg", "hello", "abcd/", "abcd "}) {
        const std::string name = text;
        EXPECT_THAT(call(owner(), LookUpCall{JobId(name)}).back(),
                    "answer Refused no_such_job [" + name + "]");
        EXPECT_EQ(told().message,
                  '"' + name +
                      "\" is not the id of a job, or its beginning; give at least four of its "
                      "digits (0 to 9, a to f)");
    }
    call(owner(), LookUpCall{JobId("0000")});
    EXPECT_EQ(
        told().message,
        "you have no job \"0000\": it may not exist, may belong to somebody else, or may have "
        "been removed");
    call(administrator(), LookUpCall{JobId("0000")});
    EXPECT_EQ(told().message,
              "there is no job \"0000\": it may not exist, or may have been removed");
}

// Whatever has become of its action since.
TEST_F(JobNames, TheUnitCountsIfItDidWhenTheJobWasStarted) {
    jobs::Record& job = jobs_.records.at(JobId(first));
    job.action = "gone";
    job.requester.unit = "a.service";
    job.unit_counts = true;
    Origin origin = owner();
    origin.unit = "b.service";
    for (const std::string& name : {first, first.substr(0, 5)}) {
        EXPECT_EQ(call(origin, LookUpCall{JobId(name)}).back(),
                  "answer Refused no_such_job [" + name + "]");
    }
    origin.unit = "a.service";
    EXPECT_THAT(call(origin, LookUpCall{JobId(first)}), ElementsAre("answer JobFound " + first));
}

TEST_F(JobNames, ThreeDigitsAreTooFewAndWhatIsNoDigitIsNone) {
    for (const char* name : {"", "abc", "abcd0x", "ABCD0", "abcd0 "}) {
        EXPECT_EQ(call(owner(), LookUpCall{JobId(name)}).back(),
                  "answer Refused no_such_job [" + std::string(name) + "]");
    }
}

// An administrator who looks on does not stand for the caller whose job it is.
TEST_F(JobNames, TheFollowerIsItsOwnersOrTheAdministrators) {
    jobs_.records.at(JobId(first)).state = jobs::RecordState::running;
    call(owner(), FollowCall{JobId(first)}, 1);
    EXPECT_TRUE(jobs_.followers.at(JobId(first))->is_owners());
    call(administrator(), FollowCall{JobId(first)}, 2);
    EXPECT_FALSE(jobs_.followers.at(JobId(first))->is_owners());
    // One who has started it through the administrator's socket comes back by that one.
    call(by(anna, {anna, 27}, Way::administrator), FollowCall{JobId(first)}, 3);
    EXPECT_TRUE(jobs_.followers.at(JobId(first))->is_owners());
}

TEST_F(JobNames, ForAWholeIdNoOtherJobIsLookedAt) {
    call(owner(), LookUpCall{JobId(first)});
    call(owner(), FollowCall{JobId(second)});
    EXPECT_EQ(call(owner(), LookUpCall{JobId(foreign)}).back(),
              "answer Refused no_such_job [" + foreign + "]");
    EXPECT_EQ(jobs_.pages, 0);
    call(owner(), LookUpCall{JobId(first.substr(0, 8))});
    EXPECT_EQ(jobs_.pages, 1);
}

TEST_F(JobNames, ARecordThatCantBeReadIsNotOneThatIsNotThere) {
    jobs_.records_error = "it can't be read";
    EXPECT_THAT(call(owner(), LookUpCall{JobId("abcd0")}),
                ElementsAre("answer Refused unavailable []"));
    EXPECT_THAT(call(owner(), LookUpCall{JobId(first)}),
                ElementsAre("answer Refused unavailable []"));
    EXPECT_EQ(call(owner(), LookUpCall{JobId(foreign)}).back(),
              "answer Refused no_such_job [" + foreign + "]");
}

TEST_F(JobNames, AllIsToldOfOneAndWhereItsRuleStandsToTheAdministrator) {
    jobs::Record& job = jobs_.records[JobId(first)];
    job.requester.pid = 42;
    job.requester.user = "anna";
    job.requester.unit = "a.service";
    job.requester.listener = "/run/s";
    job.requester.rule = "allow user 1000";
    job.requester.rule_place = "/hello.json:1";
    job.arguments = {{"n", "5"}, {"secret", "(secret)"}, {"l", "[\"5\"]"}};
    job.lists = {"l"};
    call(owner(), LookUpCall{JobId(first)});
    EXPECT_EQ(found().uid, anna);
    EXPECT_EQ(found().pid, 42);
    EXPECT_EQ(found().state, JobState::ended);
    JobDetails details;
    details.user = "anna";
    details.gid = anna;
    details.unit = "a.service";
    details.listener = "/run/s";
    details.arguments = {{"n", "5"}, {"secret", "(secret)"}, {"l", "[\"5\"]", true}};
    details.rule = "allow user 1000";
    details.sizes = {StreamSizes{10, 4}, StreamSizes{0, 0}};
    EXPECT_EQ(found().details, details);
    job.stdout_not_kept = true;
    details.sizes[0].reset();
    details.rule_place = "/hello.json:1";
    call(administrator(), LookUpCall{JobId(first)});
    EXPECT_EQ(found().details, details);
}

TEST_F(JobNames, ArgumentsAreToldAsFarAsOnePacketHasRoom) {
    jobs::Record& job = jobs_.records[JobId(first)];
    job.arguments = {{"a", std::string(limits::message_bytes - 2, 'x')}, {"b", "1234"}, {"c", "5"}};
    call(owner(), LookUpCall{JobId(first)});
    const auto& told_arguments = found().details->arguments;
    ASSERT_EQ(told_arguments.size(), 3U);
    EXPECT_EQ(told_arguments[0].text, job.arguments[0].second);
    EXPECT_EQ(told_arguments[1].text, "12...");
    EXPECT_EQ(told_arguments[2].text, "...");
}

TEST_F(JobNames, AJobThatIsStartedHasItsSocketAndRuleOnRecord) {
    call(owner(), RunCall{"hello", {}, ""});
    const jobs::Requester& who = jobs_.records[JobId("job1")].requester;
    EXPECT_EQ(who.listener, "/run/s");
    EXPECT_EQ(who.rule, "allow user 1000");
    EXPECT_EQ(who.rule_place, "/a.json:1");
}

TEST_F(JobNames, AListHasThePagesThatAreAskedFor) {
    ListCall list = own_list();
    EXPECT_THAT(call(owner(), list), ElementsAre("answer JobsListed " + second + " " + first));
    list.limit = 1;
    EXPECT_THAT(call(owner(), list),
                ElementsAre("answer JobsListed " + second + " and more after " + second));
    list.before = time_of(2);
    list.before_job = JobId(second);
    EXPECT_THAT(call(owner(), list), ElementsAre("answer JobsListed " + first));
    list = own_list();
    list.since = time_of(2);
    EXPECT_THAT(call(owner(), list), ElementsAre("answer JobsListed " + second));
    list = own_list();
    list.state = JobState::running;
    EXPECT_THAT(call(owner(), list), ElementsAre("answer JobsListed"));
    list = own_list();
    list.action = "another";
    EXPECT_THAT(call(owner(), list), ElementsAre("answer JobsListed"));
    list = own_list();
    list.all = true;
    EXPECT_THAT(call(administrator(), list),
                ElementsAre("answer JobsListed " + foreign + " " + second + " " + first));
}

TEST_F(JobNames, ASessionCanAskForNoMoreThanThat) {
    ListCall list = own_list();
    list.all = true;
    EXPECT_THAT(call(owner(), list),
                ElementsAre("violated: it asked for everybody's jobs on a caller's connection"));
    const Story no_list = {"violated: it asked for a list of jobs that there is not"};
    for (const std::uint32_t limit : {0U, limits::jobs_per_page + 1}) {
        list = own_list();
        list.limit = limit;
        EXPECT_EQ(call(owner(), list), no_list);
    }
    list = own_list();
    list.before = time_of(1);
    list.before_job = JobId("x");
    EXPECT_EQ(call(owner(), list), no_list);
}

// What only the guard can answer is answered by what stands there now.
TEST_F(CallTable, CheckAndDescribeWaitForTheActionFiles) {
    for (const Call& asked : {Call(CheckCall{"hello", {}}), Call(DescribeCall{"hello"})}) {
        is_current_ = false;
        EXPECT_THAT(call(owner(), asked), IsEmpty());
        current_->loaded(looks_, false, {});
        EXPECT_THAT(since().back(), "answer Refused unavailable []");
        EXPECT_THAT(call(owner(), asked), IsEmpty());
        calls_.set_snapshot(std::make_shared<const policy::Snapshot>());
        current_->loaded(looks_, true, {});
        EXPECT_THAT(since().back(), "answer Refused not_granted [hello]");
        set_actions();
    }
}

// ---- The administrator's ----

TEST_F(CallTable, StatusSaysAllAndEndsTheCall) {
    EXPECT_THAT(
        call(administrator(), ManageCall{Management::status, ""}),
        ElementsAre("answer StatusReport", "answer SocketReport /run/s", "answer CallerReport 1000",
                    "answer ProblemReport socket: /run/s: gone", "answer Managed"));
}

TEST_F(CallTable, ALogLevelIsSetOrRefused) {
    EXPECT_THAT(call(administrator(), ManageCall{Management::log_level, "info"}),
                ElementsAre("log level info", "audit log-level-changed", "answer Managed"));
    EXPECT_THAT(call(administrator(), ManageCall{Management::log_level, "x"}),
                ElementsAre("log level x", "answer Managed: no such level"));
}

TEST_F(CallTable, AReloadIsAnsweredByALoadThatBeganAfterIt) {
    EXPECT_THAT(call(administrator(), ManageCall{Management::reload, ""}, 1), IsEmpty());
    EXPECT_THAT(call(administrator(), ManageCall{Management::reload, ""}, 2), IsEmpty());
    auto snapshot = std::make_shared<policy::Snapshot>();
    snapshot->bad = {{"a", "/a.json", "/a.json:1:1: what; do"}};
    snapshot->actions["b"].warnings = {"/b.json:1:1: what"};
    snapshot->passed_over = {{"/c.conf", "/c.conf: is passed over"}};
    snapshot->missing = {{"/usr/lib/none", ""}, {"/none", "/none: does not exist"}};
    administration_.loaded(policy::SnapshotPtr(snapshot), 1);
    EXPECT_THAT(
        since(),
        ElementsAre("answer BadFileReport /a.json", "answer WarningReport /b.json:1:1: what",
                    "answer WarningReport /c.conf: is passed over",
                    "answer WarningReport /none: does not exist",
                    "answer ProblemReport socket: /run/s: gone", "answer Managed"));
    administration_.loaded(fail("can't be read"), 2);
    EXPECT_THAT(since(), ElementsAre("answer Managed: can't be read"));
    administration_.loaded(policy::SnapshotPtr(snapshot), 3);
    EXPECT_THAT(since(), IsEmpty());
    // Whoever asks for the state has not just changed what lies there.
    EXPECT_THAT(
        call(administrator(), ManageCall{Management::status, ""}),
        ElementsAre("answer StatusReport", "answer SocketReport /run/s", "answer CallerReport 1000",
                    "answer BadFileReport /a.json", "answer WarningReport /b.json:1:1: what",
                    "answer ProblemReport socket: /run/s: gone", "answer Managed"));
}

}  // namespace
}  // namespace postern
