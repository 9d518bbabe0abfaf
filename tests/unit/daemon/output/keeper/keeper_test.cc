// The program as a guard sees it: streams of jobs.
#include "daemon/output/keeper/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "daemon/output/stored_file.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/output/keeper/running_keeper.h"
#include "tests/unit/daemon/output/keeper/streams.h"
#include "tests/unit/daemon/readable.h"
#include "tests/unit/file_text.h"
#include "tests/unit/temporary_directory.h"

namespace postern::output {
namespace {

using test::File;
using test::Heard;
using test::job;
using test::KeeperChild;
using test::message;
using test::numbered;
using test::Pipe;
using test::write_numbered;

using Sizes = std::array<std::uint64_t, streams>;

TEST(Keeper, MovesWhatIsWrittenAndEndsWithTheGuard) {
    KeeperChild keeper;
    EXPECT_TRUE(keeper.guard.greet().empty());
    const Pipe pipe = keeper.guard.want_pipe();
    const File file;
    keeper.guard.keep(job(1), 0, pipe, file, 64 << 20);
    const pid_t writer = write_numbered(pipe, 8 << 20);
    EXPECT_EQ(end_of(writer), 0);
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{8 << 20, 0}));
    EXPECT_TRUE(file.stored() == numbered(0, 8 << 20));
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{8 << 20, 0})) << "it is asked again";
    keeper.guard.close();
    EXPECT_EQ(keeper.process->end(), 0);
}

// Who has the end to write may not read by it what others wrote, and the other way round.
TEST(Keeper, GivesPipesOfWhichAJobCanOpenItsOwnEndAgain) {
    KeeperChild keeper;
    keeper.guard.greet();
    Message want = message(Kind::want_inputs);
    want.count = 2;
    keeper.guard.say(want);
    want.kind = Kind::want_pipes;
    want.count = 3;
    keeper.guard.say(want);
    int inputs = 0;
    for (int i = 0; i < 5; ++i) {
        const Heard heard = keeper.guard.hear();
        const bool input = heard.message.kind == Kind::input;
        inputs += input ? 1 : 0;
        ASSERT_EQ(heard.message.kind, input ? Kind::input : Kind::pipe);
        ASSERT_EQ(heard.descriptors.size(), 2U);
        EXPECT_TRUE(KeptStream::is_read_end(heard.descriptors[0].get()));
        struct stat status{};
        ASSERT_EQ(::fstat(heard.descriptors[1].get(), &status), 0);
        EXPECT_EQ(status.st_mode, S_IFIFO | (input ? 0644U : 0622U));
        EXPECT_EQ(status.st_uid, ::geteuid() == 0 ? 64001U : ::geteuid());
        EXPECT_EQ(::fcntl(heard.descriptors[1].get(), F_GETFL), O_WRONLY);
    }
    EXPECT_EQ(inputs, 2);
}

TEST(Keeper, TwoStreamsOfTwoJobs) {
    KeeperChild keeper;
    keeper.guard.greet();
    const std::array<Pipe, 4> pipes;
    const std::array<File, 4> files;
    std::array<pid_t, 4> writers{};
    for (std::size_t i = 0; i < pipes.size(); ++i) {
        keeper.guard.keep(job(static_cast<unsigned>(i / 2)), i % 2, pipes[i], files[i], 64 << 20);
        writers[i] = write_numbered(pipes[i], (i + 1) << 20);
    }
    for (const pid_t writer : writers) EXPECT_EQ(end_of(writer), 0);
    EXPECT_EQ(keeper.guard.finish(job(0)), (Sizes{1 << 20, 2 << 20}));
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{3 << 20, 4 << 20}));
    for (std::size_t i = 0; i < files.size(); ++i) {
        EXPECT_TRUE(files[i].stored() == numbered(0, (i + 1) << 20));
    }
}

TEST(Keeper, HoldsAJobBackForWhoFollowsAndLetsItGo) {
    KeeperChild keeper;
    keeper.guard.greet(64 * 1024);
    const Pipe pipe;
    const File file;
    keeper.guard.keep(job(1), 0, pipe, file, 0, 0);
    const pid_t writer = write_numbered(pipe, 1 << 20);
    file.await_size(64 * 1024);
    keeper.guard.watch(job(1), 0, 0, 100'000, 64 * 1024);
    EXPECT_EQ(keeper.guard.hear().message.kind, Kind::grown);
    file.await_size(64 * 1024 + 100'000);
    EXPECT_EQ(file.stored(100'000 - 100'000 % 4096).size(), file.size() - 98'304);
    keeper.guard.watch(job(1), 0, 32 * 1024, none);
    EXPECT_EQ(end_of(writer), 0);
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{1 << 20, 0}));
    EXPECT_TRUE(file.stored((1 << 20) - 32 * 1024) == numbered((1 << 20) - 32 * 1024, 32 * 1024));
    EXPECT_EQ(stored_from(file.get()), (1 << 20) - 32 * 1024);
}

TEST(Keeper, WhoAwaitsIsToldOnceAndAtOnceWhereItIsSoAlready) {
    KeeperChild keeper;
    keeper.guard.greet();
    const Pipe pipe;
    const File file;
    keeper.guard.keep(job(1), 1, pipe, file, 0);
    keeper.guard.watch(job(1), 1, 0, none, 0);
    pipe.put("12345");
    const Heard heard = keeper.guard.hear();
    EXPECT_EQ(heard.message.kind, Kind::grown);
    EXPECT_EQ(heard.message.stream, 1);
    EXPECT_EQ(heard.message.sizes, (Sizes{0, 5}));
    pipe.put("678");
    file.await_size(8);
    keeper.guard.watch(job(1), 1, 0, none, 7);
    EXPECT_EQ(keeper.guard.hear().message.sizes, (Sizes{0, 8}));
    keeper.guard.watch(job(1), 1, 0, none, 8);
    // Nothing comes of that: the answer to this is the next message.
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{0, 8}));
}

