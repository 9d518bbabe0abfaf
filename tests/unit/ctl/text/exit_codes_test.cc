#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "ctl/text/exit_codes.h"
#include "ctl/text/job_end.h"

namespace postern::ctl {
namespace {

using nlohmann::json;

TEST(CtlExitCode, OfErrors) {
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.NotGranted"), 126);
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.NotByDatagram"), 122);
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.NotDetachable"), 122);
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.InvalidArgument"), 122);
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.InvalidMessage"), 122);
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.LimitReached"), 123);
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.Unavailable"), 123);
    EXPECT_EQ(exit_code_of_error("org.postern.Actions.StartFailed"), 127);
    EXPECT_EQ(exit_code_of_error("org.postern.Jobs.JobEnded"), 122);
    EXPECT_EQ(exit_code_of_error("org.postern.Jobs.InvalidSignal"), 122);
    EXPECT_EQ(exit_code_of_error("org.postern.Jobs.NoSuchJob"), 126);
    EXPECT_EQ(exit_code_of_error("org.postern.Jobs.AmbiguousJob"), 122);
    EXPECT_EQ(exit_code_of_error("org.varlink.service.InvalidParameter"), 122);
    EXPECT_EQ(exit_code_of_error("org.varlink.service.PermissionDenied"), 126);
    EXPECT_EQ(exit_code_of_error("org.varlink.service.MethodNotFound"), 125);
    EXPECT_EQ(exit_code_of_error("NotGranted"), 125);
    EXPECT_EQ(exit_code_of_error(""), 125);
}

TEST(CtlExitCode, OfSignals) {
    EXPECT_EQ(exit_code_of_signal(SIGHUP), exit_code::hung_up);
    EXPECT_EQ(exit_code_of_signal(SIGINT), exit_code::interrupted);
    EXPECT_EQ(exit_code_of_signal(SIGTERM), exit_code::terminated);
}

TEST(CtlExitCode, OfJobs) {
    EXPECT_EQ(exit_code_of_job({"exited", 0, {}}), 0);
    EXPECT_EQ(exit_code_of_job({"exited", 255, {}}), 255);
    EXPECT_EQ(exit_code_of_job({"exited", {}, {}}), 125);
    EXPECT_EQ(exit_code_of_job({"signaled", {}, 9}), 137);
    EXPECT_EQ(exit_code_of_job({"timeout", {}, 15}), 124);
    EXPECT_EQ(exit_code_of_job({"timeout", {}, {}}), 124);
    EXPECT_EQ(exit_code_of_job({"stopped", {}, 15}), 143);
    EXPECT_EQ(exit_code_of_job({"stopped", {}, {}}), 125);
    EXPECT_EQ(exit_code_of_job({"disconnected", {}, 9}), 137);
    EXPECT_EQ(exit_code_of_job({"lost", {}, 9}), 125);
    EXPECT_EQ(exit_code_of_job({"out-of-memory", {}, 9}), 137);
    EXPECT_EQ(exit_code_of_job({"", {}, {}}), 125);
}

TEST(CtlJobEnd, IsDecoded) {
    const auto end = decode_job_end({{"outcome", "exited"}, {"exitCode", 3}, {"signal", nullptr}});
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(end->outcome, "exited");
    EXPECT_EQ(end->exit_code, 3);
    EXPECT_EQ(end->signal, std::nullopt);
}

TEST(CtlJobEnd, IsRefusedWhereItIsNotWhatTheInterfaceSays) {
    for (const auto& result : {json(nullptr), json::array(), json::object(), json({{"outcome", 1}}),
                               json({{"outcome", "exited"}, {"exitCode", -1}}),
                               json({{"outcome", "exited"}, {"exitCode", 256}}),
                               json({{"outcome", "exited"}, {"exitCode", "0"}}),
                               json({{"outcome", "exited"}, {"exitCode", 0.5}}),
                               json({{"outcome", "signaled"}, {"signal", 0}}),
                               json({{"outcome", "signaled"}, {"signal", 65}})}) {
        EXPECT_FALSE(decode_job_end(result).has_value()) << result;
    }
}

TEST(CtlJobEnd, SaysTheTimeOnlyWhereItIsKnown) {
    const JobEnd end{"timeout", {}, 9};
    EXPECT_EQ(describe_job_end("a", "j", end, 90),
              "a: ended by signal 9 (KILL): timed out after 1min 30s");
    EXPECT_EQ(describe_job_end("a", "j", end, {}), "a: ended by signal 9 (KILL): timed out");
}

TEST(CtlJobEnd, SaysWhoHasCancelledIt) {
    const auto said = [](json result, std::optional<long> seconds = {}) {
        result["cancelledBy"] = {{"uid", 1000}, {"user", "alice"}};
        const auto end = decode_job_end(result);
        return end ? describe_job_end("a", "j", *end, seconds) : end.error().message;
    };
    EXPECT_EQ(said({{"outcome", "signaled"}, {"signal", 15}}),
              "a: ended by signal 15 (TERM): cancelled by alice (uid 1000)");
    EXPECT_EQ(said({{"outcome", "exited"}, {"exitCode", 0}}),
              "a: exited with code 0: cancelled by alice (uid 1000)");
    EXPECT_EQ(said({{"outcome", "timeout"}, {"signal", 9}}, 30),
              "a: ended by signal 9 (KILL): timed out after 30s; cancelled by alice (uid 1000)");
    EXPECT_EQ(
        said({{"outcome", "lost"}}),
        "a: what became of job j is not known: the daemon died; cancelled by alice (uid 1000)");
    const auto nameless =
        decode_job_end({{"outcome", "exited"}, {"exitCode", 1}, {"cancelledBy", {{"uid", 7}}}});
    ASSERT_TRUE(nameless.has_value());
    EXPECT_EQ(nameless->cancelled_by, "uid 7");
    EXPECT_FALSE(decode_job_end({{"outcome", "exited"}, {"cancelledBy", {{"user", "x"}}}}));
}

}  // namespace
}  // namespace postern::ctl
