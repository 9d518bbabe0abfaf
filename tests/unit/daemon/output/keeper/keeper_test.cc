// The program as a guard sees it.
#include "daemon/output/keeper/keeper.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
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
using test::Guard;
using test::Heard;
using test::job;
using test::KeeperChild;
using test::KeeperService;
using test::message;
using test::numbered;
using test::Pipe;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

using Sizes = std::array<std::uint64_t, streams>;

// Writes so many numbered bytes from a process of its own, and exits with 0.
pid_t write_numbered(const Pipe& pipe, std::uint64_t length) {
    return fork_child([&pipe, length] {
        constexpr std::size_t piece = 24 * 1024;
        for (std::uint64_t sent = 0; sent < length;) {
            const std::string bytes = numbered(sent, std::min<std::uint64_t>(piece, length - sent));
            std::size_t done = 0;
            while (done < bytes.size()) {
                const ssize_t count =
                    ::write(pipe.write.get(), bytes.data() + done, bytes.size() - done);
                if (count <= 0) return 1;
                done += static_cast<std::size_t>(count);
            }
            sent += bytes.size();
        }
        return 0;
    });
}

// ---- As the guard's child ----

TEST(Keeper, MovesWhatIsWrittenAndEndsWithTheGuard) {
    KeeperChild keeper;
    EXPECT_TRUE(keeper.guard.greet().empty());
    const Pipe pipe = keeper.guard.want_pipe();
    const File file;
    keeper.guard.keep(job(1), 0, pipe, file, 64 << 20);
    const pid_t writer = write_numbered(pipe, 8 << 20);
    EXPECT_EQ(end_of(writer), 0);
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{8 << 20, 0}));
    EXPECT_EQ(file.stored(), numbered(0, 8 << 20));
    EXPECT_EQ(keeper.guard.finish(job(1)), Sizes{}) << "it is not kept any more";
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
        EXPECT_EQ(files[i].stored(), numbered(0, (i + 1) << 20));
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
    keeper.guard.watch(job(1), 0, 0, none);
    EXPECT_EQ(end_of(writer), 0);
    EXPECT_EQ(keeper.guard.finish(job(1)), (Sizes{1 << 20, 0}));
    EXPECT_EQ(file.stored((1 << 20) - 64 * 1024), numbered((1 << 20) - 64 * 1024, 64 * 1024));
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
    EXPECT_EQ(::write(pipe.write.get(), "x", 1), -1);
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

// ---- What is not right ----

TEST(Keeper, AGuardThatSaysAnythingWrongEndsIt) {
    const Pipe pipe;
    const File file;
    const auto end_after = [](const auto& what, bool greet = true) {
        KeeperChild keeper;
        if (greet) keeper.guard.greet();
        what(keeper.guard);
        EXPECT_TRUE(keeper.guard.ended());
        return keeper.process->end();
    };
    const Packet good = encode(message(Kind::want_pipes));
    const auto bytes = [&](std::span<const std::uint8_t> packet) {
        return [packet](const Guard& guard) { guard.say_bytes(packet); };
    };
    EXPECT_EQ(end_after(bytes(std::span(good).first(packet_bytes - 1))), 1);
    std::vector<std::uint8_t> longer(packet_bytes + 1);
    std::ranges::copy(good, longer.begin());
    EXPECT_EQ(end_after(bytes(longer)), 1);
    Packet other = good;
    other[0] = 7;
    EXPECT_EQ(end_after(bytes(other)), 1);
    for (const Kind kind : {Kind::kept, Kind::all_kept, Kind::pipe, Kind::finished, Kind::hello}) {
        EXPECT_EQ(end_after([kind](const Guard& guard) { guard.say(message(kind, job(1))); }), 1)
            << static_cast<int>(kind);
    }
    EXPECT_EQ(end_after([](const Guard& guard) { guard.say(message(Kind::want_pipes)); }, false), 1)
        << "before hello";
    // Descriptors: too few, too many, others.
    const auto with = [&](Kind kind, std::vector<int> descriptors) {
        return end_after(
            [&](const Guard& guard) { guard.say(message(kind, job(1)), descriptors); });
    };
    EXPECT_EQ(with(Kind::keep, {}), 1);
    EXPECT_EQ(with(Kind::keep, {pipe.read.get()}), 1);
    EXPECT_EQ(with(Kind::keep, {pipe.read.get(), file.get(), file.get()}), 1);
    EXPECT_EQ(with(Kind::keep, {pipe.write.get(), file.get()}), 1);
    EXPECT_EQ(with(Kind::keep, {file.get(), pipe.read.get()}), 1);
    EXPECT_EQ(with(Kind::keep, {pipe.read.get(), pipe.write.get()}), 1);
    EXPECT_EQ(with(Kind::watch, {pipe.read.get()}), 1);
    EXPECT_EQ(with(Kind::room, std::vector<int>(200, pipe.read.get())), 1);
}

