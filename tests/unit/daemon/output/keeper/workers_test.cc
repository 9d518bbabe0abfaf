// Whose turn it is, and what stands still.
#include "daemon/output/keeper/workers.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/daemon/output/keeper/streams.h"

namespace postern::output {
namespace {

using namespace std::chrono_literals;

class WorkersTest : public testing::Test {
  protected:
    // Stands still until it is let go on.
    class Piece final : public Workers::Work {
      public:
        Piece(WorkersTest& test, std::string name) : test_(test), name_(std::move(name)) {}
        void begin(Workers::Clock::time_point) override { test_.begun_ += name_; }
        void run() noexcept override {
            std::unique_lock lock(test_.mutex_);
            test_.changed_.wait(lock, [this] { return goes_on_; });
        }
        void end(Workers::Clock::time_point) override { test_.ended_ += name_; }
        void go_on() {
            const std::lock_guard lock(test_.mutex_);
            goes_on_ = true;
            test_.changed_.notify_all();
        }

      private:
        WorkersTest& test_;
        std::string name_;
        bool goes_on_ = false;
    };

    void SetUp() override {
        auto poll = PollSet::create();
        ASSERT_TRUE(poll.has_value());
        poll_ = std::make_unique<PollSet>(std::move(*poll));
        auto workers = Workers::create(*poll_, 1);
        ASSERT_TRUE(workers.has_value());
        workers_ = std::move(*workers);
        ASSERT_TRUE(workers_->start());
    }
    void TearDown() override {
        for (const auto& piece : pieces_) piece->go_on();
        workers_.reset();
    }
    Piece& add(std::uint64_t owner, const std::string& name) {
        pieces_.push_back(std::make_unique<Piece>(*this, name));
        workers_->add(owner, *pieces_.back());
        return *pieces_.back();
    }
    // What is begun now.
    std::string serve(std::chrono::milliseconds later = 0ms) {
        now_ += later;
        workers_->serve(now_);
        return std::exchange(begun_, {});
    }
    void let_end(Piece& piece) {
        const std::size_t before = ended_.size();
        piece.go_on();
        while (ended_.size() == before) {
            ASSERT_FALSE(poll_->wait(10s).empty());
            workers_->take_done(now_);
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::unique_ptr<PollSet> poll_;
    std::unique_ptr<Workers> workers_;
    std::vector<std::unique_ptr<Piece>> pieces_;
    std::string begun_;
    std::string ended_;
    Workers::Clock::time_point now_ = Workers::Clock::now();
};

TEST_F(WorkersTest, OwnersTakeTurnsAndThenWhatTheyHave) {
    Piece& first = add(1, "a");
    for (const char* name : {"b", "c", "d"}) add(1, name);
    add(2, "x");
    add(3, "y");
    EXPECT_EQ(serve(), "axyb");
    EXPECT_EQ(serve(), "");
    EXPECT_TRUE(workers_->has_waiting());
    EXPECT_EQ(workers_->due(now_), std::nullopt) << "it is the owner's own that is waited for";
    let_end(first);
    EXPECT_EQ(ended_, "a");
    EXPECT_EQ(serve(), "c");
}

TEST_F(WorkersTest, WhatStandsStillKeepsNoOtherOwnerWaiting) {
    for (const char* name : {"a", "b", "c"}) add(1, name);
    for (const char* name : {"d", "e", "f"}) add(2, name);
    EXPECT_EQ(serve(), "adbe");
    Piece& third = add(3, "x");
    EXPECT_EQ(serve(), "") << "few at a time";
    EXPECT_EQ(workers_->due(now_), now_ + 50ms);
    EXPECT_EQ(workers_->due(now_ + 51ms), now_ + 51ms) << "it may begin by now";
    EXPECT_EQ(serve(49ms), "");
    EXPECT_EQ(serve(1ms), "x");
    EXPECT_EQ(workers_->due(now_), std::nullopt);
    let_end(third);
    EXPECT_EQ(workers_->count_begun(), 4U);
    EXPECT_EQ(workers_->count_fresh(now_), 0U);
}

TEST_F(WorkersTest, ThereAreSoManyThreads) {
    for (std::uint64_t owner = 0; owner < Workers::threads / 2 + 1; ++owner) {
        add(owner, "a");
        add(owner, "b");
    }
    while (!serve(50ms).empty()) {
    }
    EXPECT_EQ(workers_->count_begun(), Workers::threads);
    EXPECT_EQ(workers_->due(now_), std::nullopt);
    let_end(*pieces_.front());
    EXPECT_EQ(serve().size(), 1U);
}

TEST_F(WorkersTest, DescriptorsAreClosedInAnOwnersTurn) {
    test::Pipe pipe;
    add(1, "a");
    add(1, "b");
    std::vector<UniqueFd> descriptors;
    descriptors.emplace_back();
    descriptors.push_back(std::move(pipe.write));
    workers_->close(1, std::move(descriptors));
    workers_->close(1, {});
    EXPECT_EQ(serve(), "ab");
    EXPECT_EQ(workers_->count_begun(), 2U);
    let_end(*pieces_.front());
    serve();
    char byte = 0;
    EXPECT_EQ(::read(pipe.read.get(), &byte, 1), 0);
    while (workers_->count_begun() > 1) {
        ASSERT_FALSE(poll_->wait(10s).empty());
        workers_->take_done(now_);
    }
    EXPECT_FALSE(workers_->has_waiting());
}

}  // namespace
}  // namespace postern::output
