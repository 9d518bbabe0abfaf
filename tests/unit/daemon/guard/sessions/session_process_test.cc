// A session that says nothing and reads nothing: whatever the guard sends, its end comes from the
// loop. And one that the test speaks for: what it says waits for its turn.
#include "daemon/guard/sessions/session_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/version.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "tests/unit/daemon/event_loop.h"

namespace postern {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SilentSink final : public AuditSink {
  public:
    bool write(const std::string& /*line*/, const AuditFields& /*fields*/,
               AuditRoom /*room*/) override {
        return true;
    }
    Status ready() override { return {}; }
    [[nodiscard]] const char* name() const override { return "silent"; }
};

class Ongoing final : public OngoingCall {
  public:
    explicit Ongoing(std::vector<std::string>& story) : story_(story) {}
    ~Ongoing() override { story_.emplace_back("call dropped"); }
    Ongoing(const Ongoing&) = delete;
    Ongoing& operator=(const Ongoing&) = delete;
    void await_output(const AwaitOutput& /*read*/) override {}
    bool output_taken(const OutputTaken& /*taken*/) override { return true; }
    void left(jobs::Leaving leaving) override {
        story_.emplace_back(leaving == jobs::Leaving::interrupted ? "call interrupted"
                                                                  : "call gone");
    }

  private:
    std::vector<std::string>& story_;
};

class SessionProcessTest : public testing::Test, public SessionEvents {
  protected:
    SessionProcessTest() {
        // Runs until it is killed, and never speaks of its channel.
        program_.reset(open("/usr/bin/yes", O_PATH | O_CLOEXEC));
        settings_.spawner = spawner_.get();
        settings_.program = program_.get();
        settings_.descriptors = 64;
        settings_.idle = std::chrono::seconds(30);
        start();
    }
    void start() {
        auto snapshot = std::make_shared<const policy::Snapshot>();
        auto started = SessionProcess::start(*ready_, turns_, closer_, audit_, *this, settings_,
                                             {{1000, 1000, {1000}}}, std::move(snapshot));
        EXPECT_TRUE(started) << started.error().message;
        session_ = std::move(*started);
    }

    void session_called(const CallPtr& /*call*/, const Call& /*asked*/) override {
        story_.emplace_back("called");
        now_ += std::chrono::milliseconds(1);
    }
    void connection_closed(SessionProcess& /*session*/) override { story_.emplace_back("closed"); }
    void packet_answered(SessionProcess& /*session*/, ConnectionInfo info,
                         channel::Reply reply) override {
        story_.push_back("answered " + info.packet->reply_path + ": " + reply.bytes);
    }
    void session_ended(SessionProcess& session) override {
        story_.push_back("ended with " + std::to_string(session.connections().size()) +
                         " connections, " + std::to_string(session.packets().packets()) +
                         " packets");
    }
    void session_gone(SessionProcess& /*session*/, const std::string& failure) override {
        story_.push_back("gone: " + failure);
        gone_ = true;
    }

