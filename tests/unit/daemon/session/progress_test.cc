#include "daemon/session/progress.h"

#include <gtest/gtest.h>

namespace postern::session {
namespace {

using Offsets = Progress::Offsets;

constexpr Progress::Clock::time_point start{};

std::optional<Offsets> told(Progress& progress, std::uint64_t bytes, bool all,
                            Progress::Clock::time_point now = start) {
    const auto taken = progress.sent(bytes, all, now);
    if (!taken) return std::nullopt;
    return Offsets{taken->stdout_offset, taken->stderr_offset};
}

TEST(Progress, WhatIsOnlyQueuedIsNotTaken) {
    Progress progress;
    EXPECT_EQ(told(progress, 100, true), std::nullopt);
    progress.queued(120, {5, 0});
    progress.queued(140, {5, 7});
    EXPECT_EQ(told(progress, 119, true), std::nullopt);
    // Part of it: more is on its way.
    EXPECT_EQ(told(progress, 139, true), std::nullopt);
    EXPECT_EQ(told(progress, 140, false), std::nullopt);
    EXPECT_EQ(told(progress, 140, true), (Offsets{5, 7}));
    EXPECT_EQ(told(progress, 140, true), std::nullopt) << "nothing is new";
}

TEST(Progress, IsToldInSteps) {
    Progress progress;
    for (std::uint64_t n = 1; n <= 10; ++n) progress.queued(n, {n * Progress::step / 4, 0});
    EXPECT_EQ(told(progress, 3, false), std::nullopt);
    EXPECT_EQ(told(progress, 4, false), (Offsets{Progress::step, 0}));
    EXPECT_EQ(told(progress, 7, false), std::nullopt);
    EXPECT_EQ(told(progress, 9, false), (Offsets{Progress::step / 4 * 9, 0}));
    EXPECT_EQ(told(progress, 10, true), (Offsets{Progress::step / 4 * 10, 0}));
    // Of both streams together.
    progress.queued(11, {Progress::step / 4 * 12, Progress::step / 2});
    EXPECT_EQ(told(progress, 11, false), (Offsets{Progress::step / 4 * 12, Progress::step / 2}));
}

TEST(Progress, OfOneThatIsSlowIsToldNowAndThen) {
    Progress progress;
    for (std::uint64_t n = 1; n <= 5; ++n) progress.queued(n, {n, 0});
    const auto almost = start + Progress::patience - std::chrono::nanoseconds(1);
    EXPECT_EQ(told(progress, 1, false, almost), std::nullopt);
    EXPECT_EQ(told(progress, 2, false, start + Progress::patience), (Offsets{2, 0}));
    EXPECT_EQ(told(progress, 3, false, almost + Progress::patience), std::nullopt);
    EXPECT_EQ(told(progress, 4, false, start + 2 * Progress::patience), (Offsets{4, 0}));
    EXPECT_EQ(told(progress, 4, false, start + 9 * Progress::patience), std::nullopt);
}

TEST(Progress, WhatIsNotWantedCountsAsTakenToTheEnd) {
    Progress progress;
    progress.queued(0, {not_awaited, 0});
    EXPECT_EQ(told(progress, 0, false), (Offsets{not_awaited, 0}));
    progress.queued(0, {not_awaited, not_awaited});
    EXPECT_EQ(told(progress, 0, false), (Offsets{not_awaited, not_awaited}));
}

}  // namespace
}  // namespace postern::session
