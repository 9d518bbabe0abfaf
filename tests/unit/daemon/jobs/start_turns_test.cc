// Whose start is next, with the time as the test wants it.
#include "daemon/jobs/start_turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace postern::jobs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr uid_t a = 1;
constexpr uid_t b = 2;
constexpr uid_t c = 3;

class Turns : public testing::Test {
  protected:
    void rules(std::size_t at_once, std::uint64_t per_second = 1000, std::uint64_t burst = 2000) {
        StartRules made;
        made.at_once = at_once;
        made.per_second = per_second;
        made.burst = burst;
        turns_ = StartTurns(made);
    }
    void wait(uid_t owner, int times = 1) {
        for (; times > 0; --times) owners_[turns_.add(owner, now_)] = owner;
    }
    // Whose are next, until nobody's is.
    std::vector<uid_t> taken() {
        std::vector<uid_t> owners;
        while (const auto id = turns_.take(now_)) {
            owners.push_back(owners_.at(*id));
            under_way_.emplace_back(owners.back(), *id);
        }
        return owners;
    }
    // The oldest of this owner that is under way.
    void over(uid_t owner) {
        const auto found =
            std::ranges::find(under_way_, owner, &std::pair<uid_t, StartTurns::Id>::first);
        ASSERT_NE(found, under_way_.end());
        turns_.remove(found->second);
        under_way_.erase(found);
    }

    StartTurns turns_{StartRules{}};
    StartTurns::Time now_{seconds(1000)};
    std::map<StartTurns::Id, uid_t> owners_;
    std::vector<std::pair<uid_t, StartTurns::Id>> under_way_;
};

TEST_F(Turns, SoManyAtOnceAndInTheirOrder) {
    rules(2);
    wait(a, 5);
    EXPECT_THAT(taken(), ElementsAre(a, a));
    EXPECT_EQ(under_way_[0].second, 1U);
    EXPECT_EQ(under_way_[1].second, 2U);
    EXPECT_EQ(turns_.waiting(), 3U);
    over(a);
    EXPECT_THAT(taken(), ElementsAre(a));
    EXPECT_EQ(under_way_[1].second, 3U);
}

TEST_F(Turns, OneOfAnOwnerWhileAnotherWaits) {
    rules(2);
    wait(a, 5);
    wait(b);
    EXPECT_THAT(taken(), ElementsAre(a, b));
    over(b);
    EXPECT_THAT(taken(), ElementsAre(a)) << "nobody else waits";
    wait(b, 2);
    over(a);
    EXPECT_THAT(taken(), ElementsAre(b)) << "the other has one under way";
    over(b);
    EXPECT_THAT(taken(), ElementsAre(b));
}

TEST_F(Turns, InTurnByOwner) {
    rules(1);
    wait(a, 3);
    wait(c, 2);
    wait(b, 2);
    std::vector<uid_t> order;
    while (turns_.waiting() > 0) {
        for (const uid_t owner : taken()) order.push_back(owner);
        over(order.back());
    }
    EXPECT_THAT(order, ElementsAre(a, b, c, a, b, c, a));
}

TEST_F(Turns, InTurnByOwnerWithoutABoundToo) {
    rules(StartRules::any);
    wait(b, 3);
    wait(a, 2);
    EXPECT_THAT(taken(), ElementsAre(a, b, a, b, b));
}

TEST_F(Turns, WhoTakesTooLongIsNotWaitedFor) {
    rules(2);
    wait(a, 3);
    EXPECT_THAT(taken(), ElementsAre(a, a));
    now_ += milliseconds(100);
    EXPECT_EQ(turns_.due(now_), now_ + milliseconds(1900));
    now_ += milliseconds(1899);
    EXPECT_THAT(taken(), IsEmpty());
    now_ += milliseconds(1);
    EXPECT_THAT(taken(), ElementsAre(a));
    // Those that were forgotten come to their end all the same.
    over(a);
    over(a);
    wait(c, 3);
    EXPECT_THAT(taken(), ElementsAre(c));
}

// He can stop the processes that systemd has made for him.
TEST_F(Turns, WhoHasAllPlacesKeepsAnotherWaitingForAMomentAlone) {
    rules(2);
    wait(a, 4);
    EXPECT_THAT(taken(), ElementsAre(a, a));
    wait(b, 2);
    wait(c);
    EXPECT_THAT(taken(), IsEmpty());
    EXPECT_EQ(turns_.due(now_), now_ + milliseconds(100));
    now_ += milliseconds(99);
    EXPECT_THAT(taken(), IsEmpty());
    now_ += milliseconds(1);
    EXPECT_THAT(taken(), ElementsAre(b, c));
    // More of those who have some under way wait for a place.
    EXPECT_THAT(taken(), IsEmpty());
    now_ += milliseconds(100);
    EXPECT_THAT(taken(), IsEmpty());
    EXPECT_EQ(turns_.due(now_), now_ + seconds(2) - milliseconds(200));
    over(b);
    EXPECT_THAT(taken(), ElementsAre(b));
}