    static channel::Envelope<channel::ToSession> message(std::size_t bytes) {
        return {channel::ConnectionId{1}, channel::RequestId{1},
                Refused{Refusal::unavailable, std::string(bytes, 'x'), ""}};
    }
    CameFrom from() { return {4711, Way::stream, false, &listener_, {}}; }
    void run_until_gone() {
        while (!gone_) ASSERT_GT(sd_event_run(loop_.get(), 50'000'000), 0);
    }
    // The session's own end of its channel, by which the test speaks for it.
    UniqueFd other_end() {
        const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, session_->pid(), 0)));
        UniqueFd end(
            static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), channel::session_fd, 0)));
        EXPECT_TRUE(end) << std::strerror(errno);
        return end;
    }
    static void say(const UniqueFd& end, channel::ConnectionId id, channel::RequestId request,
                    channel::ToGuard body) {
        ASSERT_EQ(
            channel::send_packet(end.get(), channel::encode({id, request, std::move(body)}), {}),
            channel::Sent::sent);
    }
    static channel::ConnectionId ids(std::uint64_t id) { return channel::ConnectionId{id}; }
    void add(channel::ConnectionId id) {
        session_->add_connection(id, UniqueFd(open("/dev/null", O_RDONLY)), from());
    }
    void add_packet(std::uint64_t id, std::size_t bytes) {
        channel::Datagram packet{ids(id), 4711, std::nullopt, std::string(bytes, 'x')};
        PacketOrigin about;
        about.reply_path = std::to_string(id);
        about.received = std::chrono::steady_clock::now();
        session_->add_packet(std::move(packet), from(), std::move(about));
    }
    // The connections, or packets, in each message that has come by now.
    template <typename Given = channel::Connections>
    static std::vector<std::vector<std::uint64_t>> given_to(const UniqueFd& end) {
        std::vector<std::vector<std::uint64_t>> all;
        channel::Receiver receiver(channel::Descriptors::taken);
        for (;;) {
            const auto got = receiver.receive(end.get());
            if (got.state != channel::Received::State::packet) return all;
            const auto message = channel::decode_to_session(got.packet);
            const auto* given = std::get_if<Given>(&message->body);
            if (given == nullptr) continue;
            constexpr bool sockets = std::is_same_v<Given, channel::Connections>;
            EXPECT_EQ(got.descriptors.size(), sockets ? given->all.size() : 0);
            auto& list = all.emplace_back();
            for (const auto& one : given->all) list.push_back(static_cast<std::uint64_t>(one.id));
        }
    }
    // It is ready, and has this connection.
    void serve(const UniqueFd& end, channel::ConnectionId id) {
        session_->add_connection(id, UniqueFd(open("/dev/null", O_RDONLY)), from());
        say(end, {}, {}, channel::Ready{version});
        run_loop();
        turns_.run();
        say(end, {}, {}, channel::Accepted{{id}});
        run_loop();
        turns_.run();
        ASSERT_EQ(session_->state(), SessionProcess::State::serving);
    }
    // All that it has, but no turn.
    void run_loop() {
        int done = 0;
        while ((done = sd_event_run(loop_.get(), 0)) > 0) {
        }
        ASSERT_EQ(done, 0);
    }
    std::vector<std::string> since() { return std::exchange(story_, {}); }

    const std::string listener_ = "/run/s";
    EventLoop loop_ = make_event_loop();
    std::unique_ptr<ReadySet> ready_ = std::move(*ReadySet::create(loop_.get()));
    std::chrono::nanoseconds now_{0};
    Turns turns_{[this] { return now_; }, [] {}};
    std::unique_ptr<Spawner> spawner_ = std::move(Spawner::create()).value();
    ConnectionCloser closer_{loop_.get(), {spawner_.get(), -1}};
    Audit audit_{loop_.get(), std::make_unique<SilentSink>()};
    UniqueFd program_;
    SessionSettings settings_;
    std::vector<std::string> story_;
    bool gone_ = false;
    std::shared_ptr<SessionProcess> session_;
};

TEST_F(SessionProcessTest, WhatItDoesNotReadMarksItAndTheLoopEndsIt) {
    while (session_->serves()) session_->send(message(limits::packet_bytes / 2));
    EXPECT_EQ(session_->state(), SessionProcess::State::marked);
    EXPECT_THAT(since(), IsEmpty());
    run_until_gone();
    EXPECT_THAT(since(), ElementsAre("ended with 0 connections, 0 packets",
                                     "gone: it does not read what it is sent"));
}

TEST_F(SessionProcessTest, AMessageThatIsTooLongMarksIt) {
    session_->send(message(limits::packet_bytes));
    EXPECT_EQ(session_->state(), SessionProcess::State::marked);
    run_until_gone();
    EXPECT_THAT(since(), ElementsAre("ended with 0 connections, 0 packets",
                                     "gone: an answer to it is too long"));
}