// It is not heard, and nothing else stops.
TEST(Keeper, AGuardThatDoesNotReadStopsNoStream) {
    KeeperChild keeper;
    keeper.guard.greet();
    const Pipe pipe;
    const File file;
    keeper.guard.keep(job(1), 0, pipe, file, 1 << 20);
    int said = 0;
    const Packet finish = encode(message(Kind::finish, job(2)));
    while (channel::send_packet(keeper.guard.channel(), finish, {}) == channel::Sent::sent ||
           said < 5000) {
        // The keeper may be in the middle of it.
        if (++said % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    pipe.put("goes on");
    file.await_size(7);
    for (int heard = 0; heard < 1000; ++heard) {
        EXPECT_EQ(keeper.guard.hear().message.kind, Kind::finished);
    }
}

TEST(Keeper, WrongArgumentsAreAUsageError) {
    for (const char* arguments : {"--help", "--service x", "--uid 1 --gid", "--uid x --gid 1"}) {
        const int status =
            std::system((std::string(POSTERN_OUTPUT " ") + arguments + " 2>/dev/null").c_str());
        EXPECT_EQ(WEXITSTATUS(status), 2) << arguments;
    }
    const std::string quiet = " 2>/dev/null </dev/null 3</dev/null";
    if (::geteuid() != 0) return;
    // Root is nobody to run as.
    EXPECT_EQ(WEXITSTATUS(std::system((POSTERN_OUTPUT + quiet).c_str())), 1);
    EXPECT_EQ(WEXITSTATUS(std::system((POSTERN_OUTPUT " --uid 0 --gid 0" + quiet).c_str())), 1);
}

// ---- As a service ----

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
    EXPECT_EQ(told.stored, 1000U);
    EXPECT_EQ(told.floor, 5U) << "who followed stands still, and is not gone";
    EXPECT_GT(told.stall, 1'000'000U);
    EXPECT_LE(told.stall, 60'000'000U);
    ASSERT_EQ(kept[0].descriptors.size(), 2U);
    const File again(std::move(kept[0].descriptors[1]));
    EXPECT_EQ(again.stored(), numbered(0, 160));
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

TEST(KeeperAsAService, StoresReadEndsWhenItIsToldToEndWithoutAGuard) {
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
        guard.want_pipe();
        guard.close();
        pipes[0].put("1234");
        files[0].await_size(4);
        keeper.process().signal(SIGTERM);
        stored.push_back(keeper.notice());
        stored.push_back(keeper.notice());
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
    // They are not to come back, whichever is over first; the other one's message is for the next
    // second.
    EXPECT_THAT(keeper.notice().text, AnyOf("FDSTOREREMOVE=1\nFDNAME=" + one + ".out",
                                            "FDSTOREREMOVE=1\nFDNAME=" + one + ".err"));
    keeper.process().signal(SIGTERM);
    EXPECT_EQ(keeper.process().end(), 0) << "a guard has all that it has";
    EXPECT_THAT(lines_of(keeper.said()),
                ElementsAre(HasSubstr("\"stored\""), HasSubstr(".err\""), HasSubstr(".oux\"")));
}

}  // namespace
}  // namespace postern::output
