// Connections of an in-process session: framing, order, limits, ends.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/limits.h"
#include "tests/unit/daemon/session/harness.h"
#include "tests/unit/sockets.h"

namespace postern::session {
namespace {

using test::Client;
using test::SessionHarness;
using testing::HasSubstr;
using testing::StartsWith;

constexpr auto ping = R"({"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}})";
constexpr auto pong = R"({"parameters":{"pong":"x"}})";

std::string line(std::string_view text) {
    return std::string(text) + '\n';
}
std::string nul(std::string_view text) {
    return std::string(text) + '\0';
}

std::string check_call(std::string_view action) {
    return line(R"({"method":"org.postern.Actions.Check","parameters":{"action":")" +
                std::string(action) + "\"}}");
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1U : 0U;
    return count;
}

TEST(SessionConnection, RepliesEndAsTheirCallsDid) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(line(ping) + nul(ping) + line(ping));
    harness.settle();
    EXPECT_EQ(client.receive(), line(pong) + nul(pong) + line(pong));
}

TEST(SessionConnection, OneByteWritesAreServedLikeOneWrite) {
    SessionHarness harness;
    Client client = harness.connect(1);
    for (const char c : line(ping)) {
        client.send(std::string_view(&c, 1));
        harness.settle(1);
    }
    EXPECT_EQ(client.receive(), line(pong));
}

TEST(SessionConnection, TenThousandPipelinedCallsAreAnsweredInOrder) {
    SessionHarness harness;
    Client client = harness.connect(1);
    std::string calls;
    std::string expected;
    for (int i = 0; i < 10'000; ++i) {
        const std::string text = std::to_string(i);
        calls +=
            line(R"({"method":"org.postern.Actions.Ping","parameters":{"ping":")" + text + "\"}}");
        expected += line(R"({"parameters":{"pong":")" + text + "\"}}");
    }
    std::string got;
    std::size_t sent = 0;
    ASSERT_TRUE(harness.until([&] {
        if (sent < calls.size()) sent += client.try_send(std::string_view(calls).substr(sent));
        got += client.receive();
        return got.size() >= expected.size();
    }));
    EXPECT_EQ(got, expected);
}

TEST(SessionConnection, CallsWaitForTheOneUnderWay) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(check_call("one") + line(ping) + check_call("two") + line(ping));
    const auto one = harness.expect<CheckCall>();
    EXPECT_EQ(one.connection, channel::ConnectionId{1});
    EXPECT_EQ(one.action, "one");
    EXPECT_TRUE(harness.silent());
    EXPECT_EQ(client.receive(), "");
    harness.send(1, one.request, CheckPassed{});
    const auto two = harness.expect<CheckCall>();
    EXPECT_EQ(two.action, "two");
    EXPECT_NE(two.request, one.request);
    EXPECT_EQ(client.receive(), line(R"({"parameters":{}})") + line(pong));
    harness.send(1, two.request, Refused{Refusal::not_granted, "two", "no"});
    harness.settle();
    EXPECT_EQ(client.receive(), line(R"({"error":"org.postern.Actions.NotGranted","parameters":)"
                                     R"({"action":"two","message":"no"}})") +
                                    line(pong));
}

TEST(SessionConnection, OneClientsCallDoesNotHoldAnothers) {
    SessionHarness harness;
    Client slow = harness.connect(1);
    Client quick = harness.connect(2);
    slow.send(check_call("one"));
    harness.expect<CheckCall>();
    quick.send(line(ping));
    harness.settle();
    EXPECT_EQ(quick.receive(), line(pong));
}

TEST(SessionConnection, MalformedMessagesAreAnsweredAndPassedOver) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send("hello\n{]\n" + line(ping));
    harness.settle();
    const std::string replies = client.receive();
    EXPECT_EQ(std::ranges::count(replies, '\n'), 3);
    EXPECT_THAT(replies, StartsWith(R"({"error":"org.postern.Actions.InvalidMessage",)"));
    EXPECT_TRUE(replies.ends_with(line(pong)));
    EXPECT_FALSE(client.ended());
}