TEST_F(SessionProcessTest, WhatItHadIsThereForTheLastTimeWhenItEnds) {
    session_->add_connection(channel::ConnectionId{1}, UniqueFd(open("/dev/null", O_RDONLY)),
                             from());
    PacketOrigin packet;
    packet.bytes = 10;
    packet.received = std::chrono::steady_clock::now();
    channel::Datagram given;
    given.id = channel::ConnectionId{2};
    session_->add_packet(std::move(given), from(), packet);
    session_->keep(channel::ConnectionId{1}, channel::RequestId{7},
                   std::make_unique<Ongoing>(story_));
    EXPECT_TRUE(session_->has_ongoing_calls());
    EXPECT_EQ(session_->oldest_packet(), packet.received);
    session_->end("it was asked to");
    EXPECT_THAT(since(), IsEmpty());
    EXPECT_EQ(session_->connections().size(), 2U);
    run_until_gone();
    EXPECT_THAT(since(), ElementsAre("call interrupted", "ended with 2 connections, 1 packets",
                                     "call dropped", "gone: it was asked to"));
    EXPECT_TRUE(session_->connections().empty());
    EXPECT_EQ(session_->packets().packets(), 0U);
}

// It is the session's turn with each but those whose call the guard has.
TEST_F(SessionProcessTest, KnowsWhichPacketWaitsForItLongest) {
    using std::chrono::seconds;
    const MonotonicTime now = std::chrono::steady_clock::now();
    const auto add = [&](std::uint64_t id, seconds ago) {
        PacketOrigin packet;
        packet.received = now - ago;
        session_->add_packet({ids(id), 0, std::nullopt, "x"}, from(), packet);
    };
    EXPECT_EQ(session_->oldest_packet(), std::nullopt);
    add(1, seconds(3));
    add(2, seconds(2));
    EXPECT_EQ(session_->oldest_packet(), now - seconds(3));
    const auto ask = [&](std::uint64_t id) {
        session_->keep(channel::ConnectionId{id}, channel::RequestId{7},
                       std::make_unique<Ongoing>(story_));
    };
    ask(1);
    EXPECT_EQ(session_->oldest_packet(), now - seconds(2));
    ask(2);
    EXPECT_EQ(session_->oldest_packet(), std::nullopt);
    session_->forget(channel::ConnectionId{1}, channel::RequestId{7});
    EXPECT_GE(session_->oldest_packet(), now);
    add(3, seconds(1));
    EXPECT_EQ(session_->oldest_packet(), now - seconds(1));
}

TEST_F(SessionProcessTest, AtOnceIsAtOnceAndOnlyOnce) {
    session_->end_now("");
    EXPECT_EQ(session_->state(), SessionProcess::State::ending);
    EXPECT_THAT(since(), ElementsAre("ended with 0 connections, 0 packets"));
    session_->end_now("again");
    session_->end("again");
    session_->send(message(10));
    EXPECT_THAT(since(), IsEmpty());
}

TEST_F(SessionProcessTest, TheFirstReasonIsTheReason) {
    session_->end("the first");
    session_->end("the second");
    session_->end_now("the third");
    EXPECT_EQ(session_->failure(), "the first");
}

TEST_F(SessionProcessTest, WhatItSaysWaitsForItsTurn) {
    const UniqueFd end = other_end();
    say(end, {}, {}, channel::Ready{version});
    run_loop();  // comes to an end, though there is something to read
    EXPECT_EQ(session_->state(), SessionProcess::State::starting);
    EXPECT_TRUE(turns_.has_work());
    turns_.run();
    EXPECT_EQ(session_->state(), SessionProcess::State::serving);
    EXPECT_FALSE(turns_.has_work());
}

TEST_F(SessionProcessTest, BetweenItsMessagesOthersHaveTheirTurns) {
    const UniqueFd end = other_end();
    const channel::ConnectionId id{1};
    serve(end, id);
    for (std::uint32_t request = 1; request <= 3; ++request) {
        say(end, id, channel::RequestId{request}, CheckCall{"a", {}});
    }
    run_loop();
    Turns::Task other(turns_, 4711, [this] {
        story_.emplace_back("other");
        now_ += std::chrono::milliseconds(1);
        return Turns::Step{0, true};
    });
    other.ready();
    for (int run = 0; run < 6; ++run) turns_.run();
    EXPECT_THAT(since(), ElementsAre("called", "other", "called", "other", "called", "other"));
}

TEST_F(SessionProcessTest, WhatItSaidIsNotHeardOnceItIsMarked) {
    const UniqueFd end = other_end();
    serve(end, channel::ConnectionId{1});
    say(end, channel::ConnectionId{1}, channel::RequestId{1}, CheckCall{"a", {}});
    run_loop();
    session_->end("it was asked to");
    turns_.run();
    EXPECT_FALSE(turns_.has_work());
    EXPECT_THAT(since(), IsEmpty());
}

