// The program as a service, which outlives guards.
#include "daemon/output/keeper/keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/output/keeper/running_keeper.h"
#include "tests/unit/daemon/output/keeper/streams.h"
#include "tests/unit/daemon/readable.h"
#include "tests/unit/file_text.h"
#include "tests/unit/temporary_directory.h"

namespace postern::output {
namespace {

using test::File;
using test::Guard;
using test::Heard;
using test::job;
using test::KeeperService;
using test::message;
using test::numbered;
using test::Pipe;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

using Sizes = std::array<std::uint64_t, streams>;

TEST(KeeperAsAService, OutlivesGuardsAndGivesThemAllThatItKeeps) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    Guard first = keeper.connect();
    EXPECT_TRUE(first.greet(64 * 1024).empty());
    const Pipe pipe;
    const File file;
    first.keep(job(1), 1, pipe, file, 1000, 5);
    pipe.put(numbered(0, 80));
    file.await_size(80);
    first.close();
    pipe.put(numbered(80, 80));
    file.await_size(160);

    Guard second = keeper.connect();
    std::vector<Heard> kept = second.greet(64 * 1024);
    ASSERT_EQ(kept.size(), 1U);
    const Message& told = kept[0].message;
    EXPECT_EQ(told.job, job(1));
    EXPECT_EQ(told.stream, 1);
    EXPECT_EQ(told.floor, 5U) << "who followed stands still, and is not gone";
    EXPECT_GT(told.stall, 1'000'000U);
    EXPECT_LE(told.stall, 60'000'000U);
    ASSERT_EQ(kept[0].descriptors.size(), 2U);
    const File again(std::move(kept[0].descriptors[1]));
    EXPECT_TRUE(again.stored() == numbered(0, 160));
    int waiting = -1;
    EXPECT_EQ(::ioctl(kept[0].descriptors[0].get(), FIONREAD, &waiting), 0);
    EXPECT_EQ(waiting, 0);
    // What it has already is no new stream.
    second.keep(job(1), 1, pipe, file, 1000);
    pipe.put(numbered(160, 8));
    EXPECT_EQ(second.finish(job(1)), (Sizes{0, 168}));
}

TEST(KeeperAsAService, WhoFollowedWithAGuardThatIsGoneHoldsTheJobForTheStallAlone) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    Guard guard = keeper.connect();
    guard.greet(4096, 200'000);
    const Pipe pipe;
    const File file;
    guard.keep(job(1), 0, pipe, file, 0, 0);
    pipe.put(numbered(0, 8192));
    file.await_size(4096);
    guard.close();
    file.await_size(8192);
}

TEST(KeeperAsAService, ServesTheFirstGuardUntilItHasLeft) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    Guard first = keeper.connect();
    first.greet();
    for (int i = 0; i < 3; ++i) {
        Guard second = keeper.connect();
        const Heard heard = second.hear();
        EXPECT_EQ(heard.message.kind, Kind::refused);
        EXPECT_EQ(heard.message.count, static_cast<std::uint32_t>(::getpid()));
        EXPECT_TRUE(second.ended());
    }
    first.want_pipe();
    // The next one is let in at once.
    first.close();
    Guard second = keeper.connect();
    second.greet();
    second.want_pipe();
    // A wrong one is sent away, and another may come.
    const std::array<std::uint8_t, 3> wrong = {1, 2, 3};
    second.say_bytes(wrong);
    EXPECT_TRUE(second.ended());
    Guard third = keeper.connect();
    third.greet();
    third.want_pipe();
}

