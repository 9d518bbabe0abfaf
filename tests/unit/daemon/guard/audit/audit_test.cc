// The audit's records, and where they go.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/unique_fd.h"
#include "daemon/guard/audit/audit.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/file_text.h"
#include "tests/unit/json_keys.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;
using Json = nlohmann::json;

class AuditTest : public testing::Test {
  protected:
    [[nodiscard]] std::string file() const { return folder_ / "audit"; }
    [[nodiscard]] std::vector<Json> lines() const {
        std::vector<Json> parsed;
        for (const auto& line : lines_of(read_path(file()))) parsed.push_back(Json::parse(line));
        return parsed;
    }
    std::unique_ptr<Audit> open() {
        auto audit = Audit::create(event_.get(), file());
        EXPECT_TRUE(audit) << audit.error().message;
        return std::move(*audit);
    }

    // A socket in the place of journald's.
    [[nodiscard]] UniqueFd bind_journal() const {
        return socket_at(folder_ / "journal", SOCK_DGRAM);
    }

    const TemporaryDirectory folder_;
    EventLoop event_ = make_event_loop();
    policy::Caller caller_{1000, 100, {27, 100}};
};

std::chrono::system_clock::time_point at(std::int64_t microseconds) {
    return std::chrono::system_clock::time_point(std::chrono::microseconds(microseconds));
}

AuditEvent denied(const policy::Caller& caller) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::call_denied;
    event.caller = &caller;
    event.pid = 77;
    event.action = "web.restart";
    event.reason = "denied by a rule";
    event.rule = "deny group \"www\"";
    event.place = "/etc/postern/actions.d/web.restart.json:7";
    return event;
}

TEST_F(AuditTest, ADenialNamesCallerActionRuleAndPlace) {
    EXPECT_EQ(audit_json(denied(caller_), at(1'700'000'000'000'001), 0),
              R"({"time":"2023-11-14T22:13:20.000001Z","event":"call-denied","uid":1000,"gid":100,)"
              R"("groups":[27,100],"pid":77,"action":"web.restart",)"
              R"("rule":"deny group \"www\"","place":"/etc/postern/actions.d/web.restart.json:7",)"
              R"("reason":"denied by a rule"})");
}

// Whose subordinate uid it is, which the groups of the process may not show.
TEST_F(AuditTest, AnOwnerIsNamedWhereItIsNotTheCaller) {
    caller_.paid_by = caller_.uid;
    EXPECT_EQ(audit_json(denied(caller_), at(0), 0).find("owner"), std::string::npos);
    caller_.paid_by = 4242;
    EXPECT_THAT(audit_json(denied(caller_), at(0), 0),
                HasSubstr(R"("uid":1000,"owner":4242,"gid":100,)"));
    const AuditFields fields = audit_fields(denied(caller_), 0);
    EXPECT_NE(
        std::ranges::find(fields, std::pair<std::string, std::string>("POSTERN_OWNER", "4242")),
        fields.end());
    EXPECT_THAT(fields.front().second, HasSubstr("by uid 1000 of uid 4242, pid 77"));
}

// So that the catalogue can say it in one sentence.
TEST_F(AuditTest, ADenialSaysWhetherAnActionOrAJobWasAskedFor) {
    const auto asked = [](const AuditEvent& event, std::uint64_t count) -> std::string {
        const AuditFields fields = audit_fields(event, count);
        const auto found = std::ranges::find_if(
            fields, [](const auto& field) { return field.first == "POSTERN_ASKED"; });
        return found == fields.end() ? "" : found->second;
    };
    AuditEvent event = denied(caller_);
    EXPECT_EQ(asked(event, 0), "action web.restart");
    EXPECT_EQ(asked(event, 3), "") << "a sum is of many";
    event.job = "00ff";
    EXPECT_EQ(asked(event, 0), "job 00ff") << "whatever its action is";
    event.kind = AuditEvent::Kind::call_refused;
    EXPECT_EQ(asked(event, 0), "");
}

TEST_F(AuditTest, AJobNamesItsArgumentsAndHowItEnded) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::job_started;
    event.caller = &caller_;
    event.action = "a";
    event.job = "00ff";
    event.arguments = {{"name", "g1"}, {"password", "(secret)"}};
    EXPECT_THAT(audit_json(event, at(0), 0),
                HasSubstr(R"x("job":"00ff","arguments":{"name":"g1","password":"(secret)"})x"));
    event.kind = AuditEvent::Kind::job_ended;
    event.result = JobResult{
        Outcome::timeout, true, 15, time_of(1), time_of(2), std::chrono::microseconds(3), 4};
    EXPECT_THAT(audit_json(event, at(0), 0),
                HasSubstr(R"("result":{"outcome":"timeout","signal":15,"startedAt":1,"endedAt":2,)"
                          R"("cpuMicroseconds":3,"maxResidentKiB":4})"));
    event.cancelled_by = Canceller{1000, "alice"};
    event.result->outcome = Outcome::other;
    event.result->other_outcome = "evaporated";
    EXPECT_THAT(audit_json(event, at(0), 0),
                HasSubstr(R"("job":"00ff","cancelledBy":{"uid":1000,"user":"alice"},)"
                          R"("result":{"outcome":"evaporated",)"));
    AuditFields fields = audit_fields(event, 0);
    EXPECT_THAT(fields, IsSupersetOf(AuditFields{{"POSTERN_CANCELLED_BY", "1000"},
                                                 {"POSTERN_CANCELLED_BY_USER", "alice"},
                                                 {"POSTERN_OUTCOME", "evaporated"}}));
    event.cancelled_by->user.clear();
    EXPECT_THAT(audit_json(event, at(0), 0), HasSubstr(R"("cancelledBy":{"uid":1000},)"));
}

