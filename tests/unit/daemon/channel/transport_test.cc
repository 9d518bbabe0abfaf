#include "daemon/channel/transport.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <memory>

#include "tests/unit/sockets.h"

namespace postern::channel {
namespace {

using State = Received::State;

struct Pair {
    Pair() {
        auto made = make_pair();
        EXPECT_TRUE(made.has_value());
        here = std::move(made->first);
        there = std::move(made->second);
    }
    UniqueFd here;
    UniqueFd there;
    // Large: on the heap.
    std::unique_ptr<Receiver> receiver = std::make_unique<Receiver>(Descriptors::taken);
};

bool close_on_exec(int fd) {
    return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

TEST(Transport, CarriesOnePacketAtATime) {
    Pair pair;
    EXPECT_EQ(send_packet(pair.here.get(), Bytes{1, 2, 3}, {}), Sent::sent);
    EXPECT_EQ(send_packet(pair.here.get(), Bytes{4}, {}), Sent::sent);
    auto received = pair.receiver->receive(pair.there.get());
    ASSERT_EQ(received.state, State::packet);
    EXPECT_EQ(Bytes(received.packet.begin(), received.packet.end()), (Bytes{1, 2, 3}));
    received = pair.receiver->receive(pair.there.get());
    EXPECT_EQ(Bytes(received.packet.begin(), received.packet.end()), (Bytes{4}));
    EXPECT_EQ(pair.receiver->receive(pair.there.get()).state, State::nothing);
}

Bytes bytes_of(const Received& received) {
    return {received.packet.begin(), received.packet.end()};
}

// So that nobody has to ask whether there is a third.
TEST(Transport, TwoAreReceivedAtATimeAndTheSecondSaysWhetherThereIsOne) {
    Pair pair;
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int descriptor = null.get();
    EXPECT_EQ(pair.receiver->receive_two(pair.there.get())[0].state, State::nothing);
    ASSERT_EQ(send_packet(pair.here.get(), Bytes{1}, {}), Sent::sent);
    auto two = pair.receiver->receive_two(pair.there.get());
    EXPECT_EQ(bytes_of(two[0]), Bytes{1});
    EXPECT_EQ(two[1].state, State::nothing);
    const Bytes longest(limits::packet_bytes, 7);
    ASSERT_EQ(send_packet(pair.here.get(), longest, {}), Sent::sent);
    ASSERT_EQ(send_packet(pair.here.get(), Bytes{2}, std::span(&descriptor, 1)), Sent::sent);
    pair.here.reset();
    two = pair.receiver->receive_two(pair.there.get());
    EXPECT_EQ(bytes_of(two[0]), longest);
    EXPECT_EQ(two[0].descriptors.size(), 0U);
    EXPECT_EQ(bytes_of(two[1]), Bytes{2});
    EXPECT_EQ(two[1].descriptors.size(), 1U);
    two = pair.receiver->receive_two(pair.there.get());
    EXPECT_EQ(two[0].state, State::ended);
}

TEST(Transport, TheSecondIsLookedAtLikeTheFirst) {
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (const bool first : {true, false}) {
        Pair pair;
        const auto strict = std::make_unique<Receiver>(Descriptors::refused);
        if (!first) {
            ASSERT_EQ(send_packet(pair.here.get(), Bytes{1}, {}), Sent::sent);
        }
        ASSERT_EQ(send_with(pair.here.get(), "x", std::array{null.get()}), 1);
        const auto two = strict->receive_two(pair.there.get());
        EXPECT_EQ(two[0].state, first ? State::ended : State::packet);
        EXPECT_EQ(two[0].refused_descriptors, first);
        EXPECT_EQ(two[1].state, first ? State::nothing : State::ended);
        EXPECT_EQ(two[1].refused_descriptors, !first);
    }
}

TEST(Transport, EndsAreNonBlockingAndCloseOnExec) {
    const Pair pair;
    for (const int fd : {pair.here.get(), pair.there.get()}) {
        EXPECT_TRUE(close_on_exec(fd));
        EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    }
}

TEST(Transport, CarriesTheLongestPacket) {
    Pair pair;
    const Bytes packet(limits::packet_bytes, 7);
    ASSERT_EQ(send_packet(pair.here.get(), packet, {}), Sent::sent);
    const auto received = pair.receiver->receive(pair.there.get());
    ASSERT_EQ(received.state, State::packet);
    EXPECT_EQ(received.packet.size(), packet.size());
}

TEST(Transport, ALongerPacketEndsTheChannel) {
    Pair pair;
    const Bytes packet(limits::packet_bytes + 1, 7);
    ASSERT_EQ(send_packet(pair.here.get(), packet, {}), Sent::sent);
    EXPECT_EQ(pair.receiver->receive(pair.there.get()).state, State::ended);
}

TEST(Transport, CarriesDescriptorsWithTheirPacket) {
    Pair pair;
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const std::array<int, 2> two = {null.get(), null.get()};
    ASSERT_EQ(send_packet(pair.here.get(), Bytes{1}, {}), Sent::sent);
    ASSERT_EQ(send_packet(pair.here.get(), Bytes{2}, two), Sent::sent);
    EXPECT_TRUE(pair.receiver->receive(pair.there.get()).descriptors.empty());
    const auto received = pair.receiver->receive(pair.there.get());
    ASSERT_EQ(received.state, State::packet);
    ASSERT_EQ(received.descriptors.size(), 2U);
    for (const auto& descriptor : received.descriptors) {
        struct stat sent{};
        struct stat got{};
        ASSERT_EQ(::fstat(null.get(), &sent), 0);
        ASSERT_EQ(::fstat(descriptor.get(), &got), 0);
        EXPECT_EQ(sent.st_rdev, got.st_rdev);
        EXPECT_TRUE(close_on_exec(descriptor.get()));
        EXPECT_NE(descriptor.get(), null.get());
    }
}

// Room for as many descriptors as one message can carry: none is closed inside recvmsg().
TEST(Transport, ReceivesAsManyDescriptorsAsTheKernelCarries) {
    Pair pair;
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    std::array<int, 253> many{};
    many.fill(null.get());
    ASSERT_EQ(send_with(pair.here.get(), "x", many), 1);
    const auto received = pair.receiver->receive(pair.there.get());
    EXPECT_EQ(received.state, State::packet);
    EXPECT_EQ(received.descriptors.size(), many.size());
}

// Who takes none: they never become descriptors of this process.
TEST(Transport, RefusesDescriptors) {
    Pair pair;
    const auto strict = std::make_unique<Receiver>(Descriptors::refused);
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int lowest_free = UniqueFd(::dup(null.get())).get();
    ASSERT_EQ(send_with(pair.here.get(), "x", std::array{null.get(), null.get()}), 1);
    const auto received = strict->receive(pair.there.get());
    EXPECT_EQ(received.state, State::ended);
    EXPECT_TRUE(received.refused_descriptors);
    EXPECT_THAT(received.descriptors, testing::IsEmpty());
    EXPECT_EQ(UniqueFd(::dup(null.get())).get(), lowest_free);
    ASSERT_EQ(send_packet(pair.here.get(), Bytes{1}, {}), Sent::sent);
    const auto next = strict->receive(pair.there.get());
    EXPECT_EQ(next.state, State::packet);
    EXPECT_FALSE(next.refused_descriptors);
}

TEST(Transport, SaysWhenThePeerDoesNotReadAndWhenItIsGone) {
    Pair pair;
    const Bytes packet(std::size_t{16} * 1024, 7);
    int sent = 0;
    while (send_packet(pair.here.get(), packet, {}) == Sent::sent) ASSERT_LT(++sent, 1000);
    EXPECT_EQ(send_packet(pair.here.get(), packet, {}), Sent::full);
    pair.there.reset();
    EXPECT_EQ(send_packet(pair.here.get(), packet, {}), Sent::ended);
    EXPECT_EQ(pair.receiver->receive(pair.here.get()).state, State::ended);
}

TEST(Transport, WhatAPeerSentIsReadThoughItLeftWithoutReading) {
    Pair pair;
    ASSERT_EQ(send_packet(pair.here.get(), Bytes{1}, {}), Sent::sent);
    ASSERT_EQ(send_packet(pair.there.get(), Bytes{2}, {}), Sent::sent);
    pair.here.reset();
    EXPECT_EQ(pair.receiver->receive(pair.there.get()).state, State::packet);
    EXPECT_EQ(pair.receiver->receive(pair.there.get()).state, State::ended);
}

TEST(Transport, AnEmptyPacketIsTheEnd) {
    Pair pair;
    ASSERT_EQ(::send(pair.here.get(), "", 0, 0), 0);
    EXPECT_EQ(pair.receiver->receive(pair.there.get()).state, State::ended);
}

}  // namespace
}  // namespace postern::channel
