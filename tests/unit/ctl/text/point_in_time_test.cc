#include "ctl/text/point_in_time.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace postern::ctl {
namespace {

constexpr std::int64_t sec = 1'000'000;
constexpr std::int64_t now_usec = 1'795'525'093 * sec;  // 2026-11-24 12:58:13 UTC

class PointInTime : public testing::Test {
  protected:
    PointInTime() { use_zone("UTC0"); }
    static void use_zone(const char* zone) {
        setenv("TZ", zone, 1);
        tzset();
    }
};

TEST_F(PointInTime, SpansCountBackFromNow) {
    EXPECT_EQ(*parse_point_in_time("30s", now_usec), now_usec - 30 * sec);
    EXPECT_EQ(*parse_point_in_time("10m", now_usec), now_usec - 600 * sec);
    EXPECT_EQ(*parse_point_in_time("10min", now_usec), now_usec - 600 * sec);
    EXPECT_EQ(*parse_point_in_time("2h", now_usec), now_usec - 7200 * sec);
    EXPECT_EQ(*parse_point_in_time("1d", now_usec), now_usec - 86'400 * sec);
    EXPECT_EQ(*parse_point_in_time("1h 30min", now_usec), now_usec - 5400 * sec);
}

TEST_F(PointInTime, DatesAreOfTheLocalClock) {
    EXPECT_EQ(*parse_point_in_time("2026-11-01", now_usec), 1'793'491'200 * sec);
    EXPECT_EQ(*parse_point_in_time("2026-11-01 12:00", now_usec), 1'793'534'400 * sec);
    EXPECT_EQ(*parse_point_in_time("2026-11-01 12:00:05", now_usec), 1'793'534'405 * sec);
    use_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    EXPECT_EQ(*parse_point_in_time("2026-11-01 12:00", now_usec), 1'793'530'800 * sec);
    // Where clocks are an hour ahead.
    EXPECT_EQ(*parse_point_in_time("2026-07-01 12:00", now_usec), 1'782'900'000 * sec);
    EXPECT_EQ(point_in_time_text(1'782'900'000 * sec), "2026-07-01 12:00:00");
}

TEST_F(PointInTime, WhatIsNoneIsNamed) {
    for (const char* text :
         {"", "yesterday", "m", "-5s", "10m ", "2026-11", "2026-02-30", "2026-13-01",
          "2026-11-01T12:00", "2026-11-01 25:00", "99999999999d"}) {
        const auto parsed = parse_point_in_time(text, now_usec);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().message,
                  "\"" + std::string(text) +
                      "\" is not a point in time; write for example 10m, 2h or 1d (an age), "
                      "2026-11-01 or \"2026-11-01 12:00\"");
    }
}

TEST_F(PointInTime, IsShownToTheSecond) {
    EXPECT_EQ(point_in_time_text(1'793'534'405 * sec + 999'999), "2026-11-01 12:00:05");
}

}  // namespace
}  // namespace postern::ctl
