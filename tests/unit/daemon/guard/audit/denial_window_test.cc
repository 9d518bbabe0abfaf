#include <gtest/gtest.h>

#include "daemon/guard/audit/denial_window.h"

namespace postern {
namespace {

DenialWindow::Time after(std::int64_t microseconds) {
    return DenialWindow::Time(std::chrono::microseconds(microseconds));
}

TEST(DenialWindow, SumsAfterTwentyInTenSeconds) {
    DenialWindow window;
    for (std::int64_t i = 0; i < 20; ++i) EXPECT_TRUE(window.single(1000, 1000, 1, after(i)));
    for (std::int64_t i = 20; i < 25; ++i) EXPECT_FALSE(window.single(1000, 1000, 1, after(i)));
    EXPECT_TRUE(window.ended(after(9'999'999)).empty());
    const auto sums = window.ended(after(10'000'000));
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(sums[0].uid, 1000U);
    EXPECT_EQ(sums[0].count, 5U);
    EXPECT_FALSE(window.open());
    EXPECT_TRUE(window.single(1000, 1000, 1, after(10'000'001)));
}

TEST(DenialWindow, TellsUsersApartAndNotTheirGroups) {
    DenialWindow window;
    for (gid_t gid = 0; gid < 30; ++gid) (void)window.single(1000, gid, 1, after(0));
    EXPECT_TRUE(window.single(1001, 1000, 1, after(0)));
    EXPECT_FALSE(window.single(1000, 1001, 1, after(0)));
    const auto sums = window.ended(after(10'000'000));
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(sums[0].uid, 1000U);
    EXPECT_EQ(sums[0].gid, 0U);
    EXPECT_EQ(sums[0].count, 11U);
}

TEST(DenialWindow, ManyOfOneKindDoNotHideAnother) {
    DenialWindow window;
    for (int i = 0; i < 30; ++i) (void)window.single(1000, 1000, 1, after(0));
    EXPECT_TRUE(window.single(1000, 1000, 2, after(0)));
    const auto sums = window.ended(after(10'000'000));
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(sums[0].kind, 1);
}

TEST(DenialWindow, HoldsABoundedNumberOfCallers) {
    DenialWindow window;
    for (uid_t uid = 0; uid < 100'000; ++uid) (void)window.single(uid, uid, 1, after(0));
    const auto sums = window.ended(after(10'000'000));
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(sums[0].uid, static_cast<uid_t>(-1));
    EXPECT_EQ(sums[0].count, 100'000 - DenialWindow::most_windows - DenialWindow::most_single);
}

TEST(DenialWindow, SaysNothingWhereNothingWasSummed) {
    DenialWindow window;
    EXPECT_TRUE(window.single(1, 1, 1, after(0)));
    EXPECT_TRUE(window.ended(after(10'000'000)).empty());
}

}  // namespace
}  // namespace postern