TEST(SessionConnection, AMessageAtTheLimitIsServedOnePastItEndsTheConnection) {
    SessionHarness harness;
    const auto padded = [](std::size_t bytes) {
        std::string text = ping;
        text.insert(text.size() - 1, bytes - text.size(), ' ');
        return line(text);
    };
    Client fits = harness.connect(1);
    fits.send(padded(limits::message_bytes));
    harness.settle();
    EXPECT_EQ(fits.receive(), line(pong));
    EXPECT_FALSE(fits.ended());

    Client longer = harness.connect(2);
    longer.send(padded(limits::message_bytes + 1) + line(ping));
    harness.settle();
    EXPECT_EQ(longer.receive(), nul(R"({"error":"org.postern.Actions.InvalidMessage","parameters":)"
                                    R"({"message":"a message may have at most 65536 bytes"}})"));
    EXPECT_TRUE(longer.ended());
    // It may still write, to be able to read the reply; then it is gone.
    EXPECT_TRUE(harness.silent());
    longer.close();
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{2});
}

TEST(SessionConnection, SilenceInsideAMessageEndsTheConnection) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(line(ping) + "{\"method\":");
    harness.settle();
    EXPECT_EQ(client.receive(), line(pong));
    harness.advance(std::chrono::milliseconds(9'999));
    harness.settle();
    EXPECT_EQ(client.receive(), "");
    // A byte is no silence: the time begins anew.
    client.send("\"");
    harness.settle();
    harness.advance(std::chrono::milliseconds(9'999));
    harness.settle();
    EXPECT_EQ(client.receive(), "");
    EXPECT_FALSE(client.ended());
    harness.advance(std::chrono::milliseconds(1));
    harness.settle();
    EXPECT_EQ(client.receive(),
              line(R"({"error":"org.postern.Actions.InvalidMessage","parameters":{"message":)"
                   R"("nothing came for 10 seconds inside a message: )"
                   R"(a message ends with NUL or a newline"}})"));
    EXPECT_TRUE(client.ended());
    // It does not go by itself: after the same time once more it is closed.
    EXPECT_TRUE(harness.silent());
    harness.advance(std::chrono::milliseconds(10'000));
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
}

TEST(SessionConnection, SilenceBetweenMessagesIsFine) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(line(ping) + " \n ");
    harness.settle();
    harness.advance(std::chrono::hours(24));
    harness.settle();
    client.send(line(ping));
    harness.settle();
    EXPECT_EQ(client.receive(), line(pong) + line(pong));
    EXPECT_FALSE(client.ended());
}

TEST(SessionConnection, SilenceWhileACallIsUnderWayIsFine) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(check_call("one") + "{\"method\"");
    const auto check = harness.expect<CheckCall>();
    harness.advance(std::chrono::hours(1));
    harness.settle();
    harness.send(1, check.request, CheckPassed{});
    harness.settle();
    EXPECT_EQ(client.receive(), line(R"({"parameters":{}})"));
    EXPECT_FALSE(client.ended());
}

// `printf ... | nc -N -U`: the client shuts down its side and still wants its replies.
TEST(SessionConnection, AHalfClosedClientGetsItsReplies) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(check_call("one") + line(ping));
    client.end_input();
    const auto check = harness.expect<CheckCall>();
    EXPECT_TRUE(harness.silent());
    harness.send(1, check.request, CheckPassed{});
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    EXPECT_EQ(client.receive(), line(R"({"parameters":{}})") + line(pong));
    EXPECT_TRUE(client.ended());
}

TEST(SessionConnection, InputThatEndsInsideAMessageIsAnError) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(ping);
    client.end_input();
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    EXPECT_EQ(client.receive(),
              nul(R"({"error":"org.postern.Actions.InvalidMessage","parameters":{"message":)"
                  R"("the input ended inside a message: a message ends with NUL or a newline"}})"));
}

TEST(SessionConnection, AClientThatGoesIsReportedAtOnce) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(check_call("one"));
    const auto check = harness.expect<CheckCall>();
    client.close();
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    EXPECT_EQ(harness.session().find(channel::ConnectionId{1}), nullptr);
    // The guard's answer may have crossed it.
    harness.send(1, check.request, CheckPassed{});
    EXPECT_EQ(harness.settle(), Session::State::running);
    EXPECT_TRUE(harness.silent());
}