TEST(Keeper, AStrangerWhoStillWritesIsNotWaitedForAndGetsSigpipe) {
    KeeperChild keeper;
    keeper.guard.greet();
    Pipe pipe = keeper.guard.want_pipe();
    const File file;
    keeper.guard.keep(job(1), 0, pipe, file, 1 << 20);
    pipe.read.reset();
    const pid_t stranger = fork_child([&pipe] {
        while (::write(pipe.write.get(), "for ever", 8) > 0) {
        }
        return 1;
    });
    file.await_size(4096);
    const Sizes sizes = keeper.guard.finish(job(1));
    EXPECT_EQ(sizes[0], file.size());
    const int status = end_of(stranger);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) << status;
    EXPECT_EQ(sizes[0], file.size());
}

TEST(Keeper, WhatIsForgottenIsLetGo) {
    KeeperChild keeper;
    keeper.guard.greet();
    Pipe pipe = keeper.guard.want_pipe();
    const File file;
    keeper.guard.keep(job(1), 0, pipe, file, 1 << 20);
    keeper.guard.say(message(Kind::forget, job(1)));
    EXPECT_EQ(keeper.guard.finish(job(1)), Sizes{});
    ::signal(SIGPIPE, SIG_IGN);
    pipe.read.reset();
    // A thread lets go of it.
    while (::write(pipe.write.get(), "x", 1) == 1) {
    }
    EXPECT_EQ(errno, EPIPE);
    ::signal(SIGPIPE, SIG_DFL);
    keeper.guard.watch(job(1), 0, 0, 0);
    keeper.guard.say(message(Kind::forget, job(1)));
    EXPECT_EQ(keeper.guard.finish(job(2)), Sizes{});
}

// Idle, held back, without a writer: none of them wakes it.
TEST(Keeper, StreamsThatNothingIsToBeDoneForCostNothing) {
    KeeperChild keeper;
    keeper.guard.greet(4096);
    std::array<Pipe, 3> pipes;
    const std::array<File, 3> files;
    for (std::size_t i = 0; i < pipes.size(); ++i) {
        keeper.guard.keep(job(static_cast<unsigned>(i)), 0, pipes[i], files[i], 0, 0);
    }
    pipes[1].put(std::string(60'000, 'x'));
    pipes[2].put("x");
    pipes[2].write.reset();
    files[1].await_size(4096);
    files[2].await_size(1);
    keeper.guard.want_pipe();  // it has done all that
    const auto switches = [&keeper] {
        const auto lines =
            lines_of(read_path("/proc/" + std::to_string(keeper.process->pid()) + "/status"));
        std::string found;
        for (const std::string& line : lines) {
            if (line.find("ctxt_switches") != std::string::npos) found += line;
        }
        return found;
    };
    std::string before = switches();
    // It may be about to wait.
    for (;;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        const std::string now = switches();
        if (now == before) break;
        before = now;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_EQ(switches(), before);
}

// Killed at any moment, with the next one taking over: nothing is lost, nothing doubled.
TEST(Keeper, KilledAtRandomNothingIsLostOrDoubled) {
    const int rounds = std::getenv("POSTERN_LONG") != nullptr ? 1000 : 50;
    const TemporaryDirectory folder;
    const File file(
        UniqueFd(::open((folder / "stream").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)));
    const Pipe pipe;
    std::mt19937 random(std::random_device{}());
    const std::uint64_t length = static_cast<std::uint64_t>(rounds) << 20;
    const pid_t writer = write_numbered(pipe, length);
    for (int round = 0; round < rounds; ++round) {
        KeeperChild keeper;
        keeper.guard.greet();
        keeper.guard.keep(job(1), 0, pipe, file, none / 2);
        // Each gets some way, and then is killed wherever it is.
        const std::uint64_t goal = std::min(
            file.size() + std::uniform_int_distribution<std::uint64_t>(1, 1 << 20)(random), length);
        while (file.size() < goal) std::this_thread::yield();
        keeper.process->signal(SIGKILL);
        EXPECT_EQ(keeper.process->end(), -SIGKILL);
    }
    KeeperChild keeper;
    keeper.guard.greet();
    keeper.guard.keep(job(1), 0, pipe, file, none / 2);
    EXPECT_EQ(end_of(writer), 0);
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{length, 0}));
    constexpr std::uint64_t piece = 1 << 20;
    std::string bytes(piece, '?');
    for (std::uint64_t from = 0; from < length; from += piece) {
        ASSERT_EQ(::pread(file.get(), bytes.data(), piece, static_cast<off_t>(from)),
                  static_cast<ssize_t>(piece));
        ASSERT_EQ(bytes == numbered(from, piece), true) << "at " << from;
    }
}

}  // namespace
}  // namespace postern::output