TEST_F(SessionProcessTest, OneThatReadsAgainGetsAllThatWaited) {
    const UniqueFd end = other_end();
    serve(end, channel::ConnectionId{1});
    constexpr int count = 20;  // the channel takes two or three
    for (int i = 0; i < count; ++i) session_->send(message(100'000));
    int received = 0;
    channel::Receiver receiver(channel::Descriptors::taken);
    while (received < count) {
        const auto got = receiver.receive(end.get());
        if (got.state == channel::Received::State::packet) {
            if (got.packet.size() > 100'000) ++received;
            continue;
        }
        ASSERT_EQ(got.state, channel::Received::State::nothing);
        ASSERT_GT(sd_event_run(loop_.get(), 10'000'000), 0);
        turns_.run();
    }
    EXPECT_TRUE(session_->serves());
}

// What was admitted in one run of turns is one message.
TEST_F(SessionProcessTest, HandsConnectionsOverTogether) {
    const UniqueFd end = other_end();
    serve(end, channel::ConnectionId{1});
    static_cast<void>(given_to(end));
    std::uint64_t last = 1;
    const auto admit = [&](int count) {
        Turns::Task task(turns_, 1000, [&] {
            for (int i = 0; i < count; ++i) add(channel::ConnectionId{++last});
            return Turns::Step{};
        });
        task.ready();
        turns_.run();
    };
    admit(3);
    EXPECT_THAT(given_to(end), ElementsAre(ElementsAre(2, 3, 4)));
    say(end, {}, {}, channel::Accepted{{ids(2), ids(3), ids(4)}});
    // No more than it may leave unacknowledged, and the others when it has acknowledged some.
    admit(20);
    EXPECT_THAT(given_to(end),
                ElementsAre(ElementsAre(5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)));
    run_loop();
    turns_.run();
    EXPECT_THAT(given_to(end), ElementsAre(ElementsAre(18, 19, 20)));
    say(end, {}, {}, channel::Accepted{{ids(5), ids(6)}});
    run_loop();
    turns_.run();
    EXPECT_THAT(given_to(end), ElementsAre(ElementsAre(21, 22)));
    EXPECT_TRUE(session_->serves());
}

// As many as their texts leave room for; one that is alone may be longer than that.
TEST_F(SessionProcessTest, HandsPacketsOverTogether) {
    const UniqueFd end = other_end();
    serve(end, channel::ConnectionId{1});
    static_cast<void>(given_to(end));
    const auto admit = [&](std::uint64_t first, std::vector<std::size_t> bytes) {
        Turns::Task task(turns_, 1000, [&] {
            for (const std::size_t one : bytes) add_packet(first++, one);
            return Turns::Step{};
        });
        task.ready();
        turns_.run();
        return given_to<channel::Datagrams>(end);
    };
    EXPECT_THAT(admit(2, {10, 0, 10}), ElementsAre(ElementsAre(2, 3, 4)));
    EXPECT_THAT(admit(5, std::vector<std::size_t>(18, 1)),
                ElementsAre(ElementsAre(5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20),
                            ElementsAre(21, 22)));
    EXPECT_THAT(
        admit(23, {32'768, 32'768, 1, 65'537, 1}),
        ElementsAre(ElementsAre(23, 24), ElementsAre(25), ElementsAre(26), ElementsAre(27)));
    EXPECT_TRUE(session_->serves());
}

TEST_F(SessionProcessTest, EachReplyOfAListIsLookedAt) {
    const auto replies = [](const std::vector<std::uint64_t>& to) {
        channel::Replies all;
        for (const std::uint64_t id : to)
            all.all.push_back({ids(id), {}, "r" + std::to_string(id)});
        return all;
    };
    const auto both = ElementsAre("answered 2: r2", "answered 3: r3");
    const auto one = ElementsAre("answered 2: r2");
    using Rows = std::vector<std::tuple<std::vector<std::uint64_t>, std::string,
                                        testing::Matcher<const std::vector<std::string>&>>>;
    // 1 is a connection, 9 waits behind what fills the channel.
    for (const auto& [to, failure, story] :
         Rows{{{2, 3}, "", both},
              {{2, 2, 3}, "it named a connection that it does not have", one},
              {{2, 1, 3}, "it answered a connection as if it were a datagram", one},
              {{2, 9, 3}, "it used a datagram that it was not given", one}}) {
        start();
        const UniqueFd end = other_end();
        serve(end, channel::ConnectionId{1});
        for (std::uint64_t id = 2; id <= 9; ++id) add_packet(id, id < 4 ? 1 : 65'000);
        static_cast<void>(since());
        say(end, {}, {}, replies(to));
        run_loop();
        turns_.run();
        EXPECT_EQ(session_->failure(), failure);
        EXPECT_EQ(session_->serves(), failure.empty());
        EXPECT_THAT(since(), story);
        session_.reset();
    }
}

TEST_F(SessionProcessTest, SaysWhichConnectionsItHasNoCopyOf) {
    const UniqueFd end = other_end();
    serve(end, channel::ConnectionId{1});
    static_cast<void>(given_to(end));
    const std::optional<std::string> unit = "a.service";
    session_->add_connection(ids(2), UniqueFd(open("/dev/null", O_RDONLY)),
                             {4711, Way::administrator, true, &listener_, unit});
    channel::Receiver receiver(channel::Descriptors::taken);
    const auto got = receiver.receive(end.get());
    const auto message = channel::decode_to_session(got.packet);
    ASSERT_TRUE(message);
    const auto& given = std::get<channel::Connections>(message->body).all.at(0);
    EXPECT_TRUE(given.alone);
    EXPECT_TRUE(given.administrator);
    EXPECT_EQ(given.pid, 4711);
    EXPECT_EQ(given.unit, "a.service");
}

TEST_F(SessionProcessTest, EachConnectionOfAListIsLookedAt) {
    const std::string unknown = "it named a connection that it does not have";
    const std::string not_given = "it acknowledged a connection that it was not given";
    const std::string too_early = "it used a connection before acknowledging it";
    const auto closed = [](std::uint64_t id) {
        return channel::ClosedConnection{ids(id), channel::CloseCause::over};
    };
    // 1 is served, the next 16 are given, the rest waits behind them.
    const std::vector<std::pair<channel::ToGuard, std::string>> rows = {
        {channel::Accepted{{ids(2), ids(41)}}, unknown},
        {channel::Accepted{{ids(2), ids(2)}}, not_given},
        {channel::Accepted{{ids(2), ids(1)}}, not_given},
        {channel::Closed{{closed(1), closed(1)}}, unknown},
        {channel::Closed{{closed(1), closed(2)}}, too_early},
        {channel::Accepted{{ids(2), ids(40)}}, not_given},
    };
    for (const auto& [message, failure] : rows) {
        start();
        const UniqueFd end = other_end();
        serve(end, channel::ConnectionId{1});
        for (std::uint64_t id = 2; id <= 40; ++id) add(ids(id));
        say(end, {}, {}, message);
        run_loop();
        turns_.run();
        EXPECT_EQ(session_->state(), SessionProcess::State::marked);
        EXPECT_EQ(session_->failure(), failure);
        session_.reset();
    }
}

TEST_F(SessionProcessTest, OneThatHasNothingToDoIsEnded) {
    session_.reset();
    settings_.idle = std::chrono::milliseconds(1);
    start();
    const UniqueFd end = other_end();
    say(end, {}, {}, channel::Ready{version});
    run_loop();
    turns_.run();
    while (session_->serves()) ASSERT_GT(sd_event_run(loop_.get(), 50'000'000), 0);
    EXPECT_EQ(session_->failure(), "");
}

TEST_F(SessionProcessTest, WhoeverIsToldThatItIsGoneMayLetItGo) {
    session_->end("it was asked to");
    const std::weak_ptr<SessionProcess> seen = session_;
    session_.reset();
    EXPECT_TRUE(seen.expired());  // its sources went with it, before the loop came to them
    EXPECT_GE(sd_event_run(loop_.get(), 0), 0);
    EXPECT_THAT(since(), IsEmpty());
}

}  // namespace
}  // namespace postern
