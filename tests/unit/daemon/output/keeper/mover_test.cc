// Turns, trouble, and what time does; the clock is the test's.
#include "daemon/output/keeper/mover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "daemon/output/stored_file.h"
#include "tests/unit/daemon/output/keeper/streams.h"
#include "tests/unit/temporary_directory.h"

namespace postern::output {
namespace {

using namespace std::chrono_literals;
using test::job;
using test::numbered;
using Texts = std::vector<std::string>;

class MoverTest : public testing::Test, public Mover::Listener {
  public:
    void grown(const Mover::Name& name, std::uint64_t size) override {
        say("grown", name, std::to_string(size));
    }
    void in_trouble(const Mover::Name& name, int error, std::uint64_t size) override {
        say("trouble", name, std::to_string(error) + " " + std::to_string(size));
    }
    void finished(const JobId& ended, const Mover::Sizes& sizes) override {
        say("finished", {ended, 0}, std::to_string(sizes[0]) + " " + std::to_string(sizes[1]));
    }
    void lets_go(const Mover::Name&, int) override {}

  protected:
    void SetUp() override {
        auto poll = PollSet::create();
        ASSERT_TRUE(poll.has_value());
        poll_ = std::make_unique<PollSet>(std::move(*poll));
        mover_ = std::make_unique<Mover>(*poll_, *this,
                                         UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)));
        mover_->guard_came(window, 10s);
    }
    void say(const char* what, const Mover::Name& name, const std::string& more) {
        heard_.push_back(std::string(what) + " " + name.job.text().substr(31) + "." +
                         std::to_string(name.stream) + " " + more);
    }
    Texts heard() { return std::exchange(heard_, {}); }

    bool keep(unsigned number, const test::Pipe& pipe, const test::File& file,
              const Demand& demand = {}) {
        return mover_->keep({job(number), 0}, test::again(pipe.read), file.again(), demand);
    }
    // All events there are, and all that is to be done for them.
    void run() {
        for (;;) {
            const auto events = poll_->wait(0s);
            for (const auto& event : events) mover_->happened(event.data.u64);
            if (events.empty() && !mover_->has_turns()) return;
            mover_->serve(now_);
        }
    }
    // Until the next time that something is due.
    void pass() {
        ASSERT_TRUE(mover_->due().has_value());
        now_ = std::max(now_, *mover_->due());
        mover_->pass_time(now_);
        run();
    }
    std::chrono::nanoseconds due_in() const { return mover_->due().value_or(now_ - 1h) - now_; }

    static constexpr std::uint64_t window = 4096;
    std::unique_ptr<PollSet> poll_;
    std::unique_ptr<Mover> mover_;
    Mover::Clock::time_point now_ = Mover::Clock::now();
    Texts heard_;
};

