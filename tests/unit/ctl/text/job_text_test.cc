#include "ctl/text/job_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

namespace postern::ctl {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;
using testing::Pair;

json some_job() {
    return {{"job", "3f1c09a2000000000000000000000000"},
            {"action", "web.restart"},
            {"state", "ended"},
            {"createdAt", 1'793'534'400'000'000},
            {"uid", 4'000'000'000},
            {"pid", 42},
            {"user", "alice"},
            {"gid", 4'000'000'001},
            {"callerUnit", "cron.service"},
            {"listener", "/run/postern/postern.sock"},
            {"rule", "allow user alice"},
            {"rulePlace", "/etc/postern/actions/web.json:7"},
            {"arguments", {{"password", "(secret)"}, {"service", "a\nb"}}},
            {"stdoutBytes", 70'000},
            {"stdoutStored", 65'536},
            {"stderrBytes", 1},
            {"stderrStored", 1},
            {"result",
             {{"outcome", "exited"},
              {"exitCode", 3},
              {"startedAt", 1'793'534'401'000'000},
              {"endedAt", 1'793'534'403'500'000},
              {"cpuMicroseconds", 1'250'000},
              {"maxResidentKiB", 3072},
              {"endedProcesses", 1},
              {"stderrLostFrom", 1}}}};
}

class CtlJobText : public testing::Test {
  protected:
    CtlJobText() {
        setenv("TZ", "UTC0", 1);
        tzset();
    }
};

TEST_F(CtlJobText, AllThatIsKnownIsShown) {
    EXPECT_THAT(
        job_rows(some_job()),
        ElementsAre(Pair("job", "3f1c09a2000000000000000000000000"), Pair("action", "web.restart"),
                    Pair("state", "exit 3"), Pair("argument", "password=(secret)"),
                    Pair("argument", "service=a\\u000ab"),
                    Pair("user", "4000000000 (alice), group 4000000001"), Pair("process", "42"),
                    Pair("unit", "cron.service"), Pair("socket", "/run/postern/postern.sock"),
                    Pair("rule", "allow user alice (/etc/postern/actions/web.json:7)"),
                    Pair("created", "2026-11-01 12:00:00"), Pair("started", "2026-11-01 12:00:01"),
                    Pair("ended", "2026-11-01 12:00:03, after 2s 500ms"),
                    Pair("left behind", "1 process, ended with it"),
                    Pair("processor time", "1s 250ms"), Pair("peak memory", "3072 KiB"),
                    Pair("stdout", "70000 bytes, 65536 of them still stored"),
                    Pair("stderr", "1 byte, lost from byte 1 on")));
}

TEST_F(CtlJobText, AListIsShownAsJson) {
    auto job = some_job();
    job["arguments"] = {{"what", {"srv", "a\"\nb"}}, {"none", json::array()}, {"odd", 7}};
    EXPECT_THAT(job_rows(job), Contains(Pair("argument", R"(what=["srv","a\"\nb"])")));
    EXPECT_THAT(job_rows(job), Contains(Pair("argument", "none=[]")));
    EXPECT_THAT(job_rows(job), Contains(Pair("argument", "odd=?")));
}

TEST_F(CtlJobText, WhenALostJobEndedIsNotKnown) {
    auto job = some_job();
    job["result"]["outcome"] = "lost";
    EXPECT_THAT(job_rows(job), Contains(Pair("ended", "at the latest 2026-11-01 12:00:03")));
    EXPECT_EQ(job_time_text(job), "-");
}

TEST_F(CtlJobText, WhatHasFailedIsTold) {
    auto job = some_job();
    EXPECT_TRUE(job_has_failed(job));
    job["result"]["exitCode"] = 0;
    EXPECT_FALSE(job_has_failed(job));
    for (const char* outcome : {"signaled", "timeout", "disconnected", "stopped", "lost",
                                "out-of-memory", "something newer"}) {
        job["result"]["outcome"] = outcome;
        EXPECT_TRUE(job_has_failed(job)) << outcome;
    }
    // One that was cancelled before it began has a result too.
    EXPECT_TRUE(job_has_failed({{"state", "failed"}, {"result", {{"endedAt", 1}}}}));
    EXPECT_TRUE(job_has_failed({{"state", "failed"}}));
    EXPECT_FALSE(job_has_failed({{"state", "running"}}));
    EXPECT_FALSE(job_has_failed({{"state", "starting"}}));
    EXPECT_FALSE(job_has_failed(json::object()));
}

TEST_F(CtlJobText, WhatIsNotKnownIsLeftOutForPrograms) {
    EXPECT_EQ(known_of_job(some_job()), some_job());
    auto job = some_job();
    job["result"]["maxResidentKiB"] = 0;
    job["result"]["startedAt"] = 0;
    auto known = some_job();
    known["result"].erase("maxResidentKiB");
    known["result"].erase("startedAt");
    EXPECT_EQ(known_of_job(job), known);
    EXPECT_EQ(known_of_job(7), 7);
    EXPECT_EQ(known_of_job({{"result", 7}}), (json{{"result", 7}}));
}

TEST_F(CtlJobText, WhoHasCancelledItIsShownWhetherItBeganOrNot) {
    for (const char* state : {"ended", "failed"}) {
        auto job = some_job();
        job["state"] = state;
        job["result"]["cancelledBy"] = {{"uid", 1000}, {"user", "anna"}};
        EXPECT_THAT(job_rows(job), Contains(Pair("cancelled by", "anna (uid 1000)"))) << state;
    }
    EXPECT_THAT(job_rows(some_job()), Not(Contains(Pair("cancelled by", testing::_))));
}

TEST_F(CtlJobText, WhatIsNotKnownIsLeftOut) {
    json job = {{"job", "3f1c"},
                {"action", "web.restart"},
                {"state", "failed"},
                {"createdAt", 1'793'534'400'000'000},
                {"message", "the program could not be started"}};
    const auto is_all = ElementsAre(Pair("job", "3f1c"), Pair("action", "web.restart"),
                                    Pair("state", "failed: the program could not be started"),
                                    Pair("created", "2026-11-01 12:00:00"));
    EXPECT_THAT(job_rows(job), is_all);
    EXPECT_EQ(job_time_text(job), "-");
    job["result"] = {{"outcome", "lost"}, {"endedAt", 1'793'534'400'000'000}};
    EXPECT_THAT(job_rows(job), is_all) << "it was cancelled before it began";
    EXPECT_EQ(job_time_text(job), "-");
}

TEST_F(CtlJobText, AStateIsOneOrTwoWords) {
    json job = some_job();
    EXPECT_EQ(job_state_text(job), "exit 3");
    EXPECT_EQ(job_time_text(job), "2s");
    job["result"] = {{"outcome", "signaled"}, {"signal", 9}};
    EXPECT_EQ(job_state_text(job), "signal 9 (KILL)");
    for (const char* outcome : {"timeout", "lost", "out-of-memory", "of-a-later-version"}) {
        job["result"] = {{"outcome", outcome}, {"signal", 15}};
        EXPECT_EQ(job_state_text(job), outcome);
    }
    EXPECT_EQ(job_time_text(job), "-") << "it is not known when it was started";
    job.erase("result");
    job["state"] = "running";
    EXPECT_EQ(job_state_text(job), "running");
}

}  // namespace
}  // namespace postern::ctl
