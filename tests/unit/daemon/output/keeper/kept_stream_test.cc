// One stream: its bytes, what holds it back, and what happens where there is no room.
#include "daemon/output/keeper/kept_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <random>
#include <string>

#include "daemon/output/stored_file.h"
#include "tests/unit/daemon/output/keeper/streams.h"
#include "tests/unit/temporary_directory.h"

namespace postern::output {
namespace {

using State = KeptStream::State;
using test::numbered;

constexpr std::size_t turn = std::size_t{256} * 1024;
constexpr std::uint64_t window = 64 * 1024;

class Stream : public testing::Test {
  protected:
    void keep(const test::File& file) {
        file_ = &file;
        stream_ = std::make_unique<KeptStream>(test::again(pipe_.read));
        ASSERT_TRUE(stream_->take_file(file.again()));
    }
    KeptStream::Step step(Relief relief = Relief::wait, std::size_t most = turn) {
        return stream_->step(most, window, relief, null_.get());
    }
    // Until there is nothing more to do; what it ends with.
    State settle(Relief relief = Relief::wait) {
        State state = State::moved;
        while (state == State::moved || state == State::relieved) state = step(relief).state;
        return state;
    }

    test::Pipe pipe_;
    const UniqueFd null_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
    const test::File* file_ = nullptr;
    std::unique_ptr<KeptStream> stream_;
};

TEST_F(Stream, EveryByteIsMovedWhateverTheSizesOfWritesAndTurns) {
    const test::File file;
    keep(file);
    stream_->demand.stored = 64 << 20;
    std::mt19937 random(1);
    std::uint64_t sent = 0;
    for (int round = 0; round < 2000; ++round) {
        const std::size_t length = 8 * std::uniform_int_distribution<std::size_t>(1, 4096)(random);
        pipe_.put(numbered(sent, length));
        sent += length;
        const std::size_t most = std::uniform_int_distribution<std::size_t>(1, 70'000)(random);
        while (step(Relief::wait, most).state == State::moved) {
        }
    }
    EXPECT_EQ(stream_->size(), sent);
    EXPECT_TRUE(file.stored() == numbered(0, sent));
}

TEST_F(Stream, AFileThatHasBytesIsContinued) {
    const test::File file;
    for (int round = 0; round < 3; ++round) {
        keep(file);
        pipe_.put(numbered(file.size(), 800));
        EXPECT_EQ(settle(), State::empty);
    }
    EXPECT_TRUE(file.stored() == numbered(0, 2400));
}

TEST_F(Stream, WithoutAFileItWaits) {
    KeptStream stream(test::again(pipe_.read));
    pipe_.put("x");
    EXPECT_EQ(stream.step(turn, window, Relief::drop, null_.get()).state, State::held);
    EXPECT_FALSE(stream.has_file());
}

TEST_F(Stream, TheNewestBytesStay) {
    const test::File file;
    keep(file);
    stream_->demand.stored = 128 * 1024;  // more than the window
    constexpr std::size_t piece = 32 * 1024;
    for (std::uint64_t sent = 0; sent < 16 * piece; sent += piece) {
        pipe_.put(numbered(sent, piece));
        EXPECT_EQ(settle(), State::empty);
        const std::uint64_t stored = stream_->size() - stored_from(file.get());
        EXPECT_GE(stored, std::min<std::uint64_t>(stream_->size(), 128 * 1024));
        EXPECT_LE(stored, 128 * 1024 + 128 * 1024 / 8 + least_block_bytes);
    }
    EXPECT_EQ(file.size(), 16 * piece);
    EXPECT_TRUE(file.stored(file.size() - 128 * 1024) ==
                numbered(16 * piece - 128 * 1024, 128 * 1024));
}

TEST_F(Stream, ItIsHeldBackAWindowBehindTheSlowestFollower) {
    const test::File file;
    keep(file);
    stream_->demand.floor = 0;
    for (std::uint64_t sent = 0; sent < 2 * window; sent += window / 2) {
        pipe_.put(numbered(sent, window / 2));
        settle();
    }
    EXPECT_EQ(step().state, State::held);
    EXPECT_EQ(file.size(), window);
    EXPECT_TRUE(file.stored() == numbered(0, window)) << "nothing of it gives way";
    stream_->demand.floor = 1000;
    EXPECT_EQ(settle(), State::held);
    EXPECT_EQ(file.size(), window + 1000);
    // More than the window where more is stored.
    stream_->demand.stored = window + 5000;
    EXPECT_EQ(settle(), State::held);
    EXPECT_EQ(file.size(), window + 6000);
    stream_->demand.floor = none;
    EXPECT_EQ(settle(), State::empty);
    EXPECT_EQ(file.size(), 2 * window);
    // The highest floor there can be is as good as none.
    stream_->demand.floor = none - 1;
    pipe_.put("12345678");
    EXPECT_EQ(settle(), State::empty);
}

TEST_F(Stream, AtTheEndOnlyWhatIsToBeStoredStaysAndWhatFollowersLack) {
    for (const std::uint64_t floor : {none, std::uint64_t{window} - 10'000}) {
        const test::File file;
        keep(file);
        stream_->demand.stored = 5000;
        stream_->demand.floor = floor;
        pipe_.put(numbered(0, window));
        settle();
        EXPECT_EQ(stored_from(file.get()), 0U) << "a window for whoever may come";
        stream_->finish();
        EXPECT_EQ(settle(), State::ended);
        const std::uint64_t lacks = floor == none ? 5000 : 10'000;
        EXPECT_EQ(stored_from(file.get()),
                  (window - lacks) / least_block_bytes * least_block_bytes);
        EXPECT_EQ(file.size(), window);
    }
}

TEST_F(Stream, WhatFinishesTakesWhatIsThereAndNoMore) {
    const test::File file;
    keep(file);
    stream_->demand.floor = 0;
    stream_->demand.stored = 0;
    pipe_.put(numbered(0, 4000));
    stream_->finish();
    EXPECT_EQ(step(Relief::wait, 800).state, State::moved);
    pipe_.put("of somebody who goes on");
    EXPECT_EQ(settle(), State::ended);
    EXPECT_TRUE(file.stored() == numbered(0, 4000));
}

// Nor is anything freed that who follows has not had, however little is to be stored.
TEST_F(Stream, WhatFinishesIsNotHeldBack) {
    const test::File file;
    keep(file);
    stream_->demand.stored = 2 * window;
    stream_->demand.floor = 8192;
    for (std::uint64_t sent = 0; sent < 2 * window + 8192; sent += 8192) {
        pipe_.put(numbered(sent, 8192));
        settle();
    }
    EXPECT_EQ(file.size(), 2 * window + 8192);
    pipe_.put(numbered(file.size(), window / 4));
    EXPECT_EQ(settle(), State::held);
    stream_->demand.stored = 0;
    stream_->finish();
    EXPECT_EQ(settle(), State::ended);
    const std::uint64_t size = 2 * window + 8192 + window / 4;
    EXPECT_EQ(file.size(), size);
    EXPECT_EQ(stored_from(file.get()), 8192U) << "what everybody has had is not to be stored";
    EXPECT_TRUE(file.stored(8192) == numbered(8192, size - 8192));
}

TEST_F(Stream, WhatFinishesTakesNothingFromAFollowerThatIsFarBehind) {
    const test::File file;
    keep(file);
    stream_->demand.floor = window;
    for (std::uint64_t sent = 0; sent < 2 * window; sent += window / 2) {
        pipe_.put(numbered(sent, window / 2));
        settle();
    }
    EXPECT_EQ(file.size(), 2 * window);
    EXPECT_EQ(stored_from(file.get()), window);
    pipe_.put(numbered(2 * window, 40'000));
    EXPECT_EQ(settle(), State::held);
    stream_->finish();
    EXPECT_EQ(settle(), State::ended);
    EXPECT_EQ(stored_from(file.get()), window);
    EXPECT_TRUE(file.stored(window) == numbered(window, window + 40'000));
}

TEST_F(Stream, AnEmptyPipeFinishesAtOnceAndAClosedOneIsEmpty) {
    const test::File file;
    keep(file);
    pipe_.write.reset();
    EXPECT_EQ(step().state, State::empty);
    stream_->finish();
    EXPECT_EQ(step().state, State::ended);
}

TEST_F(Stream, OnlyFilesThatSpliceCanWriteToAreTaken) {
    KeptStream stream(test::again(pipe_.read));
    const TemporaryDirectory folder;
    const std::string path = folder.write("file", "text");
    for (const int flags : {O_RDONLY, O_WRONLY | O_APPEND, O_PATH}) {
        EXPECT_FALSE(stream.take_file(UniqueFd(::open(path.c_str(), flags | O_CLOEXEC)))) << flags;
    }
    EXPECT_FALSE(stream.take_file(test::again(pipe_.write)));
    EXPECT_FALSE(stream.take_file(UniqueFd()));
    EXPECT_FALSE(stream.has_file());
    EXPECT_TRUE(stream.take_file(UniqueFd(::open(path.c_str(), O_WRONLY | O_CLOEXEC))));
    EXPECT_EQ(stream.size(), 4U);
}

TEST_F(Stream, OnlyReadEndsAreReadEnds) {
    EXPECT_TRUE(KeptStream::is_read_end(pipe_.read.get()));
    EXPECT_FALSE(KeptStream::is_read_end(pipe_.write.get()));
    EXPECT_FALSE(KeptStream::is_read_end(null_.get()));
    EXPECT_FALSE(KeptStream::is_read_end(-1));
    const UniqueFd path(::open("/dev/null", O_PATH | O_CLOEXEC));
    EXPECT_FALSE(KeptStream::is_read_end(path.get()));
}

// A file system that is full, for real.
class FullStream : public Stream {
  protected:
    static constexpr std::uint64_t room = 64 * 1024;
    void SetUp() override {
        if (::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=64k,mode=0700") != 0) {
            GTEST_SKIP() << "tmpfs can't be mounted here";
        }
        mounted_ = true;
        file_on_it_ = std::make_unique<test::File>(open("stream"));
        keep(*file_on_it_);
        stream_->demand.stored = 1 << 20;
    }
    void TearDown() override {
        if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
    }
    UniqueFd open(const std::string& name) const {
        return UniqueFd(::open((folder_ / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    }
    // Takes all room but for so much.
    void fill(std::uint64_t but_for = 0) const {
        const UniqueFd file = open("filler");
        ASSERT_EQ(::posix_fallocate(file.get(), 0, static_cast<off_t>(room - but_for)), 0);
    }
    void make_room() const { ASSERT_EQ(::unlink((folder_ / "filler").c_str()), 0); }

    const TemporaryDirectory folder_;
    bool mounted_ = false;
    std::unique_ptr<test::File> file_on_it_;
};

TEST_F(FullStream, BytesWaitInThePipeUntilThereIsRoom) {
    fill(2 * least_block_bytes);
    pipe_.put(numbered(0, 4 * least_block_bytes));
    EXPECT_EQ(settle(), State::failed);
    EXPECT_EQ(step().error, ENOSPC);
    EXPECT_EQ(file_->stored(), numbered(0, 2 * least_block_bytes));
    make_room();
    EXPECT_EQ(settle(), State::empty);
    EXPECT_EQ(file_->stored(), numbered(0, 4 * least_block_bytes));
}

TEST_F(FullStream, TheOldestGiveWayWhereNobodyFollows) {
    fill(4 * least_block_bytes);
    pipe_.put(numbered(0, 4 * least_block_bytes));
    EXPECT_EQ(settle(), State::empty);
    pipe_.put(numbered(4 * least_block_bytes, least_block_bytes));
    stream_->demand.floor = 0;
    EXPECT_EQ(settle(Relief::drop), State::failed) << "somebody follows";
    stream_->demand.floor = none;
    EXPECT_EQ(settle(Relief::give_way), State::empty);
    EXPECT_EQ(stored_from(file_->get()), 2 * least_block_bytes);
    EXPECT_EQ(file_->stored(2 * least_block_bytes),
              numbered(2 * least_block_bytes, 3 * least_block_bytes));
}

// What is dropped is a hole from the front, so that readers see it: no zero is invented.
TEST_F(FullStream, WhereNothingIsLeftToFreeBytesAreDroppedAndCounted) {
    fill();
    pipe_.put(numbered(0, 3 * least_block_bytes + 800));
    EXPECT_EQ(settle(), State::failed);
    // Less than a block stays in the pipe.
    EXPECT_EQ(settle(Relief::give_way), State::failed);
    EXPECT_EQ(file_->size(), 3 * least_block_bytes);
    EXPECT_EQ(stored_from(file_->get()), 3 * least_block_bytes);
    make_room();
    EXPECT_EQ(settle(), State::empty);
    EXPECT_EQ(file_->stored(3 * least_block_bytes), numbered(3 * least_block_bytes, 800));
}

TEST_F(FullStream, APieceOfABlockIsDroppedWithTheWholeBlock) {
    fill();
    pipe_.put(numbered(0, 1000));
    EXPECT_EQ(settle(Relief::give_way), State::failed);
    EXPECT_EQ(file_->size(), 0U);
    // It waited for long.
    EXPECT_EQ(settle(Relief::drop), State::empty);
    EXPECT_EQ(file_->size(), 1000U);
    EXPECT_EQ(stored_from(file_->get()), 1000U);
    make_room();
    // Whoever takes over goes on in the same way.
    keep(*file_on_it_);
    std::uint64_t sent = 1000;
    for (int round = 0; round < 8; ++round, sent += 1024) {
        pipe_.put(numbered(sent, 1024));
        EXPECT_EQ(settle(), State::empty);
    }
    EXPECT_EQ(file_->size(), sent);
    EXPECT_EQ(stored_from(file_->get()), least_block_bytes);
    EXPECT_EQ(file_->stored(least_block_bytes),
              numbered(least_block_bytes, sent - least_block_bytes));
}

TEST_F(FullStream, WhatFinishesIsDroppedAndCountedAsWell) {
    fill();
    pipe_.put(numbered(0, 1000));
    stream_->finish();
    EXPECT_EQ(settle(), State::failed);
    stream_->demand.floor = 0;
    EXPECT_EQ(settle(Relief::drop), State::failed);
    stream_->demand.floor = none;
    EXPECT_EQ(settle(Relief::give_way), State::ended);
    EXPECT_EQ(file_->size(), 1000U);
    EXPECT_EQ(stored_from(file_->get()), 1000U);
}

// A hole behind what is stored would be zeros that the job never wrote.
TEST_F(Stream, WhereTheFileSystemHasNoHolesNothingIsDropped) {
    const TemporaryDirectory folder;
    if (::mount("ramfs", folder.path().c_str(), "ramfs", 0, "mode=0700") != 0) {
        GTEST_SKIP() << "ramfs can't be mounted here";
    }
    {
        const test::File file(
            UniqueFd(::open((folder / "stream").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)));
        keep(file);
        stream_->demand.stored = 1 << 20;
        pipe_.put(numbered(0, 8192));
        EXPECT_EQ(settle(), State::empty);
        ::signal(SIGXFSZ, SIG_IGN);
        rlimit before{};
        ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
        const rlimit full{8192, before.rlim_max};
        ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
        pipe_.put(numbered(8192, 8192));
        EXPECT_EQ(settle(Relief::give_way), State::failed);
        EXPECT_EQ(step(Relief::drop).error, EFBIG);
        ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
        ::signal(SIGXFSZ, SIG_DFL);
        EXPECT_EQ(settle(), State::empty);
        EXPECT_TRUE(file.stored() == numbered(0, 16'384));
        stream_.reset();
    }
    EXPECT_EQ(::umount2(folder.path().c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace postern::output
