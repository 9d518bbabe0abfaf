#include "base/duration.h"

#include <gtest/gtest.h>

#include <string>

namespace postern {
namespace {

TEST(Duration, Read) {
    struct Row {
        const char* text;
        std::uint64_t usec;
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
        {"18446744073709551615us", 18'446'744'073'709'551'615ULL},
    };
    for (const Row& row : rows) {
        const auto duration = parse_duration(row.text);
        ASSERT_TRUE(duration) << row.text;
        EXPECT_EQ(*duration, row.usec) << row.text;
    }
}

TEST(Duration, RefusedWithTheReason) {
    for (const char* text : {"",      " ",     "s",     "-1s",  "+1s",    "1.5s",     "30 s",
                             "30s ",  " 30s",  "1m",    "1w",   "30S",    "30sec",    "1min 1h",
                             "1s 1s", "30 10", "1h 30", "0x10", "1s,2ms", "1h  30min"}) {
        const auto duration = parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_EQ(duration.error().message,
                  '"' + std::string(text) +
                      "\" is not a span of time; write for example 30s, 5min, \"1h 30min\" or a "
                      "number of seconds");
    }
    for (const char* text : {"18446744073709551616us", "18446744073710s", "99999999999999999999",
                             "213503982334601d 8h"}) {
        const auto duration = parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_EQ(duration.error().message,
                  '"' + std::string(text) + "\" is too long a span of time");
    }
}

TEST(Duration, ShownSoThatItReadsBack) {
    EXPECT_EQ(show_duration(0), "0s");
    EXPECT_EQ(show_duration(1), "1us");
    EXPECT_EQ(show_duration(30'000'000), "30s");
    EXPECT_EQ(show_duration(5'400'000'000), "1h 30min");
    for (const std::uint64_t usec : {1ULL, 999'999ULL, 93'784'005'006ULL, ~0ULL}) {
        EXPECT_EQ(parse_duration(show_duration(usec)).value(), usec);
    }
}

}  // namespace
}  // namespace postern