// One that waited for its place, beside a guard that is restarted while its jobs run.
TEST(KeeperAsAService, AGuardWithOtherJobsIsNotLetInBetweenTwoOfOne) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    std::optional<Guard> first = keeper.connect();
    first->greet();
    const Pipe pipe;
    const File file;
    first->keep(job(1), 0, pipe, file, 1 << 20);
    first->want_pipe();
    first.reset();
    Guard other = keeper.connect();
    Message hello = message(Kind::hello);
    hello.owner = 2;
    other.say(hello);
    const Heard heard = other.hear();
    EXPECT_EQ(heard.message.kind, Kind::refused);
    EXPECT_EQ(heard.message.count, 0U);
    EXPECT_TRUE(other.ended());
    Guard second = keeper.connect();
    EXPECT_EQ(second.greet().size(), 1U);
    pipe.put(numbered(0, 1000));
    EXPECT_EQ(second.finish(job(1)), (Sizes{1000, 0}));
    second.say(message(Kind::forget, job(1)));
    // Nothing is kept any more.
    second.close();
    Guard third = keeper.connect();
    EXPECT_TRUE(third.greet(1 << 20, 60'000'000, 2).empty());
}

// It may have started a job with that, and been killed at once.
TEST(KeeperAsAService, WhatAGuardHadSaidIsDoneWhenItIsGone) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    for (const bool another_is_there : {true, false}) {
        const auto id = job(another_is_there ? 1 : 2);
        auto first = std::make_optional(keeper.connect());
        first->greet();
        // It leaves without having read this.
        Message want = message(Kind::want_pipes);
        want.count = 5;
        first->say(want);
        ASSERT_TRUE(readable_within(first->channel()));
        keeper.process().signal(SIGSTOP);
        std::optional<Pipe> pipe(std::in_place);
        const File file;
        first->keep(id, 0, *pipe, file, 1 << 20);
        pipe->read.reset();
        first.reset();
        std::optional<Guard> second;
        if (another_is_there) second = keeper.connect();
        keeper.process().signal(SIGCONT);
        pipe->put(numbered(0, 1000));
        file.await_size(1000);
        if (!second) second = keeper.connect();
        const auto kept = second->greet();
        ASSERT_EQ(kept.size(), 1U);
        EXPECT_EQ(kept[0].message.job, id);
        second->finish(id);
        second->say(message(Kind::forget, id));
    }
}

TEST(KeeperAsAService, OnlyRootAndItsOwnUserAreGuards) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    struct stat status{};
    ASSERT_EQ(::stat((folder / "socket").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, S_IFSOCK | 0660U);
    ASSERT_EQ(::chmod((folder / "socket").c_str(), 0666), 0);
    Guard guard = keeper.connect();
    guard.greet();
    const auto as = [&keeper](uid_t uid) {
        return end_of(fork_child([&keeper, uid] {
            if (::setresuid(uid, uid, uid) != 0) return 3;
            Guard stranger = keeper.connect();
            pollfd waiting{stranger.channel(), POLLIN, 0};
            return ::poll(&waiting, 1, 50'000) == 1 && (waiting.revents & POLLHUP) != 0 ? 1 : 2;
        }));
    };
    EXPECT_EQ(WEXITSTATUS(as(64003)), 1);
    guard.want_pipe();
}

TEST(KeeperAsAService, TheManagerHearsThatItIsAlive) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path(), {}, std::chrono::milliseconds(20));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(keeper.notice().text, "WATCHDOG=1");
}

