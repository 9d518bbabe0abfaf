#include <gtest/gtest.h>

#include "daemon/guard/config/limits.h"

namespace postern {
namespace {

TEST(Limits, HaveTheirDefaults) {
    const std::vector<std::pair<std::string, std::string>> expected = {
        {"connections-per-uid", "256"},
        {"connections", "16384"},
        {"sessions-per-uid", "8"},
        {"sessions", "512"},
        {"session-idle", "30s"},
        {"idle-exit", "1min"},
        {"jobs-per-uid", "32"},
        {"jobs", "512"},
        {"startsPerUser", "20"},
        {"records-per-uid", "256"},
        {"records", "4096"},
        {"kill-grace", "10s"},
        {"reply-output", "32 KiB"},
        {"stored-output", "64 MiB"},
        {"stored-output-per-uid", "half of storedOutputTotal"},
        {"storedOutputTotal", "1 GiB, or 10 % of the file system if that is less"},
        {"timeout", "1h"}};
    EXPECT_EQ(show_limits(Limits{}), expected);
}

TEST(Limits, AreSetByName) {
    Limits limits;
    EXPECT_TRUE(set_limit(limits, "connections-per-uid", "12"));
    EXPECT_TRUE(set_limit(limits, "session-idle", "500ms"));
    EXPECT_TRUE(set_limit(limits, "stored-output", "1MiB"));
    EXPECT_EQ(limits.connections_per_uid, 12U);
    EXPECT_EQ(limits.session_idle.count(), 500'000);
    EXPECT_EQ(limits.stored_output, 1U << 20);
}

TEST(Limits, AreAlsoWrittenWithDashes) {
    Limits limits;
    EXPECT_TRUE(set_limit(limits, "startsPerUser", "7"));
    EXPECT_EQ(limits.starts_per_user, 7U);
    EXPECT_TRUE(set_limit(limits, "starts-per-user", "8"));
    EXPECT_EQ(limits.starts_per_user, 8U);
    EXPECT_EQ(set_limit(limits, "starts-per-user", "0").error().message,
              "limit starts-per-user: \"0\" is out of bounds; take a value from 1 to 10000");
}

TEST(Limits, SayWhatIsWrong) {
    Limits limits;
    EXPECT_EQ(set_limit(limits, "sessions", "0").error().message,
              "limit sessions: \"0\" is out of bounds; take a value from 1 to 16384");
    EXPECT_EQ(set_limit(limits, "sessions", "many").error().message,
              "limit sessions: \"many\" is not a whole number");
    EXPECT_EQ(set_limit(limits, "sessions", "-1").error().message,
              "limit sessions: \"-1\" is not a whole number");
    EXPECT_EQ(set_limit(limits, "session", "1").error().message,
              "limit \"session\": no such limit; there are connections-per-uid, connections, "
              "sessions-per-uid, sessions, session-idle, idle-exit, jobs-per-uid, jobs, "
              "startsPerUser, records-per-uid, records, kill-grace, reply-output, stored-output, "
              "stored-output-per-uid, storedOutputTotal, timeout");
    EXPECT_FALSE(set_limit(limits, "timeout", "soon"));
}

}  // namespace
}  // namespace postern