TEST_F(AuditTest, ACancelNamesItsSignalAndALogLevelItself) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::job_cancelled;
    event.caller = &caller_;
    event.action = "a";
    event.job = "00ff";
    event.signal = 15;
    event.reason = "a job of uid 1000";
    EXPECT_THAT(audit_json(event, at(0), 0), HasSubstr(R"("event":"job-cancelled")"));
    EXPECT_THAT(audit_json(event, at(0), 0),
                HasSubstr(R"("reason":"a job of uid 1000","job":"00ff","signal":15})"));
    EXPECT_THAT(audit_fields(event, 0),
                IsSupersetOf(AuditFields{
                    {"POSTERN_SIGNAL", "TERM"}, {"POSTERN_JOB", "00ff"}, {"PRIORITY", "5"}}));
    AuditEvent level;
    level.kind = AuditEvent::Kind::log_level_changed;
    level.caller = &caller_;
    level.level = "debug";
    EXPECT_THAT(audit_json(level, at(0), 0), HasSubstr(R"("event":"log-level-changed")"));
    EXPECT_THAT(audit_json(level, at(0), 0), HasSubstr(R"("level":"debug"})"));
    EXPECT_THAT(audit_fields(level, 0), IsSupersetOf(AuditFields{{"POSTERN_LEVEL", "debug"}}));
}