TEST(KeeperAsAService, StoresReadEndsWhenItIsToldToEnd) {
    const TemporaryDirectory folder(0755);
    std::vector<KeeperService::Notice> stored;
    const std::array<Pipe, 2> pipes;
    const std::array<File, 2> files;
    {
        KeeperService keeper(folder.path());
        Guard guard = keeper.connect();
        guard.greet();
        guard.keep(job(1), 0, pipes[0], files[0], 0);
        guard.keep(job(1), 1, pipes[1], files[1], 0);
        // That one has them too: it may be told to end in the same moment.
        guard.want_pipe();
        pipes[0].put("1234");
        files[0].await_size(4);
        keeper.process().signal(SIGTERM);
        stored.push_back(keeper.notice());
        stored.push_back(keeper.notice());
        EXPECT_EQ(keeper.notice().text, "BARRIER=1");
        EXPECT_EQ(keeper.process().end(), 0);
    }
    const std::string one = job(1).text();
    EXPECT_EQ(stored[0].text, "FDSTORE=1\nFDNAME=" + one + ".err\nFDPOLL=0");
    EXPECT_EQ(stored[1].text, "FDSTORE=1\nFDNAME=" + one + ".out\nFDPOLL=0");
    ASSERT_EQ(stored[0].descriptors.size(), 1U);
    ASSERT_EQ(stored[1].descriptors.size(), 1U);
    pipes[0].put("5678");

    const File other;
    KeeperService keeper(folder.path(), {{one + ".out", stored[1].descriptors[0].get()},
                                         {"stored", files[1].get()},
                                         {one + ".err", files[1].get()},
                                         {one + ".oux", stored[0].descriptors[0].get()},
                                         {one + ".err", stored[0].descriptors[0].get()}});
    Guard guard = keeper.connect();
    std::vector<Heard> kept = guard.greet();
    ASSERT_EQ(kept.size(), 2U);
    for (const Heard& heard : kept) {
        EXPECT_EQ(heard.message.job, job(1));
        EXPECT_EQ(heard.descriptors.size(), 1U) << "the file is the guard's to bring";
    }
    guard.keep(job(1), 0, pipes[0], files[0], 0);
    guard.keep(job(1), 1, pipes[1], files[1], 0);
    EXPECT_EQ(guard.finish(job(1)), (Sizes{8, 0}));
    EXPECT_EQ(files[0].stored(), "12345678");
    // They are not to come back; the other one's message is for the next second.
    EXPECT_THAT(keeper.notice().text, StartsWith("FDSTOREREMOVE=1\nFDNAME=" + one));
    EXPECT_EQ(keeper.notice().text, "BARRIER=1");
    keeper.process().signal(SIGTERM);
    EXPECT_EQ(keeper.notice().text, "BARRIER=1");
    EXPECT_EQ(keeper.process().end(), 0);
    EXPECT_THAT(lines_of(keeper.said()),
                ElementsAre(HasSubstr("\"stored\""), HasSubstr(".err\""), HasSubstr(".oux\"")));
}

TEST(KeeperAsAService, AsksForTimeWhileTheManagerStores) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    Guard guard = keeper.connect();
    guard.greet();
    const Pipe pipe;
    const File file;
    guard.keep(job(1), 0, pipe, file, 0);
    guard.want_pipe();
    keeper.process().signal(SIGTERM);
    EXPECT_THAT(keeper.notice().text, StartsWith("FDSTORE=1"));
    {
        const KeeperService::Notice barrier = keeper.notice();
        EXPECT_EQ(barrier.text, "BARRIER=1");
        EXPECT_EQ(keeper.notice().text, "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=10000000");
    }
    EXPECT_EQ(keeper.process().end(), 0);
}

// What it said before it went counts: nobody else may have the descriptors.
TEST(KeeperAsAService, AGuardIsHeardToItsEnd) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    constexpr unsigned jobs = 100;  // more than are heard in a turn
    std::vector<File> files(jobs);
    std::vector<UniqueFd> write_ends;
    Guard first = keeper.connect();
    first.greet();
    // All of it waits for the keeper, and the next guard too.
    keeper.process().signal(SIGSTOP);
    for (unsigned number = 0; number < jobs; ++number) {
        const Pipe pipe;
        pipe.put(numbered(0, 800));
        write_ends.push_back(test::again(pipe.write));
        first.keep(job(number), 0, pipe, files[number], 1 << 20, 0);
    }
    first.close();
    Guard second = keeper.connect();
    keeper.process().signal(SIGCONT);
    EXPECT_EQ(second.greet().size(), jobs);
    for (unsigned number = 0; number < jobs; ++number) {
        EXPECT_EQ(second.finish(job(number)), (Sizes{800, 0}));
    }
}

