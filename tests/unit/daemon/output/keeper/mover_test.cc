// Turns, trouble, and what time does; the clock is the test's.
#include "daemon/output/keeper/mover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
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
    void lets_go(const Mover::Name& name, std::uint64_t owner,
                 std::vector<UniqueFd> descriptors) override {
        say("gone", name, std::to_string(owner));
        workers_->close(owner, std::move(descriptors));
    }

  protected:
    void SetUp() override {
        auto poll = PollSet::create();
        ASSERT_TRUE(poll.has_value());
        poll_ = std::make_unique<PollSet>(std::move(*poll));
        auto workers = Workers::create(*poll_, workers_number);
        ASSERT_TRUE(workers.has_value());
        workers_ = std::move(*workers);
        ASSERT_TRUE(workers_->start());
        mover_ = std::make_unique<Mover>(*poll_, *workers_, *this,
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
        std::vector<UniqueFd> descriptors;
        descriptors.push_back(test::again(pipe.read));
        descriptors.push_back(file.again());
        return mover_->keep({job(number), 0}, number, std::move(descriptors), demand);
    }
    // All events there are, and all that is to be done for them. The clock stands: no turn is ever
    // an old one.
    void run() {
        for (;;) {
            workers_->serve(now_);
            const bool busy = workers_->count_begun() > 0;
            const auto events = poll_->wait(busy ? std::optional(10s) : 0s);
            for (const auto& event : events) {
                if (event.data.u64 == workers_number) {
                    workers_->take_done(now_);
                } else {
                    mover_->happened(event.data.u64);
                }
            }
            if (events.empty() && !workers_->has_waiting()) return;
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
    static constexpr std::uint64_t workers_number = 1;
    std::unique_ptr<PollSet> poll_;
    std::unique_ptr<Workers> workers_;
    std::unique_ptr<Mover> mover_;
    Mover::Clock::time_point now_ = Mover::Clock::now();
    Texts heard_;
};

TEST_F(MoverTest, OneTurnIsSoMuchAndIsFollowedByTheNext) {
    const test::Pipe fast;
    ASSERT_GE(::fcntl(fast.write.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
    fast.put(std::string(1 << 20, 'x'));
    const test::File file;
    ASSERT_TRUE(keep(1, fast, file));
    workers_->serve(now_);
    while (workers_->count_begun() > 0) {
        poll_->wait(10s);
        workers_->take_done(now_);
    }
    EXPECT_EQ(file.size(), std::uint64_t{256} * 1024);
    EXPECT_TRUE(workers_->has_waiting());
    run();
    EXPECT_EQ(file.size(), std::uint64_t{1} << 20);
    EXPECT_FALSE(mover_->due().has_value());
}

// What is said of a stream while a thread has it counts when it is back.
TEST_F(MoverTest, AStreamThatIsAwayIsToldAfterwards) {
    const std::array<test::Pipe, 3> pipes;
    const std::array<test::File, 3> files;
    for (unsigned i = 0; i < 3; ++i) {
        pipes[i].put(std::string(window, 'x'));
        ASSERT_TRUE(keep(i + 1, pipes[i], files[i], {0, 0, none, 1}));
    }
    workers_->serve(now_);
    ASSERT_EQ(workers_->count_begun(), 3U);
    for (const auto& pipe : pipes) pipe.put("y");
    mover_->watch({job(1), 0}, {0, none, window, 0});
    mover_->finish(job(2));
    mover_->forget(job(3));
    EXPECT_EQ(heard(), Texts{});
    EXPECT_FALSE(mover_->holding({job(3), 0}, now_).has_value());
    run();
    Texts texts = heard();
    std::ranges::sort(texts);
    EXPECT_EQ(texts, (Texts{"finished 2.0 4097 0", "gone 2.0 2", "gone 3.0 3", "grown 1.0 4097"}));
    EXPECT_EQ(files[0].size(), window + 1);
    EXPECT_EQ(mover_->names().size(), 1U);
}

TEST_F(MoverTest, WhoAwaitsMoreIsToldOnce) {
    const test::Pipe pipe;
    const test::File file;
    ASSERT_TRUE(keep(1, pipe, file, {0, none, 0, 0}));
    run();
    EXPECT_EQ(heard(), Texts{});
    pipe.put("x");
    run();
    EXPECT_EQ(heard(), Texts{"grown 1.0 1"});
    pipe.put("y");
    mover_->watch({job(1), 0}, {0, none, 2, 0});
    run();
    EXPECT_EQ(heard(), Texts{});
    mover_->watch({job(1), 0}, {0, none, 0, 0});
    EXPECT_EQ(heard(), Texts{"grown 1.0 2"});
}

TEST_F(MoverTest, AJobThatHasFinishedIsKnownUntilItIsForgotten) {
    const test::Pipe pipe;
    const test::File file;
    pipe.put("12345");
    ASSERT_TRUE(keep(1, pipe, file));
    EXPECT_FALSE(mover_->finished_sizes(job(1)).has_value());
    mover_->finish(job(1));
    run();
    EXPECT_EQ(heard(), (Texts{"gone 1.0 1", "finished 1.0 5 0"}));
    mover_->finish(job(1));
    EXPECT_EQ(heard(), Texts{"finished 1.0 5 0"});
    EXPECT_EQ(mover_->finished_sizes(job(1)), (Mover::Sizes{5, 0}));
    EXPECT_EQ(mover_->finished_jobs(), std::vector{job(1)});
    // A guard that has it all the same, and gives it back, is to say so again.
    ASSERT_TRUE(keep(1, pipe, file));
    EXPECT_TRUE(mover_->finished_jobs().empty());
    mover_->finish(job(1));
    run();
    EXPECT_EQ(heard(), (Texts{"gone 1.0 1", "finished 1.0 5 0"}));
    mover_->forget(job(1));
    EXPECT_TRUE(mover_->finished_jobs().empty());
    // What was never kept leaves nothing.
    mover_->finish(job(2));
    EXPECT_EQ(heard(), Texts{"finished 2.0 0 0"});
    EXPECT_TRUE(mover_->finished_jobs().empty());
}

TEST_F(MoverTest, OfWhatIsKeptAlreadyWhatItLacksIsTaken) {
    test::Pipe pipe;
    const test::File file;
    std::vector<UniqueFd> stored;
    stored.push_back(test::again(pipe.read));
    ASSERT_TRUE(mover_->keep({job(1), 0}, 0, std::move(stored), {}));
    EXPECT_EQ(mover_->holding({job(1), 0}, now_)->file, -1);
    const auto all = [&] {
        std::vector<UniqueFd> descriptors;
        descriptors.push_back(test::again(pipe.read));
        descriptors.push_back(file.again());
        descriptors.push_back(test::again(pipe.write));
        return descriptors;
    };
    ASSERT_TRUE(mover_->keep({job(1), 0}, 7, all(), {}));
    const auto holding = mover_->holding({job(1), 0}, now_);
    EXPECT_GE(holding->file, 0);
    EXPECT_GE(holding->write_end, 0);
    ASSERT_TRUE(mover_->keep({job(1), 0}, 7, all(), {}));
    EXPECT_EQ(mover_->holding({job(1), 0}, now_)->write_end, holding->write_end);
    // Nobody else has its ends any more.
    pipe.read.reset();
    mover_->finish(job(1));
    run();
    EXPECT_EQ(heard(), (Texts{"gone 1.0 7", "finished 1.0 0 0"}));
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(::write(pipe.write.get(), "x", 1), -1);
    ::signal(SIGPIPE, SIG_DFL);
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
    pipe_.put(numbered(0, 2 * least_block_bytes + 800));
    run();
    heard();
    mover_->watch({job(1), 0}, {1 << 20, 0, none, 1});
    mover_->room(false);
    run();
    EXPECT_EQ(file_->size(), 0U) << "somebody follows";
    heard();
    mover_->watch({job(1), 0}, {1 << 20, none, none, 0});
    run();
    EXPECT_EQ(file_->size(), 2 * least_block_bytes);
    EXPECT_EQ(stored_from(file_->get()), 2 * least_block_bytes);
    // What is left is less than a block: it waits for the next try.
    pass();
    EXPECT_EQ(file_->size(), 2 * least_block_bytes + 800);
    EXPECT_EQ(heard(), Texts{}) << "the guard knows";
}

TEST_F(MoverOnAFullDisk, WithoutAGuardTheyGiveWayAfterASecond) {
    mover_->guard_went(now_);
    pipe_.put(numbered(0, 2 * least_block_bytes));
    run();
    pass();
    EXPECT_EQ(file_->size(), 0U);
    now_ += 1s;
    pass();
    EXPECT_EQ(file_->size(), 2 * least_block_bytes);
    EXPECT_EQ(stored_from(file_->get()), 2 * least_block_bytes);
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
    EXPECT_EQ(heard(), (Texts{"gone 1.0 1", "finished 1.0 800 0"}));
    EXPECT_EQ(stored_from(file_->get()), 800U);
    EXPECT_FALSE(mover_->due().has_value());
}

}  // namespace
}  // namespace postern::output