// Escape, carriage return, newline, C1, bidi, line separator, invalid UTF-8: in every field.
TEST_F(AuditTest, HostileTextIsEscapedInEveryField) {
    const std::string hostile = "a\x1b[2J\r\n\"}\xc2\x9b\xe2\x80\xae\xe2\x80\xa8\xff";
    AuditEvent event = denied(caller_);
    event.kind = AuditEvent::Kind::job_started;
    event.unit = hostile;
    event.listener = event.action = event.rule = event.place = event.reason = event.job = hostile;
    event.arguments = {{hostile, hostile}};
    const std::string line = audit_json(event, at(0), 0);
    for (const char c : line) {
        EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
    }
    EXPECT_THAT(line, HasSubstr(R"("action":"a\u001b[2J\r\n\"}\u009b\u202e\u2028\ufffd")"));
    for (const auto& [key, value] : audit_fields(event, 0)) {
        for (const char c : key + value) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << key;
    }
}

TEST_F(AuditTest, KeysAreInCamelCase) {
    caller_.paid_by = 4242;
    caller_.groups.assign(100, 27);
    AuditEvent event = denied(caller_);
    event.unit = "a.service";
    event.listener = "/run/s";
    event.job = "00ff";
    // Names of arguments are the action file's.
    event.arguments = {{"dry-run", "yes"}};
    policy::Change change;
    for (auto* const names : {&change.added, &change.changed, &change.removed, &change.off}) {
        names->assign(40, "a");
    }
    event.change = &change;
    event.signal = 15;
    event.level = "debug";
    event.cancelled_by = Canceller{1000, "alice"};
    for (int kind = 0; kind <= static_cast<int>(AuditEvent::Kind::log_level_changed); ++kind) {
        event.kind = static_cast<AuditEvent::Kind>(kind);
        for (const bool by_signal : {false, true}) {
            event.result = JobResult{Outcome::exited, by_signal, 1, {}, {}, {}, 1};
            const Json json = Json::parse(audit_json(event, at(0), 7));
            EXPECT_THAT(misspelled_keys(json), testing::IsEmpty()) << json;
            EXPECT_GE(json.size(), 18U) << "all that there can be: " << json;
        }
    }
}

// journalctl -x has something to say about each, and nothing in the catalogue is for nobody.
TEST_F(AuditTest, EveryKindHasItsEntryInTheCatalogue) {
    std::multiset<std::string> sent = {"0ba7609c584c4ca48bdad568d0802db6"};  // records-lost
    const auto add = [&sent](const AuditEvent& event, std::uint64_t count) {
        for (const auto& [key, value] : audit_fields(event, count)) {
            if (key == "MESSAGE_ID") sent.insert(value);
        }
    };
    AuditEvent event;
    for (int kind = 0; kind <= static_cast<int>(AuditEvent::Kind::log_level_changed); ++kind) {
        event.kind = static_cast<AuditEvent::Kind>(kind);
        add(event, 0);
    }
    add(event, 7);  // denials-summed
    std::multiset<std::string> described;
    for (const std::string& line : lines_of(read_path(POSTERN_CATALOG))) {
        if (line.starts_with("-- ")) described.insert(line.substr(3));
    }
    EXPECT_EQ(sent, described);
    EXPECT_EQ(sent.size(), 19U);
}

TEST_F(AuditTest, NamesAtMostSixtyFourGroups) {
    for (gid_t group = 200; group < 300; ++group) caller_.groups.push_back(group);
    const Json json = Json::parse(audit_json(denied(caller_), at(0), 0));
    EXPECT_EQ(json["groups"].size(), 64U);
    EXPECT_EQ(json["groupCount"], 102);
}

TEST_F(AuditTest, WhatALoadChangedIsNamedWithinBounds) {
    policy::Change change;
    for (int i = 0; i < 40; ++i) change.added.push_back("a" + std::to_string(i));
    change.removed = {"one", "two"};
    AuditEvent event;
    event.kind = AuditEvent::Kind::actions_changed;
    event.change = &change;
    const Json json = Json::parse(audit_json(event, at(0), 0));
    EXPECT_EQ(json.at("event"), "actions-changed");
    EXPECT_EQ(json.at("added").size(), 32U);
    EXPECT_EQ(json.at("addedCount"), 40);
    EXPECT_EQ(json.at("removed"), Json({"one", "two"}));
    EXPECT_FALSE(json.contains("removedCount"));
    EXPECT_FALSE(json.contains("changed"));
    change.added.resize(1);
    const auto fields = audit_fields(event, 0);
    const auto field = [&fields](const std::string& key) {
        const auto found =
            std::ranges::find(fields, key, &std::pair<std::string, std::string>::first);
        return found == fields.end() ? "none" : found->second;
    };
    EXPECT_EQ(field("MESSAGE"), "actions-changed: added a0; removed one, two");
    EXPECT_EQ(field("POSTERN_ADDED"), "a0");
    EXPECT_EQ(field("POSTERN_REMOVED"), "one two");
    EXPECT_EQ(field("POSTERN_OFF"), "none");
}

TEST_F(AuditTest, TheFileIsOursAlone) {
    const mode_t mask = ::umask(0);
    auto audit = open();
    ::umask(mask);
    struct stat status{};
    ASSERT_EQ(::stat(file().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(AuditTest, AFileThatOthersCanReadIsMadeOursAlone) {
    folder_.write("audit", "", 0644);
    auto audit = open();
    struct stat status{};
    ASSERT_EQ(::stat(file().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(AuditTest, ALinkOrAPipeIsNoAuditFile) {
    ASSERT_EQ(::symlink("/tmp/elsewhere", file().c_str()), 0);
    auto link = Audit::create(event_.get(), file());
    ASSERT_FALSE(link);
    const std::string not_regular = ", not a regular file; remove it, or give the path of a file";
    EXPECT_EQ(link.error().message,
              "audit file " + file() + ": it is a symbolic link" + not_regular);
    ::unlink(file().c_str());
    ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
    auto pipe = Audit::create(event_.get(), file());
    ASSERT_FALSE(pipe);
    EXPECT_EQ(pipe.error().message, "audit file " + file() + ": it is a FIFO" + not_regular);
    // With a reader it could be opened.
    const UniqueFd reader(::open(file().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_FALSE(Audit::create(event_.get(), file()));
}

TEST_F(AuditTest, WhatIsWrongWithThePathIsSaid) {
    auto missing = Audit::create(event_.get(), folder_ / "a/b");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().message,
              "audit file " + folder_ / "a/b" +
                  ": No such file or directory; make its directory: mkdir -p -m 0700 " +
                  folder_ / "a");
    folder_.write("audit", "", 0600);
    ASSERT_EQ(::link(file().c_str(), (folder_ / "other").c_str()), 0);
    auto linked = Audit::create(event_.get(), file());
    ASSERT_FALSE(linked);
    EXPECT_THAT(linked.error().message, HasSubstr("it has 2 names (hard links)"));
}

class AuditFileTest : public AuditTest {
  protected:
    void SetUp() override {
        auto audit = Audit::create(event_.get(), file(), [this](const std::string& what, bool bad) {
            told_.push_back((bad ? "! " : "") + what);
        });
        ASSERT_TRUE(audit) << audit.error().message;
        audit_ = std::move(*audit);
        ASSERT_TRUE(audit_->write(denied(caller_)));
    }
    std::unique_ptr<Audit> audit_;
    std::vector<std::string> told_;
};

TEST_F(AuditFileTest, OneThatWasRenamedOrRemovedIsMadeAnewByTheNextRecord) {
    const std::string opened_again =
        "audit file " + file() + ": the one before was removed, renamed or replaced: opened again";
    std::filesystem::rename(file(), file() + ".1");
    ASSERT_TRUE(audit_->write(denied(caller_)));
    EXPECT_EQ(lines().size(), 1U);
    std::filesystem::remove(file());
    ASSERT_TRUE(audit_->write(denied(caller_)));
    EXPECT_EQ(lines().size(), 1U);
    std::filesystem::rename(file(), file() + ".2");
    folder_.write("audit", "{}\n", 0644);
    EXPECT_TRUE(audit_->ready());
    ASSERT_TRUE(audit_->write(denied(caller_)));
    EXPECT_EQ(lines().size(), 2U);
    struct stat status{};
    ASSERT_EQ(::stat(file().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600U);
    EXPECT_EQ(lines_of(read_path(file() + ".1")).size(), 1U);
    EXPECT_EQ(lines_of(read_path(file() + ".2")).size(), 1U);
    EXPECT_THAT(told_, testing::ElementsAre(opened_again, opened_again, opened_again));
}

TEST_F(AuditFileTest, WhereItCanNotBeMadeNothingIsWrittenAndOnceSaid) {
    const std::string problem = "audit file " + file() +
                                ": it was removed, renamed or replaced: it is a directory, not a "
                                "regular file; remove it, or give the path of a file";
    std::filesystem::remove(file());
    std::filesystem::create_directory(file());
    EXPECT_FALSE(audit_->write(denied(caller_)));
    EXPECT_FALSE(audit_->write(denied(caller_)));
    const auto ready = audit_->ready();
    ASSERT_FALSE(ready);
    EXPECT_EQ(ready.error().message, problem);
    EXPECT_THAT(told_, testing::ElementsAre("! " + problem +
                                            "; no job is started until it can be written"));
    std::filesystem::remove(file());
    EXPECT_TRUE(audit_->ready());
    ASSERT_TRUE(audit_->write(denied(caller_)));
    const auto records = lines();
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[1]["event"], "records-lost");
    EXPECT_EQ(records[1]["count"], 2);
    EXPECT_EQ(told_.back(), "audit file " + file() + ": it is written again");
}

TEST_F(AuditTest, AFullDiskSaysSoAndLeavesNoHalfLine) {
    auto audit = open();
    ASSERT_TRUE(audit->write(denied(caller_)));
    const auto size = std::filesystem::file_size(file());
    // The limit stands for the full disk: the next record fits only in part.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{size + 10, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_FALSE(audit->write(denied(caller_)));
    const auto ready = audit->ready();
    ASSERT_FALSE(ready);
    EXPECT_EQ(ready.error().message,
              "audit file " + file() + ": No space left on device; make room on that file system");
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(std::filesystem::file_size(file()), size);
    ASSERT_TRUE(audit->write(denied(caller_)));
    const auto records = lines();
    ASSERT_EQ(records.size(), 3U);
    EXPECT_EQ(records[2]["event"], "records-lost");
    EXPECT_EQ(records[2]["count"], 1);
}

TEST_F(AuditTest, DenialsAreSummedStartsNever) {
    auto audit = open();
    AuditEvent start = denied(caller_);
    start.kind = AuditEvent::Kind::job_started;
    for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(audit->write(denied(caller_)));
        EXPECT_TRUE(audit->write(start));
    }
    std::size_t denials = 0;
    std::size_t starts = 0;
    for (const Json& line : lines()) {
        denials += line["event"] == "call-denied" ? 1 : 0;
        starts += line["event"] == "job-started" ? 1 : 0;
    }
    EXPECT_EQ(denials, 20U);
    EXPECT_EQ(starts, 50U);
}

TEST_F(AuditTest, ARecordThatIsTooLongForTheJournalHoldsUpNoOther) {
    const UniqueFd journal = bind_journal();
    auto sink = open_audit_journal(event_.get(), folder_ / "journal");
    ASSERT_TRUE(sink) << sink.error().message;
    Audit audit(event_.get(), std::move(*sink));
    AuditEvent event = denied(caller_);
    event.kind = AuditEvent::Kind::job_started;
    event.arguments = {{"text", std::string(1'000'000, 'x')}};
    EXPECT_FALSE(audit.write(event));
    event.arguments = {{"text", "x"}};
    EXPECT_TRUE(audit.write(event));
    std::array<char, 4096> packet{};
    ssize_t length = ::recv(journal.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    ASSERT_GT(length, 0);
    const std::string_view first(packet.data(), static_cast<std::size_t>(length));
    EXPECT_NE(first.find("POSTERN_ARGUMENTS={\"text\":\"x\"}\n"), std::string_view::npos);
    length = ::recv(journal.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    ASSERT_GT(length, 0);
    EXPECT_EQ(std::string_view(packet.data(), static_cast<std::size_t>(length)).substr(0, 30),
              "MESSAGE=1 audit records were l");
}

TEST_F(AuditTest, AFloodOfDenialsKeepsNoStartFromBeingRecorded) {
    const UniqueFd journal = bind_journal();
    auto sink = open_audit_journal(event_.get(), folder_ / "journal");
    ASSERT_TRUE(sink) << sink.error().message;
    Audit audit(event_.get(), std::move(*sink));
    AuditEvent event = denied(caller_);
    bool all_taken = true;
    for (std::uint64_t i = 0; i < 100'000 && all_taken; ++i) {
        if (i % DenialWindow::most_single == 0) ++caller_.uid;
        all_taken = audit.write(event);
    }
    EXPECT_FALSE(all_taken);
    event.kind = AuditEvent::Kind::job_started;
    int started = 0;
    while (started < 100'000 && audit.write(event)) ++started;
    EXPECT_EQ(started, 1024);
}

// A journald that stands still takes some hundred packets and then none: nothing blocks, a bounded
// number waits, and then a start is not admitted.
TEST_F(AuditTest, AJournalThatStandsStillBlocksNothing) {
    const UniqueFd journal = bind_journal();
    auto sink = open_audit_journal(event_.get(), folder_ / "journal");
    ASSERT_TRUE(sink) << sink.error().message;
    Audit audit(event_.get(), std::move(*sink));
    AuditEvent start = denied(caller_);
    start.kind = AuditEvent::Kind::job_started;
    int taken = 0;
    while (taken < 100'000 && audit.write(start)) ++taken;
    EXPECT_GT(taken, 1024);
    EXPECT_LT(taken, 100'000);
    // How the jobs end that were started is still taken, within a bound as well.
    AuditEvent end = start;
    end.kind = AuditEvent::Kind::job_ended;
    int ended = 0;
    while (ended < 100'000 && audit.write(end)) ++ended;
    EXPECT_EQ(ended, 16384);
    EXPECT_FALSE(audit.write(start));
    taken += ended;
    // It runs again: everything that waited arrives.
    int arrived = 0;
    std::array<char, 8192> packet{};
    for (int turn = 0; arrived < taken && turn < 20'000; ++turn) {
        ssize_t length = 0;
        while ((length = ::recv(journal.get(), packet.data(), packet.size(), MSG_DONTWAIT)) > 0) {
            if (arrived == 0) {
                const std::string text(packet.data(), static_cast<std::size_t>(length));
                EXPECT_THAT(text, HasSubstr("\nPOSTERN_ACTION=web.restart\n"));
                EXPECT_THAT(text, HasSubstr("\nPOSTERN_UID=1000\n"));
                EXPECT_THAT(text, HasSubstr("\nPOSTERN_EVENT=job-started\n"));
            }
            ++arrived;
        }
        ASSERT_GE(sd_event_run(event_.get(), 200'000), 0);
    }
    EXPECT_EQ(arrived, taken);
}

}  // namespace
}  // namespace postern