TEST(KeeperAsAService, WhatHasFinishedIsSaidToEachGuardUntilOneForgetsIt) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    Guard first = keeper.connect();
    first.greet();
    const Pipe pipe;
    const File file;
    first.keep(job(1), 1, pipe, file, 1 << 20);
    pipe.put("12345");
    // It goes before it can do anything about it.
    EXPECT_EQ(first.finish(job(1)), (Sizes{0, 5}));
    first.close();
    for (int round = 0; round < 2; ++round) {
        Guard next = keeper.connect();
        std::vector<Heard> kept;
        std::vector<Heard> finished;
        next.greet(kept, finished);
        EXPECT_TRUE(kept.empty());
        ASSERT_EQ(finished.size(), 1U);
        EXPECT_EQ(finished[0].message.job, job(1));
        EXPECT_EQ(finished[0].message.sizes, (Sizes{0, 5}));
        if (round == 1) next.say(message(Kind::forget, job(1)));
    }
    Guard last = keeper.connect();
    EXPECT_TRUE(last.greet().empty());
    EXPECT_EQ(last.finish(job(1)), Sizes{});
}

// The guard's own may be gone: whoever closes it last may stand still.
TEST(KeeperAsAService, GivesWriteEndsBack) {
    const TemporaryDirectory folder(0755);
    KeeperService keeper(folder.path());
    const File file;
    {
        Guard first = keeper.connect();
        first.greet();
        Pipe pipe = first.want_pipe();
        Message keep = message(Kind::keep, job(1));
        keep.floor = keep.awaited = none;
        const int descriptors[] = {pipe.read.get(), file.get(), pipe.write.get()};
        first.say(keep, descriptors);
    }
    Guard second = keeper.connect();
    std::vector<Heard> kept = second.greet();
    ASSERT_EQ(kept.size(), 1U);
    ASSERT_EQ(kept[0].descriptors.size(), 3U);
    EXPECT_TRUE(KeptStream::is_read_end(kept[0].descriptors[0].get()));
    ASSERT_TRUE(KeptStream::is_write_end(kept[0].descriptors[2].get()));
    EXPECT_EQ(::write(kept[0].descriptors[2].get(), "12345", 5), 5);
    EXPECT_EQ(second.finish(job(1)), (Sizes{5, 0}));
}

// UndefinedBehaviorSanitizer looks at objects through a pipe, for which there is no descriptor
// then.
#ifndef POSTERN_SANITIZED
TEST(KeeperAsAService, WithoutADescriptorForAConnectionItWaits) {
    const TemporaryDirectory folder(0755);
    constexpr std::size_t descriptors = 40;
    KeeperService keeper(folder.path(), {}, {}, descriptors);
    const std::string proc = "/proc/" + std::to_string(keeper.process().pid());
    const auto left = [&proc] {
        const auto begin = std::filesystem::directory_iterator(proc + "/fd");
        return descriptors - static_cast<std::size_t>(std::distance(begin, {}));
    };
    const auto ticks = [&proc] {
        const std::string text = read_path(proc + "/stat");
        std::istringstream fields(text.substr(text.rfind(')') + 2));
        std::vector<std::string> values{std::istream_iterator<std::string>(fields), {}};
        return std::stoul(values.at(11)) + std::stoul(values.at(12));  // utime, stime
    };
    Guard first = keeper.connect();
    first.greet();
    const File file;
    for (unsigned number = 0; left() > 0; ++number) {
        ASSERT_LT(number, descriptors);
        const Pipe pipe;
        const int three[] = {pipe.read.get(), file.get(), pipe.write.get()};
        const std::size_t count = left() % 2 == 1 ? 3 : 2;
        first.say(message(Kind::keep, job(number)), std::span(three).first(count));
        first.finish(job(12345));
    }
    const auto begin = ticks();
    Guard second = keeper.connect();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    EXPECT_LE(ticks() - begin, 5U) << "it tries all the time";
    first.say(message(Kind::forget, job(0)));
    first.close();
    std::vector<Heard> kept;
    std::vector<Heard> finished;
    second.greet(kept, finished);
    second.want_pipe();
}
#endif

}  // namespace
}  // namespace postern::output
