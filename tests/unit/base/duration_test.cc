#include "base/duration.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>

#include <string>

namespace postern {
namespace {

using std::chrono::microseconds;

TEST(Duration, Read) {
    struct Row {
        const char* text;
        std::int64_t usec;
    };
    const Row rows[] = {
        {"0", 0},
        {"30", 30'000'000},
        {"30s", 30'000'000},
        {"5min", 300'000'000},
        {"1h", 3'600'000'000},
        {"500ms", 500'000},
        {"7us", 7},
        {"2d", 172'800'000'000},
        {"1h 30min", 5'400'000'000},
        {"1h30min", 5'400'000'000},
        {"1d 2h 3min 4s 5ms 6us", 93'784'005'006},
        {"9223372036854775807us", 9'223'372'036'854'775'807},
    };
    for (const Row& row : rows) {
        const auto duration = parse_duration(row.text);
        ASSERT_TRUE(duration) << row.text;
        EXPECT_EQ(duration->count(), row.usec) << row.text;
    }
}

TEST(Duration, RefusedWithTheReason) {
    for (const char* text : {"",        " ",        "s",        "-1s",
                             "+1s",     "1.5s",     "30 s",     "30s ",
                             " 30s",    "1w",       "30S",      "30sec",
                             "1min 1h", "-0",       "1h -0min", "-99999999999999999999",
                             "1s 1s",   "30 10",    "1h 30",    "0x10",
                             "1s,2ms",  "1h  30min"}) {
        const auto duration = parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_EQ(duration.error().message,
                  '"' + std::string(text) +
                      "\" is not a duration; write for example 30s, 5min, \"1h 30min\" or a "
                      "number of seconds");
    }
    for (const std::string number : {"1", "05", "90"}) {
        const auto duration = parse_duration(number + "m");
        ASSERT_FALSE(duration);
        EXPECT_EQ(duration.error().message,
                  '"' + number + "m\" is not a duration; write " + number + "min");
    }
    for (const char* text : {"9223372036854775808us", "9223372036855s", "99999999999999999999",
                             "106751991167300d 5h"}) {
        const auto duration = parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_EQ(duration.error().message, '"' + std::string(text) + "\" is too long a duration");
    }
}

TEST(Duration, ShownSoThatItReadsBack) {
    EXPECT_EQ(show_duration(microseconds(0)), "0s");
    EXPECT_EQ(show_duration(microseconds(1)), "1us");
    EXPECT_EQ(show_duration(microseconds(30'000'000)), "30s");
    EXPECT_EQ(show_duration(microseconds(5'400'000'000)), "1h 30min");
    for (const std::int64_t usec : {INT64_C(1), INT64_C(999'999), INT64_C(93'784'005'006),
                                    std::numeric_limits<std::int64_t>::max()}) {
        EXPECT_EQ(parse_duration(show_duration(microseconds(usec))).value(), microseconds(usec));
    }
}

}  // namespace
}  // namespace postern
