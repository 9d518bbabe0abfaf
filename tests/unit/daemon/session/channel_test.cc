// What the guard may say to a session, and what makes the session leave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "base/limits.h"
#include "tests/unit/daemon/session/harness.h"
#include "tests/unit/sockets.h"

namespace postern::session {
namespace {

using test::SessionHarness;
using State = Session::State;
using test::Envelope;

// An answer to this call of the first connection.
Envelope to_call(std::uint32_t request, channel::ToSession answer) {
    return {channel::ConnectionId{1}, channel::RequestId{request}, std::move(answer)};
}

TEST(SessionChannel, EndsWithTheChannel) {
    SessionHarness harness;
    harness.close_channel();
    EXPECT_EQ(harness.settle(), State::over);
}

TEST(SessionChannel, BytesThatAreNoMessageBreakIt) {
    channel::Bytes other_version = channel::encode({{}, {}, channel::SnapshotEnd{}});
    other_version[0] = channel::version - 1;
    for (const channel::Bytes& packet :
         {channel::Bytes{1}, other_version,
          channel::encode({{}, {}, channel::Closed{{{channel::ConnectionId{1}}}}})}) {
        SessionHarness harness;
        harness.send_raw(packet);
        EXPECT_EQ(harness.settle(), State::broken);
    }
}

TEST(SessionChannel, NothingIsHeardBeforeTheWelcome) {
    for (const Envelope& message : std::vector<Envelope>{{{}, {}, channel::SnapshotBegin{0}},
                                                         to_call(1, CheckPassed{}),
                                                         {{}, {}, channel::Groups{{1}}}}) {
        auto pair = channel::make_pair();
        ASSERT_TRUE(pair.has_value());
        auto session = Session::create(std::move(pair->second));
        ASSERT_TRUE(session.has_value());
        ASSERT_EQ(channel::send_packet(pair->first.get(), channel::encode(message), {}),
                  channel::Sent::sent);
        EXPECT_EQ((*session)->step(0), State::broken);
    }
}

TEST(SessionChannel, MessagesOutOfOrderBreakIt) {
    const std::vector<std::vector<channel::ToSession>> wrong = {
        {channel::Welcome{}},                                    // a second time
        {channel::Groups{{1}}},                                  // more than were announced
        {channel::SnapshotEnd{}},                                // without a beginning
        {channel::SnapshotAction{}},                             //
        {channel::SnapshotBegin{1}, channel::SnapshotEnd{}},     // fewer than announced
        {channel::SnapshotBegin{0}, channel::SnapshotAction{}},  // more
        {channel::SnapshotBegin{1}, channel::SnapshotBegin{1}, channel::SnapshotEnd{}},
        {channel::SnapshotBegin{limits::actions + 1}},
        {channel::Connections{{{channel::ConnectionId{1}, 2}}}},  // without its descriptor
    };
    for (std::size_t i = 0; i < wrong.size(); ++i) {
        SessionHarness harness;
        for (const auto& message : wrong[i]) harness.send(message);
        EXPECT_EQ(harness.settle(), State::broken) << i;
    }
}

TEST(SessionChannel, DescriptorsWhereNoneBelongBreakIt) {
    for (const int count : {1, 2}) {
        SessionHarness harness;
        std::vector<int> descriptors(static_cast<std::size_t>(count), harness.channel());
        harness.send(channel::SnapshotBegin{0}, descriptors);
        EXPECT_EQ(harness.settle(), State::broken);
    }
    SessionHarness harness;
    harness.send(channel::Connections{{{channel::ConnectionId{1}, 2}}},
                 {harness.channel(), harness.channel()});
    EXPECT_EQ(harness.settle(), State::broken);
}

TEST(SessionChannel, AsManyConnectionsAsDescriptorsComeInOneMessage) {
    SessionHarness harness;
    std::vector<SocketPair> pairs(channel::connections_per_message);
    channel::Connections given;
    std::vector<int> descriptors;
    std::vector<channel::ConnectionId> ids;
    for (const SocketPair& pair : pairs) {
        ids.push_back(channel::ConnectionId{ids.size() + 1});
        given.all.push_back({ids.back(), static_cast<std::int32_t>(100 + ids.size())});
        descriptors.push_back(pair.there.get());
    }
    harness.send(given, descriptors);
    // All of them are acknowledged at once, and each is what was said of it.
    EXPECT_EQ(harness.expect<channel::Accepted>().all, ids);
    std::vector<test::Client> clients;
    for (SocketPair& pair : pairs) {
        pair.there.reset();
        clients.emplace_back(std::move(pair.here));
    }
    for (std::size_t i = 0; i < clients.size(); ++i) {
        clients[i].send("{\"method\":\"org.postern.Actions.WhoAmI\"}\n");
        harness.settle();
        EXPECT_EQ(clients[i].receive(),
                  "{\"parameters\":{\"gid\":1000,\"groups\":[27,1000],\"pid\":" +
                      std::to_string(101 + i) + ",\"uid\":1000}}\n");
    }
    // What ends in one step is told in one message.
    clients.clear();
    std::vector<channel::ConnectionId> closed;
    for (const auto& [id, cause] : harness.expect<channel::Closed>().all) {
        EXPECT_EQ(cause, channel::CloseCause::over);
        closed.push_back(id);
    }
    std::ranges::sort(closed);
    EXPECT_EQ(closed, ids);
    EXPECT_TRUE(harness.silent());
    given.all.back().id = given.all.front().id;  // twice in one message
    harness.send(given, std::vector<int>(given.all.size(), harness.channel()));
    EXPECT_EQ(harness.settle(), State::broken);
}

// As far as their texts leave room.
TEST(SessionChannel, PacketsThatComeTogetherAreAnsweredTogether) {
    SessionHarness harness;
    const auto give = [&](const std::vector<std::string>& messages) {
        channel::Datagrams given;
        for (const std::string& message : messages) {
            given.all.push_back({channel::ConnectionId{given.all.size() + 1}, 7, "", message});
        }
        harness.send(given);
        harness.settle();
    };
    const auto ping = [](const std::string& text) {
        return R"({"method":"org.postern.Actions.Ping","parameters":{"ping":")" + text + "\"}}";
    };
    // The numbers of the packets that the next message answers.
    const auto answered = [&] {
        std::vector<std::uint64_t> numbers;
        for (const channel::Reply& reply : harness.expect<channel::Replies>().all) {
            EXPECT_THAT(reply.bytes, testing::StartsWith(R"({"parameters":{"pong":")"));
            numbers.push_back(static_cast<std::uint64_t>(reply.id));
        }
        return numbers;
    };
    give(std::vector<std::string>(channel::connections_per_message, ping("x")));
    std::vector<std::uint64_t> all(channel::connections_per_message);
    std::iota(all.begin(), all.end(), 1);
    EXPECT_EQ(answered(), all);
    std::string long_text;
    for (int i = 0; i < 4000; ++i) long_text += "\\u0001";
    give({ping(long_text), ping(long_text), ping(long_text)});
    EXPECT_THAT(answered(), testing::ElementsAre(1, 2));
    EXPECT_THAT(answered(), testing::ElementsAre(3));
    EXPECT_TRUE(harness.silent());
    // What was answered before the guard is asked for something is told before that.
    give({ping("x"), R"({"method":"org.postern.Actions.Check","parameters":{"action":"a"}})",
          ping("x")});
    EXPECT_THAT(answered(), testing::ElementsAre(1));
    EXPECT_EQ(harness.expect<CheckCall>().connection, channel::ConnectionId{2});
    EXPECT_TRUE(harness.silent());
}

TEST(SessionChannel, MorePacketsThanAnyGuardHandsOverBreakIt) {
    SessionHarness harness;
    channel::Datagrams given;
    given.all.resize(
        channel::connections_per_message,
        {{}, 7, "", R"({"method":"org.postern.Actions.Check","parameters":{"action":"a"}})"});
    // The first one's call keeps the others waiting.
    for (std::size_t sent = 0; sent < limits::datagrams_in_session; sent += given.all.size()) {
        harness.send(given);
    }
    EXPECT_EQ(harness.settle(), State::running);
    for (int i = 0; i < 2; ++i) harness.send(given);
    EXPECT_EQ(harness.settle(), State::broken);
}

// What the guard has no copy of ends when the session closes it; of the others both have to let go.
TEST(SessionChannel, AConnectionOfWhichTheGuardHasACopyIsShutDown) {
    for (const bool alone : {true, false}) {
        SessionHarness harness;
        SocketPair pair;
        harness.give({.id = channel::ConnectionId{1}, .alone = alone}, pair.there.get());
        harness.expect<channel::Accepted>();
        ASSERT_EQ(::shutdown(pair.here.get(), SHUT_WR), 0);
        EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
        char byte = 0;
        errno = 0;
        EXPECT_EQ(::recv(pair.here.get(), &byte, 1, MSG_DONTWAIT), alone ? -1 : 0);
        EXPECT_EQ(errno, alone ? EAGAIN : 0);  // the test has the copy
    }
}

TEST(SessionChannel, AUnitThatWasNotAskedForIsAskedOfTheGuard) {
    SessionHarness harness;
    SocketPair pair;
    harness.give({channel::ConnectionId{1}, 7, std::nullopt}, pair.there.get());
    harness.expect<channel::Accepted>();
    test::Client client(std::move(pair.here));
    for (const std::string unit : {"ci.service", ""}) {
        client.send("{\"method\":\"org.postern.Actions.WhoAmI\"}\n");
        const auto asked = harness.expect<UnitCall>();
        EXPECT_EQ(asked.connection, channel::ConnectionId{1});
        harness.send(1, asked.request, CallerUnit{unit});
        harness.settle();
        EXPECT_EQ(client.receive(),
                  R"({"parameters":{"gid":1000,"groups":[27,1000],"pid":7,"uid":1000)" +
                      (unit.empty() ? "" : ",\"unit\":\"" + unit + '"') + "}}\n");
    }
}

TEST(SessionChannel, AConnectionIdComesOnce) {
    SessionHarness harness;
    auto client = harness.connect(7);
    harness.give({channel::ConnectionId{7}, 2}, harness.channel());
    EXPECT_EQ(harness.settle(), State::broken);
}

TEST(SessionChannel, AnswersThatNobodyAskedForBreakIt) {
    const std::vector<Envelope> wrong = {
        to_call(1, CheckPassed{}), to_call(1, Described{}), to_call(1, JobOutput{}),
        to_call(1, JobEnded{}),    to_call(1, Refused{}),
    };
    for (const auto& message : wrong) {
        SessionHarness harness;
        auto client = harness.connect(1);
        harness.send(message);
        EXPECT_EQ(harness.settle(), State::broken) << message.body.index();
    }
    // ... and answers of the wrong kind, or to another request.
    for (std::size_t i = 0; i < wrong.size(); ++i) {
        SessionHarness harness;
        auto client = harness.connect(1);
        client.send("{\"method\":\"org.postern.Actions.Run\",\"parameters\":{\"action\":\"a\"}}\n");
        const auto run = harness.expect<RunCall>();
        ASSERT_EQ(run.request, channel::RequestId{1});
        if (i == 4) {
            harness.send(to_call(2, Refused{}));
        } else {
            harness.send(wrong[i]);
        }
        EXPECT_EQ(harness.settle(), State::broken) << i;
    }
}

// A revoked permission: what List and Describe say changes with the next snapshot, on open
// connections too, and never in parts.
TEST(SessionChannel, ASnapshotReplacesTheOneBeforeAsAWhole) {
    SessionHarness harness(test::some_actions());
    auto client = harness.connect(1);
    const std::string list = "{\"method\":\"org.postern.Actions.List\"}\n";
    const std::string both = R"({"parameters":{"actions":[{"name":"hello","summary":"Say \"Hi\""},)"
                             R"({"name":"web.restart","summary":"Restart a web service"}]}})"
                             "\n";
    client.send(list);
    harness.settle();
    EXPECT_EQ(client.receive(), both);
    harness.send(channel::SnapshotBegin{1});
    harness.send(channel::SnapshotAction{test::some_actions()[1]});
    client.send(list);
    harness.settle();
    EXPECT_EQ(client.receive(), both) << "the old set is in force until the end";
    harness.send(channel::SnapshotEnd{});
    harness.settle();
    client.send(list +
                "{\"method\":\"org.postern.Actions.Describe\",\"parameters\":{\"action\":"
                "\"web.restart\"}}\n");
    EXPECT_EQ(harness.expect<DescribeCall>().action, "web.restart");
    EXPECT_EQ(client.receive(),
              R"({"parameters":{"actions":[{"name":"hello","summary":"Say \"Hi\""}]}})"
              "\n");
}

// The guard loads anew before it has sent all of a set.
TEST(SessionChannel, ASetThatIsInterruptedIsDropped) {
    SessionHarness harness;
    auto client = harness.connect(1);
    harness.send(channel::SnapshotBegin{2});
    harness.send(channel::SnapshotAction{test::some_actions()[1]});
    harness.send(channel::SnapshotBegin{1});
    harness.send(channel::SnapshotAction{test::some_actions()[1]});
    harness.send(channel::SnapshotEnd{});
    harness.settle();
    client.send("{\"method\":\"org.postern.Actions.List\"}\n");
    harness.settle();
    EXPECT_EQ(client.receive(),
              R"({"parameters":{"actions":[{"name":"hello","summary":"Say \"Hi\""}]}})"
              "\n");
}

// A connection that can't be served is given back, and the others are served.
TEST(SessionChannel, AFileInsteadOfASocketIsClosed) {
    SessionHarness harness;
    const test::TestFile file;
    harness.give({channel::ConnectionId{1}, 2}, file.fd());
    EXPECT_EQ(harness.expect<channel::Accepted>().all, std::vector{channel::ConnectionId{1}});
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    auto client = harness.connect(2);
}

}  // namespace
}  // namespace postern::session
