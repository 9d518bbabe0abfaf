// Connections of uids that the user database does not list wait until it is known whether they have
// an account.
#include "daemon/guard/known_callers.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/host/fake_accounts.h"
#include "tests/unit/sockets.h"

namespace postern {
namespace {

constexpr std::uint64_t turn_usec = 50'000'000;

struct RecordingTaker final : ConnectionTaker {
    void charge(policy::Caller& /*caller*/) const override {}
    [[nodiscard]] PeerQuestions questions(const policy::Caller& caller) const override {
        return {.unit = caller.uid == 1001, .map = caller.gid == 1001};
    }
    void admit(UniqueFd connection, Peer peer, const Listener& /*listener*/) override {
        EXPECT_TRUE(connection);
        admitted.push_back(peer.caller);
    }
    void refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                const WhyRefused& why) override {
        EXPECT_TRUE(connection);
        refused.push_back(std::to_string(peer->caller.uid) + ' ' + listener + ' ' + why.reason);
    }
    std::vector<policy::Caller> admitted;
    std::vector<std::string> refused;
};

class KnownCallersTest : public testing::Test {
  protected:
    KnownCallersTest() {
        listener_.name = "/s";
        auto made = KnownCallers::create(event_.get(), taker_, names_);
        EXPECT_TRUE(made);
        known_ = std::move(*made);
        auto snapshot = std::make_shared<policy::Snapshot>();
        snapshot->people.accounts = {1001};
        snapshot->people.ranges = policy::UidRanges({{100000, 165535, 1001}});
        known_->set_snapshot(snapshot);
    }

    void admit(uid_t uid, std::vector<uid_t> map = {}) {
        SocketPair pair;
        Peer peer;
        peer.caller.uid = uid;
        peer.caller.mapped_from = std::move(map);
        known_->admit(std::move(pair.here), std::move(peer), listener_);
    }
    void wait_for(std::size_t count) {
        while (taker_.admitted.size() < count) ASSERT_GT(sd_event_run(event_.get(), turn_usec), 0);
    }

    // Nobody lists these: People has member (1001) alone.
    const FakeAccounts accounts_{
        {{"member", 1001, 1001, "/", "/bin/sh"}, {"unlisted", 20000, 20000, "/", "/bin/sh"}}, {}};
    RecordingTaker taker_;
    AccountNames names_;
    Listener listener_;
    EventLoop event_ = make_event_loop();
    std::unique_ptr<KnownCallers> known_;
};

using Uids = std::vector<uid_t>;

TEST_F(KnownCallersTest, WhatIsAskedOfAProcessIsNotItsOwnToSay) {
    policy::Caller caller;
    caller.uid = 1001;
    EXPECT_TRUE(known_->questions(caller).unit);
    EXPECT_FALSE(known_->questions(caller).map);
    caller.gid = 1001;
    EXPECT_TRUE(known_->questions(caller).map);
}

TEST_F(KnownCallersTest, WhoIsListedOrInARangeDoesNotWait) {
    admit(1001);
    admit(100005, {1001, 100000});
    ASSERT_EQ(taker_.admitted.size(), 2U);
    EXPECT_EQ(taker_.admitted[0].accounts, Uids{});
    EXPECT_EQ(known_->waiting(), 0U);
}

TEST_F(KnownCallersTest, OthersAreLookedUpOnce) {
    admit(20000);
    admit(30000);
    admit(700003, {20000, 30000});
    EXPECT_EQ(known_->waiting(), 3U);
    EXPECT_TRUE(taker_.admitted.empty());
    wait_for(3);
    for (const policy::Caller& caller : taker_.admitted) {
        EXPECT_EQ(caller.accounts, caller.uid == 30000 ? Uids{} : Uids{20000}) << caller.uid;
    }
    // The answers are remembered.
    admit(20000);
    ASSERT_EQ(taker_.admitted.size(), 4U);
    EXPECT_EQ(taker_.admitted[3].accounts, Uids{20000});
    // And what they are called.
    EXPECT_EQ(names_.user(20000), "unlisted");
    EXPECT_EQ(names_.user(30000), "");
}

TEST_F(KnownCallersTest, OnlySoManyWait) {
    for (std::size_t i = 0; i < KnownCallers::most_waiting_of_uid; ++i) admit(20000);
    EXPECT_TRUE(taker_.admitted.empty());
    admit(20000);
    ASSERT_EQ(taker_.admitted.size(), 1U);
    EXPECT_EQ(taker_.admitted[0].accounts, Uids{}) << "not known";
    for (uid_t uid = 30000; known_->waiting() < KnownCallers::most_waiting; ++uid) admit(uid);
    admit(40000);
    EXPECT_EQ(taker_.admitted.size(), 2U);
    wait_for(2 + KnownCallers::most_waiting);
    EXPECT_EQ(known_->waiting(), 0U);
}

TEST_F(KnownCallersTest, ThoseThatWaitAreRefusedWhenItStops) {
    admit(20000);
    known_->stop();
    EXPECT_EQ(taker_.refused, std::vector<std::string>{"20000 /s the daemon stops"});
    EXPECT_EQ(known_->waiting(), 0U);
}

}  // namespace
}  // namespace postern
