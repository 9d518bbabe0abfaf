// Who is served when, by a clock that goes only where a step takes its time.
#include "daemon/loop/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "daemon/loop/owner_queue.h"

namespace postern {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using testing::ElementsAre;
using testing::IsEmpty;

class TurnsTest : public testing::Test {
  protected:
    // Has so many messages, each of which takes so long.
    struct Flow {
        Flow(TurnsTest& test, uid_t owner, std::string name, std::size_t messages,
             nanoseconds takes, std::size_t bytes = 100)
            : left(messages), task(test.turns_, owner, [this, &test, name, takes, bytes] {
                  test.served_.push_back(name);
                  test.now_ += takes;
                  --left;
                  return Turns::Step{bytes, left > 0};
              }) {
            if (messages > 0) task.ready();
        }
        void add(std::size_t messages) {
            left += messages;
            task.ready();
        }
        std::size_t left;
        Turns::Task task;
    };

    // Until nothing is left.
    void run_all() {
        while (turns_.has_work()) turns_.run();
    }
    // Whose turns they were: equal neighbours are one.
    std::vector<std::string> turns_of() {
        std::vector<std::string> turns = served_;
        const auto twice = std::ranges::unique(turns);
        turns.erase(twice.begin(), twice.end());
        return turns;
    }
    std::ptrdiff_t count(const std::string& name) { return std::ranges::count(served_, name); }