TEST_F(MoverTest, StreamsTakeTurns) {
    const test::Pipe fast;
    const test::Pipe slow;
    ASSERT_GE(::fcntl(fast.write.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
    fast.put(std::string(1 << 20, 'x'));
    slow.put("y");
    const test::File fast_file;
    const test::File slow_file;
    ASSERT_TRUE(keep(1, fast, fast_file));
    ASSERT_TRUE(keep(2, slow, slow_file));
    mover_->serve(now_);
    EXPECT_EQ(fast_file.size(), std::uint64_t{256} * 1024);
    EXPECT_EQ(slow_file.size(), 1U);
    EXPECT_TRUE(mover_->has_turns());
    run();
    EXPECT_EQ(fast_file.size(), std::uint64_t{1} << 20);
    EXPECT_FALSE(mover_->due().has_value());
}

TEST_F(MoverTest, FloorsOfAGuardThatIsGoneLastForTheStall) {
    const test::Pipe pipe;
    const test::File file;
    pipe.put(std::string(8192, 'x'));
    ASSERT_TRUE(keep(1, pipe, file, {0, 100, none, 3}));
    run();
    EXPECT_EQ(file.size(), 100 + window);
    mover_->guard_went(now_);
    EXPECT_EQ(due_in(), 10s);
    now_ += 4s;
    // One that came and went without a word about it changes nothing.
    mover_->guard_came(window, 10s);
    const auto holding = mover_->holding({job(1), 0}, now_);
    ASSERT_TRUE(holding.has_value());
    EXPECT_EQ(holding->stall, 6s);
    EXPECT_EQ(holding->demand.floor, 100U);
    EXPECT_EQ(holding->demand.followers, 3U);
    mover_->guard_went(now_);
    EXPECT_EQ(due_in(), 6s);
    pass();
    EXPECT_EQ(file.size(), 8192U);
    EXPECT_EQ(mover_->holding({job(1), 0}, now_)->demand.floor, none);
    EXPECT_FALSE(mover_->due().has_value());
}

TEST_F(MoverTest, AGuardThatSpeaksOfAStreamTakesItOver) {
    const test::Pipe pipe;
    const test::File file;
    ASSERT_TRUE(keep(1, pipe, file, {0, 100, none, 1}));
    run();
    mover_->guard_went(now_);
    mover_->guard_came(window, 10s);
    mover_->watch({job(1), 0}, {0, 100, none, 1});
    EXPECT_EQ(mover_->holding({job(1), 0}, now_)->stall, 0s);
    pass();
    EXPECT_EQ(mover_->holding({job(1), 0}, now_)->demand.floor, 100U);
}

// A file system that is full, for real.
class MoverOnAFullDisk : public MoverTest {
  protected:
    static constexpr std::uint64_t room = 64 * 1024;
    void SetUp() override {
        MoverTest::SetUp();
        if (::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=64k,mode=0700") != 0) {
            GTEST_SKIP() << "tmpfs can't be mounted here";
        }
        mounted_ = true;
        file_ = std::make_unique<test::File>(open("stream"));
        const UniqueFd filler = open("filler");
        ASSERT_EQ(::posix_fallocate(filler.get(), 0, room), 0);
        ASSERT_TRUE(keep(1, pipe_, *file_, {1 << 20, none, none, 0}));
        run();
    }
    void TearDown() override {
        if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
    }
    UniqueFd open(const std::string& name) const {
        return UniqueFd(::open((folder_ / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    }
    void make_room() const { ASSERT_EQ(::unlink((folder_ / "filler").c_str()), 0); }

    const TemporaryDirectory folder_;
    bool mounted_ = false;
    std::unique_ptr<test::File> file_;
    test::Pipe pipe_;
    const std::string trouble_ = "trouble 1.0 " + std::to_string(ENOSPC) + " 0";
};

TEST_F(MoverOnAFullDisk, TroubleIsToldOnceAndTriedAgainLessAndLessOften) {
    pipe_.put(numbered(0, 800));
    run();
    EXPECT_EQ(heard(), Texts{trouble_});
    std::vector<std::chrono::milliseconds> times;
    for (int i = 0; i < 5; ++i) {
        times.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(due_in()));
        pass();
    }
    EXPECT_EQ(times, (std::vector{250ms, 500ms, 1000ms, 2000ms, 2000ms}));
    pipe_.put(numbered(800, 80));
    run();
    EXPECT_EQ(heard(), Texts{});
    make_room();
    pass();
    EXPECT_EQ(file_->stored(), numbered(0, 880));
    EXPECT_FALSE(mover_->due().has_value());
}

TEST_F(MoverOnAFullDisk, RoomIsTriedAtOnceAndTroubleToldAgain) {
    pipe_.put(numbered(0, 800));
    run();
    heard();
    mover_->room(true);
    run();
    EXPECT_EQ(heard(), Texts{trouble_});
    make_room();
    mover_->room(true);
    run();
    EXPECT_EQ(heard(), Texts{});
    EXPECT_EQ(file_->stored(), numbered(0, 800));
}

TEST_F(MoverOnAFullDisk, WithoutRoomBytesGiveWayWhereNobodyFollows) {
    pipe_.put(numbered(0, 2 * block_bytes + 800));
    run();
    heard();
    mover_->watch({job(1), 0}, {1 << 20, 0, none, 1});
    mover_->room(false);
    run();
    EXPECT_EQ(file_->size(), 0U) << "somebody follows";
    heard();
    mover_->watch({job(1), 0}, {1 << 20, none, none, 0});
    run();
    EXPECT_EQ(file_->size(), 2 * block_bytes);
    EXPECT_EQ(stored_from(file_->get()), 2 * block_bytes);
    // What is left is less than a block: it waits for the next try.
    pass();
    EXPECT_EQ(file_->size(), 2 * block_bytes + 800);
    EXPECT_EQ(heard(), Texts{}) << "the guard knows";
}

TEST_F(MoverOnAFullDisk, WithoutAGuardTheyGiveWayAfterASecond) {
    mover_->guard_went(now_);
    pipe_.put(numbered(0, 2 * block_bytes));
    run();
    pass();
    EXPECT_EQ(file_->size(), 0U);
    now_ += 1s;
    pass();
    EXPECT_EQ(file_->size(), 2 * block_bytes);
    EXPECT_EQ(stored_from(file_->get()), 2 * block_bytes);
}

TEST_F(MoverOnAFullDisk, WhatFinishesWaitsForRoomAndForWhoFollows) {
    mover_->watch({job(1), 0}, {1 << 20, 0, none, 1});
    pipe_.put(numbered(0, 800));
    mover_->finish(job(1));
    run();
    EXPECT_EQ(heard(), Texts{trouble_});
    mover_->room(false);
    run();
    EXPECT_EQ(heard(), Texts{trouble_});
    mover_->watch({job(1), 0}, {1 << 20, none, none, 0});
    run();
    EXPECT_EQ(heard(), Texts{"finished 1.0 800 0"});
    EXPECT_EQ(stored_from(file_->get()), 800U);
    EXPECT_FALSE(mover_->due().has_value());
}

}  // namespace
}  // namespace postern::output
