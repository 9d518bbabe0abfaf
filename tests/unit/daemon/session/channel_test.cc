// What the guard may say to a session, and what makes the session leave.
#include <gtest/gtest.h>

#include <array>

#include "base/limits.h"
#include "tests/unit/daemon/session/harness.h"

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
          channel::encode({channel::ConnectionId{1}, {}, channel::Closed{}})}) {
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
        {channel::Connection{2, ""}},  // without its descriptor
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
    harness.send(1, channel::Connection{2, ""}, {harness.channel(), harness.channel()});
    EXPECT_EQ(harness.settle(), State::broken);
}

TEST(SessionChannel, AConnectionIdComesOnce) {
    SessionHarness harness;
    auto client = harness.connect(7);
    harness.send(7, channel::Connection{2, ""}, {harness.channel()});
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
    harness.send(1, channel::Connection{2, ""}, {file.fd()});
    EXPECT_EQ(harness.expect<channel::Accepted>().connection, channel::ConnectionId{1});
    EXPECT_EQ(harness.expect<channel::Closed>().connection, channel::ConnectionId{1});
    auto client = harness.connect(2);
}

}  // namespace
}  // namespace postern::session
