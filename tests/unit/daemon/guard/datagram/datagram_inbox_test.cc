// Packets wait for the loop, a few of them, and who sends what lingers keeps nobody waiting.
#include "daemon/guard/datagram/datagram_inbox.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/guard/listen/listener.h"
#include "daemon/guard/listen/socket_options.h"
#include "tests/unit/daemon/droppers.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

class DatagramInboxTest : public testing::Test {
  protected:
    void SetUp() override {
        for (const char* const name : {"one", "other"}) {
            auto listener = bind_listener({folder_ / name, 0600, std::nullopt, true});
            ASSERT_TRUE(listener) << listener.error().message;
            listeners_.push_back(std::move(*listener));
        }
    }
    void create() {
        auto inbox = DatagramInbox::create({socket(0), socket(1)}, droppers_.source());
        ASSERT_TRUE(inbox) << inbox.error().message;
        inbox_ = std::move(*inbox);
    }
    [[nodiscard]] int socket(std::size_t number) const { return listeners_[number].socket.get(); }
    // Whether the kernel had room for it.
    bool send(std::size_t number, const std::string& bytes, const std::vector<int>& along = {}) {
        const sockaddr_un to = unix_address(folder_ / (number == 0 ? "one" : "other"));
        return send_with(client_.get(), bytes, along, MSG_DONTWAIT, &to, sizeof to) >= 0;
    }
    [[nodiscard]] bool is_ready(int wait_ms = 0) const {
        pollfd ready{inbox_->descriptor(), POLLIN, 0};
        return ::poll(&ready, 1, wait_ms) == 1;
    }
    // Waits for the next one.
    std::string take(std::size_t from) {
        while (taken_.empty()) {
            if (!is_ready(50'000)) return "nothing";
            taken_ = inbox_->take();
        }
        const auto item = std::move(taken_.front());
        taken_.pop_front();
        EXPECT_EQ(item.socket, from);
        return item.received.packet.payload;
    }

    const TemporaryDirectory folder_;
    const Droppers droppers_;
    std::vector<Listener> listeners_;
    UniqueFd client_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    std::unique_ptr<DatagramInbox> inbox_;
    std::deque<DatagramInbox::Item> taken_;
};

TEST_F(DatagramInboxTest, TakesThemOnceItIsStarted) {
    create();
    EXPECT_TRUE(send(0, "a"));
    EXPECT_FALSE(is_ready());
    inbox_->start();
    EXPECT_EQ(take(0), "a");
    EXPECT_FALSE(is_ready());
    EXPECT_TRUE(inbox_->is_empty());
    EXPECT_TRUE(send(1, "b"));
    EXPECT_EQ(take(1), "b");
}

TEST_F(DatagramInboxTest, TakesFromOneThatIsAddedAsWell) {
    create();
    inbox_->start();
    EXPECT_TRUE(send(0, "a"));
    EXPECT_EQ(take(0), "a");
    const std::string path = folder_ / "one";
    ASSERT_EQ(::rename(path.c_str(), (folder_ / "elsewhere").c_str()), 0);
    auto again = bind_listener({folder_ / "third", 0600, std::nullopt, true});
    ASSERT_TRUE(again);
    listeners_.push_back(std::move(*again));
    inbox_->add(socket(2));
    const sockaddr_un third = unix_address(folder_ / "third");
    ASSERT_GE(send_with(client_.get(), "b", {}, 0, &third, sizeof third), 0);
    EXPECT_EQ(take(2), "b");
    const sockaddr_un elsewhere = unix_address(folder_ / "elsewhere");
    ASSERT_GE(send_with(client_.get(), "c", {}, 0, &elsewhere, sizeof elsewhere), 0);
    EXPECT_EQ(take(0), "c");
}

TEST_F(DatagramInboxTest, KeepsFewAndLetsTheOthersWait) {
    create();
    inbox_->start();
    int sent = 0;
    // Until neither the inbox nor the kernel takes more.
    while (send(0, std::to_string(sent)) && sent < 10'000) ++sent;
    // The thread may still have been making room.
    while (send(0, std::to_string(sent)) && sent < 10'000) ++sent;
    ASSERT_LT(sent, 10'000);
    for (int i = 0; i < sent; ++i) ASSERT_EQ(take(0), std::to_string(i));
    EXPECT_FALSE(is_ready());
}

// Nobody has the room to themselves who sends without pause.
TEST_F(DatagramInboxTest, TakesFromEachInItsTurn) {
    create();
    const auto fill = [this] {
        int sent = 0;
        while (send(0, "flood")) ++sent;
        return sent;
    };
    int flood = fill();
    EXPECT_TRUE(send(1, "other"));
    inbox_->start();
    for (bool came = false; !came;) {
        ASSERT_TRUE(is_ready(50'000));
        for (const auto& item : inbox_->take()) {
            came = came || item.socket == 1;
            if (item.socket == 0) --flood;
        }
        flood += fill();
        // What the inbox may hold twice, and what the kernel's queue may hold.
        ASSERT_GT(flood, -1000) << "the other socket's packet is not taken";
    }
}

TEST_F(DatagramInboxTest, ReadsUnitsUntilNobodyWantsToKnow) {
    create();
    inbox_->start();
    const auto is_read = [this] {
        EXPECT_TRUE(send(0, "a"));
        while (taken_.empty() && is_ready(50'000)) taken_ = inbox_->take();
        const auto items = std::exchange(taken_, {});
        return items.front().received.packet.peer->unit.is_read();
    };
    EXPECT_TRUE(is_read());
    // The thread has seen the socket empty since.
    EXPECT_TRUE(is_read());
    inbox_->set_reads_units(false);
    const bool pinned = units_are_known() && refuses_descriptors(socket(0));
    bool read = true;
    for (int i = 0; i < 1000 && read == pinned; ++i) read = is_read();
    EXPECT_EQ(read, !pinned);
    inbox_->set_reads_units(true);
    EXPECT_TRUE(is_read());
}

TEST_F(DatagramInboxTest, WhatComesAfterItsEndWaitsForTheNextGuard) {
    create();
    inbox_->start();
    EXPECT_TRUE(send(0, "a"));
    EXPECT_TRUE(is_ready(50'000));
    inbox_->stop();
    EXPECT_TRUE(send(0, "b"));
    EXPECT_EQ(take(0), "a");
    EXPECT_FALSE(is_ready());
    create();
    inbox_->start();
    EXPECT_EQ(take(0), "b");
}

// ThreadSanitizer takes a descriptor for one and the same in all threads that have its number,
// which in the thread that starts programs it is not.
#ifndef __SANITIZE_THREAD__
// A hundred sockets whose last close stands still for an hour, in each of some packets.
TEST_F(DatagramInboxTest, WhatLingersKeepsNobodyWaiting) {
    LingeringSockets lingering;
    const int on = 1;
    (void)::setsockopt(socket(0), SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof on);
    create();
    for (int packet = 0; packet < 4; ++packet) {
        std::vector<UniqueFd> sockets;
        std::vector<int> numbers;
        for (int i = 0; i < 100; ++i) {
            sockets.push_back(lingering.make());
            numbers.push_back(sockets.back().get());
        }
        EXPECT_TRUE(send(0, "hostile", numbers));
    }
    EXPECT_TRUE(send(0, "other"));
    inbox_->start();
    for (int packet = 0; packet < 4; ++packet) EXPECT_EQ(take(0), "hostile");
    EXPECT_EQ(take(0), "other");
}
#endif

}  // namespace
}  // namespace postern
