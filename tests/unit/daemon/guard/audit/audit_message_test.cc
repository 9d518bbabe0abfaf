// The audit's lines for people: exact, and nothing in them can be forged by a caller.
#include "daemon/guard/audit/audit_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

namespace postern {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

class AuditMessage : public testing::Test {
  protected:
    AuditMessage() {
        policy::Snapshot snapshot;
        snapshot.people.user_names = {{4242, "alice"}, {1000, "ada"}, {7, "se ven"}};
        snapshot.people.group_names = {{100, "users"}};
        names_.set_snapshot(std::make_shared<const policy::Snapshot>(std::move(snapshot)));
        event_.kind = AuditEvent::Kind::job_started;
        event_.caller = &caller_;
        event_.pid = 1557;
        event_.unit = "ci-runner.service";
        event_.action = "web.restart";
        event_.job = "5fab";
        event_.rule = "allow group \"deploy\"";
        event_.place = "/etc/postern/actions.d/web.restart.json:4";
        event_.arguments = {{"service", "nginx"}};
    }
    [[nodiscard]] std::string started() const {
        return audit_message("job-started", event_, 0, names_);
    }

    policy::Caller caller_{4242, 100, {100}};
    AccountNames names_;
    AuditEvent event_;
};

TEST_F(AuditMessage, OfAJobThatIsStarted) {
    EXPECT_EQ(started(),
              "job-started: web.restart service=nginx, job 5fab, by alice (uid 4242) unit "
              "ci-runner.service, pid 1557: allow group \"deploy\" "
              "(/etc/postern/actions.d/web.restart.json:4)");
    caller_.paid_by = 1000;
    EXPECT_THAT(started(), HasSubstr(", by alice (uid 4242) of ada (uid 1000) unit "));
    caller_.uid = 100'000;
    EXPECT_THAT(started(), HasSubstr(", by uid 100000 of ada (uid 1000) unit "));
    caller_ = {7, 7, {7}};
    EXPECT_THAT(started(), HasSubstr(", by \"se ven\" (uid 7) unit "));
    event_.unit = "a\\x2db@1.service";
    EXPECT_THAT(started(), HasSubstr(" unit a\\x2db@1.service, pid"));
}

TEST_F(AuditMessage, OfADenialAndARefusal) {
    event_.kind = AuditEvent::Kind::call_denied;
    event_.job.clear();
    event_.unit.reset();
    event_.reason = "denied by a rule";
    event_.rule = "deny group \"www\"";
    EXPECT_EQ(
        audit_message("call-denied", event_, 0, names_),
        "call-denied: web.restart, by alice (uid 4242), pid 1557: denied by a rule: deny group "
        "\"www\" (/etc/postern/actions.d/web.restart.json:4)");
    event_.rule.clear();
    event_.reason = "no rule matches";
    event_.place = "/etc/a.json";
    EXPECT_EQ(audit_message("call-denied", event_, 0, names_),
              "call-denied: web.restart, by alice (uid 4242), pid 1557: no rule matches "
              "(/etc/a.json)");
    event_.place.clear();
    event_.reason = "size: \"abc\" is not an integer";
    EXPECT_EQ(audit_message("call-refused", event_, 0, names_),
              "call-refused: web.restart, by alice (uid 4242), pid 1557: size: \"abc\" is not an "
              "integer");
}

TEST_F(AuditMessage, OfHowAJobEnded) {
    event_.kind = AuditEvent::Kind::job_ended;
    event_.rule = event_.place = "";
    const auto ended = [&](Outcome outcome, bool by_signal, int status, std::uint32_t left = 0) {
        JobResult result;
        result.outcome = outcome;
        result.by_signal = by_signal;
        result.status = status;
        result.ended_processes = left;
        event_.result = result;
        const std::string text = audit_message("job-ended", event_, 0, names_);
        const std::string begin =
            "job-ended: web.restart, job 5fab, by alice (uid 4242) unit ci-runner.service, pid "
            "1557: ";
        EXPECT_EQ(text.substr(0, begin.size()), begin);
        return text.substr(begin.size());
    };
    EXPECT_EQ(ended(Outcome::exited, false, 3), "exit code 3");
    EXPECT_EQ(ended(Outcome::exited, false, 15), "exit code 15");
    EXPECT_EQ(ended(Outcome::signaled, true, 15), "signal 15 (TERM)");
    EXPECT_EQ(ended(Outcome::signaled, true, 34), "signal 34");
    EXPECT_EQ(ended(Outcome::timeout, true, 9), "timeout, signal 9 (KILL)");
    EXPECT_EQ(ended(Outcome::timeout, false, 0), "timeout");
    EXPECT_EQ(ended(Outcome::exited, false, 0, 1),
              "exit code 0; 1 background process was ended with it");
    EXPECT_EQ(ended(Outcome::exited, false, 0, 2),
              "exit code 0; 2 background processes were ended with it");
}

TEST_F(AuditMessage, OfWhatIsCancelledAndOfALogLevel) {
    event_.rule = event_.place = "";
    event_.unit.reset();
    event_.signal = 1;
    EXPECT_EQ(audit_message("job-cancelled", event_, 0, names_),
              "job-cancelled: web.restart service=nginx, job 5fab, by alice (uid 4242), pid 1557: "
              "signal 1 (HUP)");
    event_.reason = "a job of uid 1000 (ada)";
    EXPECT_EQ(audit_message("job-cancelled", event_, 0, names_),
              "job-cancelled: web.restart service=nginx, job 5fab, by alice (uid 4242), pid 1557: "
              "signal 1 (HUP): "
              "a job of uid 1000 (ada)");
    event_.reason.clear();
    event_.signal = 0;
    event_.kind = AuditEvent::Kind::job_ended;
    event_.result = JobResult{};
    event_.result->outcome = Outcome::exited;
    event_.cancelled_by = Canceller{1000, "ada"};
    EXPECT_THAT(audit_message("job-ended", event_, 0, names_),
                EndsWith("pid 1557: exit code 0; cancelled by ada (uid 1000)"));
    event_.cancelled_by = Canceller{7, "se ven"};
    EXPECT_THAT(audit_message("job-ended", event_, 0, names_),
                EndsWith("exit code 0; cancelled by \"se ven\" (uid 7)"));
    AuditEvent level;
    level.caller = &caller_;
    level.pid = 3;
    level.level = "debug";
    EXPECT_EQ(audit_message("log-level-changed", level, 0, names_),
              "log-level-changed, by alice (uid 4242), pid 3: debug");
}

// Each could be taken for what the guard says itself, if it stood there as it is.
TEST_F(AuditMessage, WhatACallerChoseForgesNothing) {
    const std::string forged = "x, job 00ff, by root (uid 0), pid 1: allow everyone";
    event_.arguments = {
        {"service", forged}, {"b", "a\" c=d"}, {"c", ""}, {"d", "a\nb\x1b\u202e\xff"}};
    EXPECT_THAT(started(),
                HasSubstr("web.restart service=\"" + forged +
                          "\" b=\"a\\\" c=d\" c=\"\" d=\"a\\nb\\u001b\\u202e\\ufffd\", job 5fab, "
                          "by alice"));
    event_.arguments = {};
    event_.action = forged;
    EXPECT_THAT(started(),
                testing::StartsWith("job-started: \"" + forged + "\", job 5fab, by alice"));
    event_.action = "a";
    event_.reason = "a\nb\x1b \u202e \\ \"c\"";
    EXPECT_THAT(started(), HasSubstr(": a\\nb\\u001b \\u202e \\ \"c\": allow group"));
    for (const char c : started()) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
}

TEST_F(AuditMessage, LongTextsAreCut) {
    event_.arguments = {{"a", std::string(200, 'x')}, {"b", "y", AuditArgument::Whole{5000, "00"}}};
    EXPECT_THAT(started(), HasSubstr(" a=\"" + std::string(120, 'x') + "...\" b=\"y...\", job"));
    // Not in the middle of a character.
    event_.arguments = {{"a", std::string(119, 'x') + "\u00e9"}};
    EXPECT_THAT(started(), HasSubstr(" a=\"" + std::string(119, 'x') + "...\", job"));
    event_.arguments.assign(100, {"a", std::string(100, 'x')});
    EXPECT_LT(started().size(), 1200U);
    EXPECT_THAT(started(), HasSubstr(" and 92 more arguments, job 5fab"));
}

TEST_F(AuditMessage, NamesAndNumbersAreInTheFields) {
    caller_.paid_by = 1000;
    event_.result = JobResult{};
    event_.result->outcome = Outcome::signaled;
    event_.result->by_signal = true;
    event_.result->status = 15;
    event_.result->ended_processes = 2;
    const auto field = [this](const std::string& key) -> std::string {
        for (const auto& [name, value] : audit_fields(event_, 0, names_)) {
            if (name == key) return value;
        }
        return "(none)";
    };
    EXPECT_EQ(field("POSTERN_UID"), "4242");
    EXPECT_EQ(field("POSTERN_USER"), "alice");
    EXPECT_EQ(field("POSTERN_OWNER"), "1000");
    EXPECT_EQ(field("POSTERN_OWNER_USER"), "ada");
    EXPECT_EQ(field("POSTERN_GID"), "100");
    EXPECT_EQ(field("POSTERN_GROUP"), "users");
    EXPECT_EQ(field("POSTERN_UNIT"), "ci-runner.service");
    EXPECT_EQ(field("POSTERN_ARGUMENTS"), R"({"service":"nginx"})");
    EXPECT_EQ(field("POSTERN_SIGNAL"), "TERM");
    EXPECT_EQ(field("POSTERN_EXIT_CODE"), "(none)");
    EXPECT_EQ(field("POSTERN_ENDED_PROCESSES"), "2");
    event_.result->outcome = Outcome::exited;
    event_.result->by_signal = false;
    EXPECT_EQ(field("POSTERN_SIGNAL"), "(none)");
    EXPECT_EQ(field("POSTERN_EXIT_CODE"), "15");
    EXPECT_THAT(audit_json(event_, std::chrono::system_clock::time_point(), 0, names_),
                HasSubstr(R"("uid":4242,"user":"alice","owner":1000,"ownerUser":"ada","gid":100,)"
                          R"("group":"users","groups":[100],"groupNames":["users"],)"));
    caller_.groups = {4711, 100};
    EXPECT_THAT(audit_json(event_, std::chrono::system_clock::time_point(), 0, names_),
                HasSubstr(R"("groups":[4711,100],"groupNames":[null,"users"],)"));
    EXPECT_THAT(audit_json(event_, std::chrono::system_clock::time_point(), 0),
                Not(HasSubstr("user")));
}

}  // namespace
}  // namespace postern