    nanoseconds now_{0};
    int woken_ = 0;
    Turns turns_{[this] { return now_; }, [this] { ++woken_; }};
    std::vector<std::string> served_;
};

TEST_F(TurnsTest, WhatIsGatheredIsDoneOnceAtTheEndOfARun) {
    Turns::Late late(turns_, [this] { served_.emplace_back("late"); });
    late.wanted();  // nothing is being served
    EXPECT_THAT(served_, ElementsAre("late"));
    served_.clear();
    Turns::Task one(turns_, 1, [&] {
        served_.emplace_back("one");
        late.wanted();
        return Turns::Step{};
    });
    Turns::Task other(turns_, 2, [&] {
        served_.emplace_back("other");
        late.wanted();
        return Turns::Step{};
    });
    one.ready();
    other.ready();
    turns_.run();
    EXPECT_THAT(served_, ElementsAre("one", "other", "late"));
    one.ready();
    turns_.run();
    EXPECT_THAT(served_, ElementsAre("one", "other", "late", "one", "late"));
}

TEST_F(TurnsTest, WhatWasGatheredForWhoIsGoneIsNotDone) {
    auto late = std::make_unique<Turns::Late>(turns_, [this] { served_.emplace_back("late"); });
    Turns::Task task(turns_, 1, [&] {
        late->wanted();
        late.reset();
        return Turns::Step{};
    });
    task.ready();
    turns_.run();
    EXPECT_THAT(served_, IsEmpty());
}

TEST_F(TurnsTest, WakesTheLoopOnceForAllThatComes) {
    Flow a(*this, 1, "a", 1, microseconds(1));
    Flow b(*this, 2, "b", 2, microseconds(1));
    a.task.ready();
    EXPECT_EQ(woken_, 1);
    run_all();
    EXPECT_THAT(served_, ElementsAre("a", "b", "b"));
    a.add(1);
    EXPECT_EQ(woken_, 2);
}

TEST_F(TurnsTest, ATurnIsAMillisecond) {
    Flow a(*this, 1, "a", 10, microseconds(300));
    Flow b(*this, 2, "b", 1, microseconds(300));
    turns_.run();
    EXPECT_THAT(served_, ElementsAre("a", "a", "a", "a"));
    turns_.run();
    // What a took too much of it lacks later.
    EXPECT_THAT(served_, ElementsAre("a", "a", "a", "a", "b", "a", "a", "a"));
}

TEST_F(TurnsTest, OrSixteenMessages) {
    Flow a(*this, 1, "a", 40, microseconds(1));
    Flow b(*this, 2, "b", 1, microseconds(1));
    run_all();
    EXPECT_EQ(served_.at(15), "a");
    EXPECT_EQ(served_.at(16), "b");
}

TEST_F(TurnsTest, Or64KiB) {
    Flow a(*this, 1, "a", 9, microseconds(1), 32 * 1024);
    Flow b(*this, 2, "b", 1, microseconds(1));
    run_all();
    EXPECT_THAT(std::vector(served_.begin(), served_.begin() + 4), ElementsAre("a", "a", "b", "a"));
}

TEST_F(TurnsTest, OneRunServesManyWhoWantLittle) {
    std::vector<std::unique_ptr<Flow>> flows;
    for (uid_t uid = 0; uid < 500; ++uid) {
        flows.push_back(
            std::make_unique<Flow>(*this, uid, std::to_string(uid), 1, microseconds(1)));
    }
    turns_.run();
    EXPECT_EQ(served_.size(), 500U);
}

TEST_F(TurnsTest, ARunEndsAfterAMillisecond) {
    std::vector<std::unique_ptr<Flow>> flows;
    for (uid_t uid = 0; uid < 500; ++uid) {
        flows.push_back(
            std::make_unique<Flow>(*this, uid, std::to_string(uid), 1, microseconds(400)));
    }
    turns_.run();
    EXPECT_EQ(served_.size(), 3U);
    EXPECT_TRUE(turns_.has_work());
}

TEST_F(TurnsTest, EightSessionsOfOneOwnerAreOneOwner) {
    std::vector<std::unique_ptr<Flow>> flows;
    for (int session = 0; session < 8; ++session) {
        flows.push_back(std::make_unique<Flow>(*this, 1, "a", 100, microseconds(500)));
    }
    Flow b(*this, 2, "b", 100, microseconds(500));
    for (int run = 0; run < 40; ++run) turns_.run();
    EXPECT_EQ(count("a"), count("b"));
}

TEST_F(TurnsTest, TheSessionsOfAnOwnerAreServedInTurn) {
    Flow a(*this, 1, "a", 3, microseconds(1));
    Flow b(*this, 1, "b", 3, microseconds(1));
    run_all();
    EXPECT_THAT(served_, ElementsAre("a", "b", "a", "b", "a", "b"));
}

TEST_F(TurnsTest, WhoTakesTwentyTimesTooLongHasTheTwentiethTurn) {
    Flow a(*this, 1, "a", 100, milliseconds(20));
    Flow b(*this, 2, "b", 10'000, microseconds(100));
    while (count("a") < 5) turns_.run();
    // In time they are equal.
    EXPECT_NEAR(static_cast<double>(count("b")), 4 * 200, 20);
}

TEST_F(TurnsTest, NobodyPaysADebtWhereNobodyElseWaits) {
    Flow a(*this, 1, "a", 5, milliseconds(100));
    for (int run = 0; run < 5; ++run) turns_.run();
    EXPECT_EQ(count("a"), 5);
    EXPECT_FALSE(turns_.has_work());
}

TEST_F(TurnsTest, NobodyPaysLongForAMachineThatStoodStill) {
    Flow b(*this, 2, "b", 10'000, microseconds(500));
    Flow a(*this, 1, "a", 2, std::chrono::seconds(10));
    while (count("a") == 0) turns_.run();
    served_.clear();
    while (count("a") == 0) turns_.run();
    EXPECT_NEAR(static_cast<double>(count("b")), 2 * 64, 4);
}

TEST_F(TurnsTest, ADebtOutlivesTheEndOfTheQueue) {
    Flow b(*this, 2, "b", 1000, microseconds(500));
    Flow a(*this, 1, "a", 1, milliseconds(20));
    while (count("a") == 0) turns_.run();
    a.add(1);  // one at a time, as soon as the last one is answered
    served_.clear();
    while (count("a") == 0) turns_.run();
    EXPECT_NEAR(static_cast<double>(count("b")), 40, 4);
}

TEST_F(TurnsTest, WhoComesNowAndThenWaitsForOneTurnOnly) {
    std::vector<std::unique_ptr<Flow>> busy;
    for (uid_t uid = 10; uid < 20; ++uid) {
        busy.push_back(std::make_unique<Flow>(*this, uid, "busy", 10'000, milliseconds(1)));
    }
    for (int run = 0; run < 25; ++run) turns_.run();
    Flow now_and_then(*this, 1, "seldom", 1, microseconds(50));
    served_.clear();
    turns_.run();
    EXPECT_EQ(served_.front(), "seldom");
}

TEST_F(TurnsTest, AndCannotKeepOthersFromTheirs) {
    Flow busy(*this, 10, "busy", 10'000, microseconds(100));
    run_all();
    busy.add(10'000);
    turns_.run();
    served_.clear();
    Flow pretends(*this, 1, "pretends", 0, milliseconds(1));
    for (int run = 0; run < 20; ++run) {
        if (pretends.left == 0) pretends.add(1);
        turns_.run();
    }
    EXPECT_NEAR(static_cast<double>(count("busy")), 10 * 10, 20);
}

TEST_F(TurnsTest, WhatIsLetGoIsNotServed) {
    auto a = std::make_unique<Flow>(*this, 1, "a", 1, microseconds(1));
    Flow b(*this, 1, "b", 1, microseconds(1));
    a.reset();
    run_all();
    EXPECT_THAT(served_, ElementsAre("b"));
}

TEST_F(TurnsTest, AStepMayLetItsTaskGo) {
    const auto alive = std::make_shared<int>(0);
    std::unique_ptr<Turns::Task> task;
    task = std::make_unique<Turns::Task>(turns_, 1, [&task, alive] {
        task.reset();
        ++*alive;  // what was captured is still there
        return Turns::Step{0, true};
    });
    task->ready();
    run_all();
    EXPECT_EQ(*alive, 1);
    EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(TurnsTest, AStepMayAskForMoreByItself) {
    int left = 3;
    std::unique_ptr<Turns::Task> task;
    task = std::make_unique<Turns::Task>(turns_, 1, [&] {
        if (--left > 0) task->ready();
        return Turns::Step{0, left > 0};
    });
    task->ready();
    run_all();
    EXPECT_EQ(left, 0);
}

// ---- Items ----

class OwnerQueueTest : public TurnsTest {
  protected:
    bool add(uid_t owner, std::string item) { return queue_.add(owner, item); }

    std::vector<std::string> full_;  // is there room for these?
    OwnerQueue<std::string> queue_{turns_, {3, 5}, [this](std::string& item) {
                                       if (std::ranges::count(full_, item) != 0) {
                                           return Dealt::later;
                                       }
                                       served_.push_back(item);
                                       now_ += milliseconds(1);
                                       return Dealt::done;
                                   }};
};

TEST_F(OwnerQueueTest, ServesOwnersInTurnAndEachInItsOrder) {
    EXPECT_TRUE(add(1, "a1"));
    EXPECT_TRUE(add(1, "a2"));
    EXPECT_TRUE(add(2, "b1"));
    EXPECT_TRUE(add(2, "b2"));
    run_all();
    EXPECT_THAT(served_, ElementsAre("a1", "b1", "a2", "b2"));
    EXPECT_EQ(queue_.size(), 0U);
}

TEST_F(OwnerQueueTest, IsBoundedForEachOwnerAndInAll) {
    for (const char* item : {"a1", "a2", "a3"}) EXPECT_TRUE(add(1, item));
    std::string item = "a4";
    EXPECT_FALSE(queue_.add(1, item));
    EXPECT_EQ(item, "a4");
    EXPECT_EQ(queue_.size(1), 3U);
    EXPECT_TRUE(add(2, "b1"));
    EXPECT_TRUE(add(2, "b2"));
    EXPECT_FALSE(add(3, "c1"));
    run_all();
    EXPECT_TRUE(add(3, "c1"));
}

TEST_F(OwnerQueueTest, ItsBytesAreBoundedInTheSameWay) {
    OwnerQueue<std::string> queue(turns_, {9, 9, 10, 25}, [](std::string&) { return Dealt::done; });
    std::string item;
    EXPECT_TRUE(queue.add(1, item, 9));
    EXPECT_TRUE(queue.add(1, item, 9));
    EXPECT_FALSE(queue.add(1, item, 1));
    EXPECT_EQ(queue.bytes(1), 18U);
    EXPECT_TRUE(queue.add(2, item, 9));
    EXPECT_FALSE(queue.add(3, item, 1));
    run_all();
    EXPECT_EQ(queue.bytes(1), 0U);
    EXPECT_TRUE(queue.add(3, item, 1));
    EXPECT_TRUE(queue.add(1, item, 1));
}

TEST_F(OwnerQueueTest, WhatIsPutOffHoldsUpItsOwnerAlone) {
    full_ = {"a1"};
    add(1, "a1");
    add(1, "a2");
    add(2, "b1");
    run_all();
    EXPECT_THAT(served_, ElementsAre("b1"));
    EXPECT_EQ(queue_.size(1), 2U);
    // The loop does not go round meanwhile, nor because one more comes.
    EXPECT_FALSE(turns_.has_work());
    add(1, "a3");
    EXPECT_FALSE(turns_.has_work());
    full_.clear();
    queue_.resume(2);
    EXPECT_FALSE(turns_.has_work());
    queue_.resume(1);
    run_all();
    EXPECT_THAT(served_, ElementsAre("b1", "a1", "a2", "a3"));
}

TEST_F(OwnerQueueTest, WhatIsTakenOutIsNotServed) {
    add(1, "a1");
    add(2, "b1");
    add(1, "a2");
    std::vector<std::string> taken;
    queue_.drain([&taken](const std::string& item) { taken.push_back(item); });
    EXPECT_THAT(taken, ElementsAre("a1", "a2", "b1"));
    EXPECT_EQ(queue_.size(), 0U);
    run_all();
    EXPECT_THAT(served_, IsEmpty());
}

}  // namespace
}  // namespace postern
