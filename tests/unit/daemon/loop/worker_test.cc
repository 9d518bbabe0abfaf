// Orders are done one after the other beside the loop, which is told what came of them.
#include "daemon/loop/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/unit/daemon/event_loop.h"

namespace postern {
namespace {

using testing::ElementsAre;

using Doubler = Worker<int, int>;

class WorkerTest : public testing::Test {
  protected:
    void create(std::function<std::optional<int>(int)> work) {
        auto worker = Doubler::create(loop_.get(), std::move(work), [this](const auto& answers) {
            answers_.insert(answers_.end(), answers.begin(), answers.end());
        });
        ASSERT_TRUE(worker) << worker.error().message;
        worker_ = std::move(*worker);
    }
    void order(int number) {
        worker_->order([number](std::deque<int>& orders) { orders.push_back(number); });
    }

    template <typename Condition>
    void run_until(Condition condition) {
        while (!condition()) ASSERT_GE(sd_event_run(loop_.get(), UINT64_MAX), 0);
    }

    EventLoop loop_ = make_event_loop();
    std::vector<int> answers_;
    std::unique_ptr<Doubler> worker_;
};

TEST_F(WorkerTest, AnswersInOrderInTheLoop) {
    create([](int number) { return std::optional(2 * number); });
    for (const int number : {1, 2, 3}) order(number);
    EXPECT_THAT(answers_, ElementsAre());
    run_until([this] { return answers_.size() == 3; });
    EXPECT_THAT(answers_, ElementsAre(2, 4, 6));
    order(4);
    run_until([this] { return answers_.size() == 4; });
    EXPECT_EQ(answers_.back(), 8);
}

TEST_F(WorkerTest, WhatIsNotBegunCanBeMerged) {
    std::promise<void> begun;
    std::promise<void> go_on;
    create([&begun, wait = go_on.get_future().share()](int number) {
        if (number == 1) begun.set_value();
        wait.wait();
        return std::optional(2 * number);
    });
    order(1);
    begun.get_future().wait();
    order(2);
    worker_->order([](std::deque<int>& orders) {
        EXPECT_THAT(orders, ElementsAre(2));
        orders.front() = 5;
    });
    go_on.set_value();
    run_until([this] { return answers_.size() == 2; });
    EXPECT_THAT(answers_, ElementsAre(2, 10));
}

TEST_F(WorkerTest, NothingToTellIsNotTold) {
    create([](int number) { return number == 1 ? std::nullopt : std::optional(number); });
    order(1);
    order(2);
    run_until([this] { return !answers_.empty(); });
    EXPECT_THAT(answers_, ElementsAre(2));
}

TEST_F(WorkerTest, ItsEndDoesNotWaitForWhatHangs) {
    auto begun = std::make_shared<std::promise<void>>();
    auto never = std::make_shared<std::promise<void>>();
    create([begun, wait = never->get_future().share()](int number) {
        begun->set_value();
        wait.wait();
        return std::optional(number);
    });
    order(1);
    begun->get_future().wait();
    worker_.reset();
    never->set_value();
    EXPECT_THAT(answers_, ElementsAre());
}

}  // namespace
}  // namespace postern