TEST_F(Turns, WhoIsRemovedWaitsNoMore) {
    rules(1);
    wait(a, 3);
    turns_.remove(2);
    turns_.remove(2);
    EXPECT_EQ(turns_.waiting(a), 2U);
    EXPECT_THAT(taken(), ElementsAre(a));
    over(a);
    EXPECT_THAT(taken(), ElementsAre(a));
    EXPECT_EQ(under_way_.back().second, 3U);
}

// ---- The rate ----

TEST_F(Turns, ABurstAndThenTheRate) {
    rules(StartRules::any, 20, 40);
    wait(a, 50);
    EXPECT_EQ(taken().size(), 40U);
    EXPECT_EQ(turns_.due(now_), now_ + milliseconds(50));
    now_ += milliseconds(49);
    EXPECT_THAT(taken(), IsEmpty());
    now_ += milliseconds(1);
    EXPECT_EQ(taken().size(), 1U);
    now_ += milliseconds(200);
    EXPECT_EQ(taken().size(), 4U);
}

TEST_F(Turns, TheBucketIsFullAgainAfterAWhile) {
    rules(StartRules::any, 20, 40);
    wait(a, 40);
    EXPECT_EQ(taken().size(), 40U);
    now_ += seconds(2);
    wait(a, 50);
    EXPECT_EQ(taken().size(), 40U);
    now_ += seconds(1000);
    EXPECT_EQ(taken().size(), 10U) << "and never more than full";
}

TEST_F(Turns, TheRateOfOneIsNotTheRateOfAnother) {
    rules(2, 1, 2);
    wait(a, 5);
    EXPECT_THAT(taken(), ElementsAre(a, a));
    over(a);
    over(a);
    wait(b, 5);
    // What waits for its rate does not count as waiting for its turn.
    EXPECT_THAT(taken(), ElementsAre(b, b));
}

TEST_F(Turns, WhetherOneMoreIsWithinTheRate) {
    rules(1, 1, 2);
    EXPECT_TRUE(turns_.within_rate(a, now_));
    wait(a);
    EXPECT_TRUE(turns_.within_rate(a, now_));
    wait(a);
    EXPECT_FALSE(turns_.within_rate(a, now_)) << "the two that wait will have the burst";
    EXPECT_TRUE(turns_.within_rate(b, now_));
    EXPECT_EQ(taken().size(), 1U);
    EXPECT_FALSE(turns_.within_rate(a, now_));
    now_ += seconds(1);
    EXPECT_TRUE(turns_.within_rate(a, now_));
}

TEST_F(Turns, WhoWaitedTooLongIsTold) {
    rules(1, 1, 2);
    wait(a, 14);
    std::size_t started = 0;
    for (; turns_.take_late(now_).empty(); now_ += seconds(1)) {
        started += taken().size();
        while (!under_way_.empty()) over(a);
        started += taken().size();
        while (!under_way_.empty()) over(a);
        ASSERT_LT(started, 14U);
    }
    EXPECT_EQ(started, 11U) << "the burst, and one each second but for the last";
    EXPECT_EQ(turns_.waiting(), 0U);
}

TEST_F(Turns, WhyItWaitedTooLong) {
    rules(1, 1, 1);
    wait(a, 2);
    EXPECT_EQ(taken().size(), 1U);
    now_ += milliseconds(500);
    wait(b);
    now_ += milliseconds(9500);
    auto late = turns_.take_late(now_);
    ASSERT_EQ(late.size(), 1U);
    EXPECT_EQ(late[0].id, 2U);
    EXPECT_FALSE(late[0].by_rate) << "there has been a token for long";
    now_ += milliseconds(500);
    late = turns_.take_late(now_);
    ASSERT_EQ(late.size(), 1U);
    EXPECT_FALSE(late[0].by_rate);

    rules(2, 1, 1);
    wait(a, 20);
    for (int second = 0; second < 10; ++second, now_ += seconds(1)) {
        EXPECT_EQ(taken().size(), 1U);
        over(a);
    }
    EXPECT_EQ(taken().size(), 1U);
    late = turns_.take_late(now_);
    ASSERT_EQ(late.size(), 9U);
    EXPECT_TRUE(late[0].by_rate);
    EXPECT_EQ(turns_.waiting(), 0U);
    EXPECT_EQ(turns_.due(now_), std::nullopt);
}

// Each start takes a second, where ten were allowed.
TEST_F(Turns, SlowStartsAreNotTakenForTheRate) {
    rules(1, 10, 20);
    wait(a, 20);
    for (int second = 0; second < 10; ++second, now_ += seconds(1)) {
        EXPECT_EQ(taken().size(), 1U);
        over(a);
    }
    const auto late = turns_.take_late(now_);
    ASSERT_EQ(late.size(), 10U);
    for (const auto& one : late) EXPECT_FALSE(one.by_rate) << one.id;
}

TEST_F(Turns, NobodyWaitsForNothing) {
    rules(2);
    EXPECT_EQ(turns_.due(now_), std::nullopt);
    wait(a);
    EXPECT_EQ(turns_.due(now_), now_);
    EXPECT_EQ(taken().size(), 1U);
    EXPECT_EQ(turns_.due(now_), std::nullopt);
}

}  // namespace
}  // namespace postern::jobs