TEST(SessionConnection, OnewayCallsHaveNoReply) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(
        line(R"({"method":"org.postern.Actions.Ping","parameters":{"ping":"x"},"oneway":true})") +
        line(R"({"method":"org.postern.Actions.Nothing","oneway":true})") +
        line(R"({"method":"org.postern.Actions.Run","parameters":{"action":"a"},"oneway":true})") +
        line(ping));
    const auto run = harness.expect<RunCall>();
    harness.send(1, run.request, Refused{Refusal::not_granted, "a", "no"});
    harness.settle();
    EXPECT_EQ(client.receive(), line(pong));
}

TEST(SessionConnection, OnewayCallsCountEvenIfTheClientHasGone) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(
        line(R"({"method":"org.postern.Actions.Run","parameters":{"action":"a"},"oneway":true})") +
        line(R"({"method":"org.postern.Actions.Run","parameters":{"action":"b"}})"));
    client.close();
    EXPECT_EQ(harness.expect<RunCall>().action, "a");
    // Nobody waits for the other one.
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    EXPECT_TRUE(harness.silent());
}

TEST(SessionConnection, DescriptorsEndTheConnectionAndAreClosed) {
    SessionHarness harness;
    const std::size_t before = open_descriptors();
    {
        Client client = harness.connect(1);
        const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        client.send_with_descriptor(line(ping), null.get());
        harness.settle();
        EXPECT_EQ(client.receive(),
                  nul(R"({"error":"org.postern.Actions.InvalidMessage","parameters":)"
                      R"({"message":"no file descriptors may be sent along"}})"));
        EXPECT_TRUE(client.ended());
        // Later ones are closed as well.
        client.send_with_descriptor("x", null.get());
        harness.settle();
    }
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    EXPECT_EQ(open_descriptors(), before);
}

TEST(SessionConnection, UpgradeIsRefused) {
    SessionHarness harness;
    Client client = harness.connect(1);
    client.send(
        line(R"({"method":"org.postern.Actions.Ping","parameters":{"ping":"x"},"upgrade":true})"));
    harness.settle();
    EXPECT_EQ(client.receive(), line(R"({"error":"org.varlink.service.InvalidParameter",)"
                                     R"("parameters":{"parameter":"upgrade"}})"));
}

// A client that does not read costs at most 1 MiB, and others do not notice.
TEST(SessionConnection, AClientThatDoesNotReadIsNotServedFurther) {
    SessionHarness harness;
    Client deaf = harness.connect_small(1, 4096);
    Client other = harness.connect(2);
    const std::string text(4000, 'x');
    const std::string call =
        line(R"({"method":"org.postern.Actions.Ping","parameters":{"ping":")" + text + "\"}}");
    // Until the session takes nothing more.
    std::string pending;
    int refused = 0;
    std::size_t calls = 0;
    while (refused < 10) {
        if (pending.empty()) {
            pending = call;
            ++calls;
        }
        const std::size_t sent = deaf.try_send(pending);
        pending.erase(0, sent);
        refused = sent == 0 ? refused + 1 : 0;
        harness.settle(4);
        ASSERT_LT(calls, 100'000U);
    }
    const auto* connection = harness.session().find(channel::ConnectionId{1});
    ASSERT_NE(connection, nullptr);
    EXPECT_GT(connection->backlog(), limits::client_backlog_bytes / 4);
    EXPECT_LE(connection->backlog(), limits::client_backlog_bytes);
    // It does not even ask for more input.
    EXPECT_EQ(connection->wanted_events(), static_cast<std::uint32_t>(EPOLLOUT));
    other.send(line(ping));
    harness.settle(4);
    EXPECT_EQ(other.receive(), line(pong));
    // It begins to read: everything that it sent is answered.
    const std::string reply = line(R"({"parameters":{"pong":")" + text + "\"}}");
    std::string got;
    ASSERT_TRUE(harness.until([&] {
        if (!pending.empty()) pending.erase(0, deaf.try_send(pending));
        got += deaf.receive();
        return got.size() >= calls * reply.size();
    }));
    EXPECT_EQ(got.size(), calls * reply.size());
    EXPECT_EQ(got.substr(got.size() - reply.size()), reply);
}

