// Connections from a real listener, up to whoever takes them: each in its turn.
#include "daemon/guard/listen/acceptor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/guard/listen/socket_options.h"
#include "daemon/loop/ready_set.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::size_t most_waiting = 50;

class AcceptorTest : public testing::Test, public ConnectionTaker {
  protected:
    AcceptorTest() {
        clients_.reserve(100);
        make_acceptor();
    }
    void make_acceptor() {
        acceptor_.reset();
        ::unlink(path_.c_str());
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof address.sun_path - 1);
        Listener listener;
        listener.name = "the listener";
        listener.socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        EXPECT_EQ(
            ::bind(listener.socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
            0);
        EXPECT_EQ(::listen(listener.socket.get(), 64), 0);
        refuse_descriptors(listener.socket.get());
        std::vector<Listener> listeners;
        listeners.push_back(std::move(listener));
        acceptor_ = std::make_unique<Acceptor>(
            *ready_, turns_, std::move(listeners), *this,
            OwnerQueue<Acceptor::Waiting>::Bounds{most_waiting, 100}, std::nullopt);
        EXPECT_TRUE(acceptor_->start());
    }

    void charge(policy::Caller& /*caller*/) const override {}
    [[nodiscard]] PeerQuestions questions(const policy::Caller& caller) const override {
        EXPECT_EQ(caller.uid, ::getuid());
        EXPECT_EQ(caller.gid, ::getgid());
        return questions_;
    }
    void admit(UniqueFd connection, Peer peer, const Listener& listener) override {
        EXPECT_TRUE(connection);
        EXPECT_EQ(peer.caller.uid, ::getuid());
        EXPECT_EQ(listener.name, "the listener");
        EXPECT_EQ(peer.bytes_only && !refuses_descriptors(connection.get()), false);
        bytes_only_ += peer.bytes_only ? 1 : 0;
        late_units_ += peer.unit.is_read() ? 0 : 1;
        ++admitted_;
        now_ += std::chrono::milliseconds(1);
    }
    void refuse(UniqueFd /*connection*/, const Peer* peer, const std::string& listener,
                const WhyRefused& why) override {
        EXPECT_NE(peer, nullptr);
        EXPECT_EQ(listener, "the listener");
        refused_.push_back(why.reason);
        limits_.emplace_back(why.limit);
    }

    void connect(std::size_t count) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof address.sun_path - 1);
        for (std::size_t i = 0; i < count; ++i) {
            clients_.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            ASSERT_EQ(::connect(clients_.back().get(), reinterpret_cast<sockaddr*>(&address),
                                sizeof address),
                      0);
        }
    }
    void run_loop() { ASSERT_GE(sd_event_run(loop_.get(), 0), 0); }

    TemporaryDirectory folder_;
    std::string path_ = folder_ / "s.sock";
    EventLoop loop_ = make_event_loop();
    std::unique_ptr<ReadySet> ready_ = std::move(*ReadySet::create(loop_.get()));
    std::chrono::nanoseconds now_{0};
    Turns turns_{[this] { return now_; }, [] {}};
    std::vector<UniqueFd> clients_;
    PeerQuestions questions_;
    int admitted_ = 0;
    int bytes_only_ = 0;
    int late_units_ = 0;
    std::vector<std::string> refused_;
    std::vector<std::string> limits_;  // that those were told of
    std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, TakesABoundedNumberInATurnOfTheLoop) {
    connect(40);
    run_loop();
    EXPECT_EQ(acceptor_->waiting(), 32U);
    run_loop();
    EXPECT_EQ(acceptor_->waiting(), 40U);
    EXPECT_EQ(admitted_, 0);
}

TEST_F(AcceptorTest, HandsEachOnInItsOwnersTurn) {
    connect(2);
    run_loop();
    // Somebody else is before it, and then between the two.
    int others = 0;
    Turns::Task other(turns_, ::getuid() + 1, [&] {
        ++others;
        now_ += std::chrono::milliseconds(1);
        return Turns::Step{0, true};
    });
    other.ready();
    turns_.run();
    turns_.run();
    turns_.run();
    EXPECT_EQ(admitted_, 2);
    EXPECT_EQ(others, 1);
    EXPECT_EQ(acceptor_->waiting(), 0U);
}

// What the backlog held before descriptors were refused may carry some: only what is accepted after
// it was empty once has been made under that rule.
TEST_F(AcceptorTest, KnowsWhatCanCarryNothingButBytes) {
    const bool refuses = refuses_descriptors(acceptor_->listeners().front().socket.get());
    connect(2);
    run_loop();
    while (turns_.has_work()) turns_.run();
    EXPECT_EQ(admitted_, 2);
    EXPECT_EQ(bytes_only_, 0);
    connect(1);
    run_loop();
    while (turns_.has_work()) turns_.run();
    EXPECT_EQ(admitted_, 3);
    EXPECT_EQ(bytes_only_, refuses ? 1 : 0);
}

TEST_F(AcceptorTest, LeavesTheUnitForLaterWhereNobodyAsksForIt) {
    connect(1);
    run_loop();
    turns_.run();
    EXPECT_EQ(late_units_, 0);
    questions_.unit = false;
    connect(1);
    run_loop();
    turns_.run();
    EXPECT_EQ(admitted_, 2);
    EXPECT_EQ(late_units_, units_are_known() ? 1 : 0);
}

// Processes that are pinned never take the descriptors that others need.
TEST_F(AcceptorTest, ReadsTheUnitAtOnceWhereManyDescriptorsAreTaken) {
    questions_.unit = false;
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    const rlimit low{2 * static_cast<rlim_t>(UniqueFd(::dup(0)).get()), limit.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    make_acceptor();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    connect(1);
    run_loop();
    turns_.run();
    EXPECT_EQ(admitted_, 1);
    EXPECT_EQ(late_units_, 0);
}

TEST_F(AcceptorTest, RefusesWhatIsTooMuchAtOnce) {
    connect(most_waiting + 2);
    for (int turn = 0; turn < 4; ++turn) run_loop();
    EXPECT_EQ(acceptor_->waiting(), most_waiting);
    EXPECT_THAT(refused_,
                ElementsAre("too many connections at once", "too many connections at once"));
    EXPECT_THAT(limits_, Each("connectionsPerUser"));
}

TEST_F(AcceptorTest, WhatWasAcceptedGoesOnWhenItStops) {
    connect(1);
    run_loop();
    acceptor_->stop();
    connect(1);  // stays in the backlog
    run_loop();
    turns_.run();
    EXPECT_EQ(admitted_, 1);
    EXPECT_THAT(refused_, IsEmpty());
}

TEST_F(AcceptorTest, WhatStillWaitsAtItsEndIsRefused) {
    connect(3);
    run_loop();
    acceptor_.reset();
    EXPECT_EQ(refused_.size(), 3U);
    EXPECT_THAT(refused_, Each("the daemon stops"));
    EXPECT_THAT(limits_, Each(""));
    EXPECT_EQ(admitted_, 0);
}

}  // namespace
}  // namespace postern
