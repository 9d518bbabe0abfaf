// The program, and guards that are not as they should be.
#include "daemon/output/keeper/keeper.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/daemon/output/keeper/running_keeper.h"
#include "tests/unit/daemon/output/keeper/streams.h"

namespace postern::output {
namespace {

using test::File;
using test::Guard;
using test::job;
using test::KeeperChild;
using test::message;
using test::Pipe;

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
    int tried = 0;
    int said = 0;
    const Packet finish = encode(message(Kind::finish, job(2)));
    for (bool sent = true; sent || tried < 5000;) {
        sent = channel::send_packet(keeper.guard.channel(), finish, {}) == channel::Sent::sent;
        if (sent) ++said;
        // The keeper may be in the middle of it.
        if (++tried % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    pipe.put("goes on");
    file.await_size(7);
    for (int heard = 0; heard < std::min(said, 1000); ++heard) {
        ASSERT_EQ(keeper.guard.hear().message.kind, Kind::finished);
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

}  // namespace
}  // namespace postern::output
