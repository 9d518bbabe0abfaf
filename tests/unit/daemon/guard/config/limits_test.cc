#include <gtest/gtest.h>

#include <array>

#include "daemon/guard/config/limits.h"
#include "tests/unit/json_keys.h"

namespace postern {
namespace {

TEST(Limits, HaveTheirDefaults) {
    const std::vector<std::pair<std::string, std::string>> expected = {
        {"connectionsPerUser", "256"},
        {"connections", "16384"},
        {"sessionsPerUser", "8"},
        {"sessions", "512"},
        {"sessionIdle", "30s"},
        {"idleExit", "1min"},
        {"jobsPerUser", "32"},
        {"jobs", "512"},
        {"startsPerUser", "20"},
        {"recordsPerUser", "256"},
        {"records", "4096"},
        {"spares", "8"},
        {"killGrace", "10s"},
        {"followerStall", "1min"},
        {"replyOutput", "32 KiB"},
        {"storedOutput", "64 MiB"},
        {"storedOutputPerUser", "half of storedOutputTotal"},
        {"storedOutputTotal", "1 GiB, or 10% of the file system if that is less"},
        {"timeout", "1h"}};
    EXPECT_EQ(show_limits(Limits{}), expected);
}

TEST(Limits, AreSpelledLikeAllKeys) {
    for (const auto& [name, value] : show_limits(Limits{})) {
        EXPECT_TRUE(is_camel_case(name)) << name;
        EXPECT_EQ(name.find("Uid"), std::string::npos) << name << ": users are counted";
    }
}

TEST(Limits, AreSetByName) {
    Limits limits;
    EXPECT_TRUE(set_limit(limits, "connectionsPerUser", "12"));
    EXPECT_TRUE(set_limit(limits, "sessionIdle", "500ms"));
    EXPECT_TRUE(set_limit(limits, "storedOutput", "1MiB"));
    EXPECT_EQ(limits.connections_per_user, 12U);
    EXPECT_EQ(limits.session_idle.count(), 500'000);
    EXPECT_EQ(limits.stored_output, 1U << 20);
}

// Never 0: somebody who takes nothing would hold a job for ever.
TEST(Limits, AFollowersPatienceIsBounded) {
    Limits limits;
    EXPECT_TRUE(set_limit(limits, "followerStall", "1s"));
    EXPECT_EQ(limits.follower_stall, std::chrono::seconds(1));
    EXPECT_TRUE(set_limit(limits, "followerStall", "1h"));
    for (const char* value : {"0", "999ms", "61min"}) {
        EXPECT_EQ(set_limit(limits, "followerStall", value).error().message,
                  "limit followerStall: \"" + std::string(value) +
                      "\" is out of range; give a value from 1s to 1h");
    }
    EXPECT_FALSE(set_limit(limits, "follower-stall", "1s")) << "no version spelled it so";
}

TEST(Limits, OlderSpellingsAreStillRead) {
    struct Spelling {
        const char* before;
        const char* name;
        const char* value;
    };
    constexpr std::array<Spelling, 11> spellings = {{
        {"connections-per-uid", "connectionsPerUser", "7"},
        {"sessions-per-uid", "sessionsPerUser", "7"},
        {"session-idle", "sessionIdle", "7s"},
        {"idle-exit", "idleExit", "7s"},
        {"jobs-per-uid", "jobsPerUser", "7"},
        {"starts-per-user", "startsPerUser", "7"},
        {"records-per-uid", "recordsPerUser", "7"},
        {"kill-grace", "killGrace", "7s"},
        {"reply-output", "replyOutput", "7 KiB"},
        {"stored-output", "storedOutput", "7 KiB"},
        {"stored-output-per-uid", "storedOutputPerUser", "7 KiB"},
    }};
    for (const auto& [before, name, value] : spellings) {
        auto expected = show_limits(Limits{});
        for (auto& [shown, bound] : expected) {
            if (shown == name) bound = value;
        }
        Limits limits;
        EXPECT_TRUE(set_limit(limits, before, value)) << before;
        EXPECT_EQ(show_limits(limits), expected) << before;
    }
}

TEST(Limits, AreNamedAsTheyWereGivenToo) {
    Limits limits;
    EXPECT_EQ(set_limit(limits, "jobs-per-uid", "0").error().message,
              "limit jobsPerUser (given as jobs-per-uid): \"0\" is out of range; give a value from "
              "1 to 4096");
}

// What no version has ever read.
TEST(Limits, AreNotReadInEverySpelling) {
    Limits limits;
    for (const char* name : {"jobsPerUid", "jobs-per-user", "starts-per-uid", "JobsPerUser", ""}) {
        EXPECT_FALSE(set_limit(limits, name, "7")) << name;
    }
}

TEST(Limits, SayWhatIsWrong) {
    Limits limits;
    EXPECT_EQ(set_limit(limits, "sessions", "0").error().message,
              "limit sessions: \"0\" is out of range; give a value from 1 to 16384");
    EXPECT_EQ(set_limit(limits, "sessions", "many").error().message,
              "limit sessions: \"many\" is not a whole number; give one from 1 to 16384");
    EXPECT_EQ(set_limit(limits, "sessions", "-1").error().message,
              "limit sessions: \"-1\" is not a whole number; give one from 1 to 16384");
    EXPECT_EQ(set_limit(limits, "session", "1").error().message,
              "limit \"session\": no such limit; did you mean \"sessions\"?");
    EXPECT_EQ(
        set_limit(limits, "nonsense", "1").error().message,
        "limit \"nonsense\": no such limit; use one of connectionsPerUser, connections, "
        "sessionsPerUser, sessions, sessionIdle, idleExit, jobsPerUser, jobs, startsPerUser, "
        "recordsPerUser, records, spares, killGrace, followerStall, replyOutput, storedOutput, "
        "storedOutputPerUser, storedOutputTotal, timeout");
    EXPECT_EQ(set_limit(limits, "timeout", "soon").error().message,
              "limit timeout: \"soon\" is not a duration; write for example 30s, 5min, "
              "\"1h 30min\" or a number of seconds, from 1ms to 30d");
    EXPECT_EQ(
        set_limit(limits, "storedOutput", "much").error().message,
        "limit storedOutput: \"much\" is not a size; write for example 64MiB, 32K or a number "
        "of bytes, from 4 KiB to 1 TiB");
}

// Whatever is wrong: the value, and what may be. Nothing is said twice.
TEST(Limits, SayWhatIsValidWhateverIsGiven) {
    for (const auto& [name, value] : show_limits(Limits{})) {
        for (const std::string given :
             {"abc", "-1", "1G", "5m", "", "1.5", "99999999999999999999", "1e3"}) {
            Limits limits;
            const auto set = set_limit(limits, name, given);
            if (set) continue;
            const std::string message = set.error().message;
            const std::string quoted = '"' + given + '"';
            EXPECT_TRUE(message.starts_with("limit " + name + ": " + quoted + " is ")) << message;
            EXPECT_EQ(message.find(quoted, message.find(quoted) + 1), std::string::npos) << message;
            const std::size_t from = message.rfind("from ");
            ASSERT_NE(from, std::string::npos) << message;
            // What it says may be given, can be.
            const std::size_t to = message.rfind(" to ");
            EXPECT_TRUE(set_limit(limits, name, message.substr(from + 5, to - from - 5)))
                << message;
            EXPECT_TRUE(set_limit(limits, name, message.substr(to + 4))) << message;
        }
    }
    Limits limits;
    EXPECT_EQ(set_limit(limits, "timeout", "5m").error().message,
              "limit timeout: \"5m\" is not a duration; write 5min, from 1ms to 30d");
    EXPECT_EQ(set_limit(limits, "sessions", "99999999999999999999").error().message,
              "limit sessions: \"99999999999999999999\" is out of range; give a value from 1 to "
              "16384");
}

}  // namespace
}  // namespace postern