// A client that sends calls without end and reads nothing, until the session takes no more.
void fill(SessionHarness& harness, Client& client, std::size_t text_bytes) {
    const std::string call = line(R"({"method":"org.postern.Actions.Ping","parameters":{"ping":")" +
                                  std::string(text_bytes, 'x') + "\"}}");
    std::string pending;
    for (int refused = 0; refused < 3;) {
        if (pending.empty()) pending = call;
        const std::size_t sent = client.try_send(pending);
        pending.erase(0, sent);
        refused = sent == 0 ? refused + 1 : 0;
        harness.settle(4);
    }
}

TEST(SessionConnection, AClientThatReadsNothingForAMinuteGoes) {
    SessionHarness harness;
    Client deaf = harness.connect_small(1, 4096);
    Client quiet = harness.connect(2);
    fill(harness, deaf, 4000);
    harness.advance(limits::unread_patience - std::chrono::milliseconds(1));
    EXPECT_TRUE(harness.silent());
    harness.advance(std::chrono::milliseconds(1));
    const auto closed = harness.expect_closed();
    EXPECT_EQ(closed.id, channel::ConnectionId{1});
    EXPECT_EQ(closed.cause, channel::CloseCause::reads_nothing);
    // Who has nothing to read may be as quiet as it likes.
    harness.advance(std::chrono::hours(1));
    quiet.send(line(ping));
    harness.settle();
    EXPECT_EQ(quiet.receive(), line(pong));
}

TEST(SessionConnection, AClientThatReadsALittleNowAndThenStays) {
    SessionHarness harness;
    Client slow = harness.connect_small(1, 4096);
    fill(harness, slow, 4000);
    for (int i = 0; i < 10; ++i) {
        harness.advance(limits::unread_patience - std::chrono::milliseconds(1));
        EXPECT_FALSE(slow.receive().empty());
        EXPECT_TRUE(harness.silent()) << i;
    }
    harness.advance(limits::unread_patience);
    EXPECT_EQ(harness.expect_closed().cause, channel::CloseCause::reads_nothing);
}

TEST(SessionConnection, OfTooManyUnreadRepliesWhoHoldsMostGoes) {
    SessionHarness harness;
    Client modest = harness.connect_small(1, 4096);
    fill(harness, modest, 100);
    modest.receive();
    std::vector<Client> greedy;
    const auto unread = [&](std::uint64_t id) {
        const auto* connection = harness.session().find(channel::ConnectionId{id});
        return connection == nullptr ? 0 : connection->backlog();
    };
    std::uint64_t last = 1;
    std::size_t sum = 0;
    while (sum + limits::client_backlog_bytes < limits::session_backlog_bytes) {
        greedy.push_back(harness.connect_small(++last, 4096));
        fill(harness, greedy.back(), 4000);
        sum = 0;
        for (std::uint64_t id = 1; id <= last; ++id) sum += unread(id);
        ASSERT_LT(last, 100U);
    }
    EXPECT_TRUE(harness.silent());
    std::size_t most = 0;
    for (std::uint64_t id = 2; id <= last; ++id) most = std::max(most, unread(id));
    // The next ones take the place of those that hold most.
    std::vector<Client> more;
    for (int i = 0; i < 4; ++i) more.push_back(harness.connect_small(++last, 4096));
    for (Client& client : more) fill(harness, client, 4000);
    int dropped = 0;
    while (auto message = harness.heard()) {
        const auto* closed = std::get_if<channel::Closed>(&message->body);
        ASSERT_NE(closed, nullptr);
        for (const auto& [id, cause] : closed->all) {
            EXPECT_EQ(cause, channel::CloseCause::holds_most);
            EXPECT_NE(id, channel::ConnectionId{1});
            ++dropped;
        }
    }
    EXPECT_GE(dropped, 1);
    sum = 0;
    for (std::uint64_t id = 1; id <= last; ++id) sum += unread(id);
    EXPECT_LE(sum, limits::session_backlog_bytes);
    EXPECT_GT(sum, limits::session_backlog_bytes - 2 * most);
    EXPECT_NE(harness.session().find(channel::ConnectionId{1}), nullptr);
}

// A flood of calls on one connection does not keep another waiting: each gets its turn.
TEST(SessionConnection, AFloodOnOneConnectionLeavesTurnsToOthers) {
    SessionHarness harness;
    Client flood = harness.connect(1);
    Client other = harness.connect(2);
    std::string calls;
    while (calls.size() < 60'000) calls += line("{}");
    flood.send(calls);
    other.send(line(ping));
    // One step: the flood is far from served, the other is.
    harness.settle(1);
    EXPECT_EQ(other.receive(), line(pong));
    EXPECT_LE(std::ranges::count(flood.receive(), '\n'), 200);
    std::size_t answered = 0;
    ASSERT_TRUE(harness.until([&] {
        answered += static_cast<std::size_t>(std::ranges::count(flood.receive(), '\n'));
        return answered >= calls.size() / 4;
    }));
}

// A guard that does not read: what is queued for it is bounded, clients are not read meanwhile.
TEST(SessionConnection, AGuardThatDoesNotReadStopsNewCallsOnly) {
    SessionHarness harness;
    const std::string name(4000, 'x');
    std::vector<Client> clients;
    constexpr std::uint64_t count = 400;
    for (std::uint64_t id = 1; id <= count; ++id) clients.push_back(harness.connect(id));
    for (auto& client : clients) client.send(check_call(name) + line(ping));
    harness.settle(200);
    // The kernel's buffer and the queue hold fewer than all of them: 400 of 4 KiB are 1.6 MiB.
    std::uint64_t heard = 0;
    ASSERT_TRUE(harness.until([&] {
        while (auto message = harness.heard()) {
            if (!std::holds_alternative<CheckCall>(message->body)) {
                ADD_FAILURE() << "message " << message->body.index();
                return true;
            }
            ++heard;
            harness.send({message->connection, message->request, CheckPassed{}});
        }
        return heard == count;
    })) << heard
        << " calls of " << count << " were heard";
    harness.settle(200);
    for (auto& client : clients) {
        EXPECT_EQ(client.receive(), line(R"({"parameters":{}})") + line(pong));
    }
}

TEST(SessionConnection, ADiesAndBDoesNotNotice) {
    SessionHarness harness;
    Client a = harness.connect(1);
    Client b = harness.connect(2);
    a.send("{\"half");
    b.send("{\"method\":\"org.postern.Actions.Ping\",");
    harness.settle();
    a.close();
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    b.send("\"parameters\":{\"ping\":\"x\"}}\n");
    harness.settle();
    EXPECT_EQ(b.receive(), line(pong));
}

// 65,536 groups: the longest reply there is still fits into what is held for a client.
TEST(SessionConnection, WhoAmIWithAllGroupsFits) {
    auto pair = channel::make_pair();
    ASSERT_TRUE(pair.has_value());
    auto session = Session::create(std::move(pair->second));
    ASSERT_TRUE(session.has_value());
    const int guard = pair->first.get();
    const auto say = [&](const test::Envelope& message, std::span<const int> descriptors = {}) {
        ASSERT_EQ(channel::send_packet(guard, channel::encode(message), descriptors),
                  channel::Sent::sent);
        ASSERT_EQ((*session)->step(0), Session::State::running);
    };
    constexpr std::uint32_t count = 65'537;
    say({{}, {}, channel::Welcome{"0.1", 1, 1, count, 32768}});
    std::vector<std::uint32_t> groups;
    for (std::uint32_t i = 0; i < count; ++i) {
        groups.push_back(4'294'900'000U + i);
        if (groups.size() == channel::groups_per_message || i + 1 == count) {
            say({{}, {}, channel::Groups{std::exchange(groups, {})}});
        }
    }
    SocketPair sockets;
    Client client(std::move(sockets.here));
    const int served = sockets.there.get();
    say({{}, {}, channel::Connections{{{channel::ConnectionId{1}, 2}}}}, std::span(&served, 1));
    client.send(line(R"({"method":"org.postern.Actions.WhoAmI"})") + line(ping));
    std::string got;
    for (int i = 0; i < 1000 && !got.ends_with(line(pong)); ++i) {
        (*session)->step(0);
        EXPECT_LE((*session)->find(channel::ConnectionId{1})->backlog(),
                  limits::client_backlog_bytes);
        got += client.receive();
    }
    EXPECT_THAT(got, HasSubstr("4294965536],\"pid\":2,\"uid\":1}}\n"));
    EXPECT_TRUE(got.ends_with(line(pong)));
}

}  // namespace
}  // namespace postern::session
