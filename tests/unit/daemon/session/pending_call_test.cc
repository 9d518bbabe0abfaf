// Calls that the guard has been asked, over connections and by datagrams: every kind of answer to
// every kind of call.
#include "daemon/session/pending_call.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/unit/daemon/session/harness.h"
#include "tests/unit/sockets.h"

namespace postern::session {
namespace {

using nlohmann::json;
using test::SessionHarness;

// Where the call comes from.
enum class Through : std::uint8_t {
    connection,
    administrator,
    packet,
    without_unit,
    packet_without_unit,
};

bool is_packet(Through through) {
    return through == Through::packet || through == Through::packet_without_unit;
}

// One of each kind, with nothing that its kind must not be without left out.
std::vector<CallAnswer> all_answers() {
    const JobId job("0123456789abcdef0123456789abcdef");
    return {Refused{},       CheckPassed{},        Described{},
            JobStarted{job}, JobOutput{},          JobEnded{},
            JobFound{},      Detached{job},        StatusReport{},
            SocketReport{},  CallerReport{},       BadFileReport{},
            JobReport{},     Managed{true, "", 1}, WarningReport{},
            HandedOver{},    ProblemReport{},      JobCancelled{job, "a", std::nullopt},
            JobStored{},     JobsListed{},         CallerUnit{}};
}

template <typename... Answers>
std::set<std::size_t> kinds() {
    return {CallAnswer(Answers{}).index()...};
}

struct Asking {
    const char* method;
    json parameters;
    Through through;
    std::set<std::size_t> awaited;  // besides Refused, as the first answer
};

std::vector<Asking> all_calls() {
    const json action = {{"action", "nothing"}};
    const json job = {{"job", "0123"}};
    const json none = json::object();
    return {
        {"Actions.Run", action, Through::connection, kinds<JobStarted>()},
        {"Actions.Run",
         {{"action", "nothing"}, {"detach", true}},
         Through::connection,
         kinds<Detached>()},
        {"Jobs.Follow", job, Through::connection, kinds<JobStarted>()},
        {"Jobs.Follow",
         {{"job", "0123"}, {"output", false}},
         Through::connection,
         kinds<JobStarted>()},
        {"Jobs.Get", job, Through::connection, kinds<JobFound>()},
        {"Jobs.Cancel", job, Through::connection, kinds<JobCancelled>()},
        {"Jobs.List", none, Through::connection, kinds<JobsListed>()},
        {"Actions.Check", action, Through::connection, kinds<CheckPassed>()},
        {"Actions.Describe", action, Through::connection, kinds<Described>()},
        {"Actions.WhoAmI", none, Through::without_unit, kinds<CallerUnit>()},
        {"Actions.WhoAmI", none, Through::packet_without_unit, kinds<CallerUnit>()},
        {"Actions.Run", action, Through::packet, kinds<Detached>()},
        {"Actions.Check", action, Through::packet, kinds<CheckPassed>()},
        {"Actions.Describe", action, Through::packet, kinds<Described>()},
        {"Admin.Status", none, Through::administrator,
         kinds<StatusReport, SocketReport, CallerReport, BadFileReport, WarningReport,
               ProblemReport, Managed>()},
        {"Admin.Reload", none, Through::administrator,
         kinds<BadFileReport, WarningReport, ProblemReport, Managed>()},
        {"Admin.SetLogLevel", {{"level", "info"}}, Through::administrator, kinds<Managed>()},
        {"Admin.Jobs", none, Through::administrator, kinds<JobReport, Managed>()},
        {"Admin.CancelAllOf", {{"user", "0"}}, Through::administrator, kinds<JobReport, Managed>()},
    };
}

constexpr std::uint64_t id = 7;

// A session that has one pending call.
class Pending {
  public:
    explicit Pending(const Asking& call) {
        const std::string text = json({{"method", "org.postern." + std::string(call.method)},
                                       {"parameters", call.parameters}})
                                     .dump() +
                                 '\n';
        if (is_packet(call.through)) {
            channel::Datagram packet{channel::ConnectionId{id}, 2, "", text, false, false};
            if (call.through == Through::packet_without_unit) packet.unit.reset();
            harness_.send(channel::Datagrams{{std::move(packet)}});
        } else {
            channel::Connection given{channel::ConnectionId{id}, 2};
            given.administrator = call.through == Through::administrator;
            if (call.through == Through::without_unit) given.unit.reset();
            harness_.give(given, pair_.there.get());
            harness_.expect<channel::Accepted>();
            client_.send(text);
        }
        harness_.settle();
        const auto asked = harness_.heard();
        EXPECT_TRUE(asked.has_value()) << call.method;
        if (!asked) return;
        EXPECT_EQ(asked->connection, channel::ConnectionId{id}) << call.method;
        request_ = asked->request;
    }

    [[nodiscard]] channel::RequestId request() const { return request_; }

    Session::State answer(const CallAnswer& answer, channel::RequestId request,
                          std::uint64_t connection = id) {
        std::vector<int> files;
        if (std::holds_alternative<JobStarted>(answer)) files = {out_.fd(), out_.fd()};
        std::visit([&](const auto& body) { harness_.send(connection, request, body, files); },
                   answer);
        return harness_.settle();
    }
    Session::State answer(const CallAnswer& given) { return answer(given, request_); }

    // Something came of it: for the client, or for the packet's sender.
    bool replied() { return !client_.receive().empty() || harness_.heard().has_value(); }

  private:
    SessionHarness harness_;
    SocketPair pair_;
    test::Client client_{std::move(pair_.here)};
    test::TestFile out_;
    channel::RequestId request_{};
};

TEST(PendingCall, EveryAnswerThatACallDoesNotWaitForBreaksTheSession) {
    const auto answers = all_answers();
    ASSERT_EQ(answers.size(), std::variant_size_v<CallAnswer>);
    for (const auto& call : all_calls()) {
        for (const auto& answer : answers) {
            const bool awaited =
                std::holds_alternative<Refused>(answer) || call.awaited.contains(answer.index());
            EXPECT_EQ(Pending(call).answer(answer),
                      awaited ? Session::State::running : Session::State::broken)
                << call.method << ", answer " << answer.index();
        }
    }
}

TEST(PendingCall, AnAnswerToAnotherRequestBreaksTheSession) {
    for (const auto& call : all_calls()) {
        Pending pending(call);
        const channel::RequestId other{static_cast<std::uint32_t>(pending.request()) + 1};
        EXPECT_EQ(pending.answer(Refused{}, other), Session::State::broken) << call.method;
    }
}

// Its connection was closed meanwhile.
TEST(PendingCall, AnAnswerToNobodyIsPassedOver) {
    for (const auto& call : all_calls()) {
        Pending pending(call);
        EXPECT_EQ(pending.answer(Refused{}, pending.request(), id + 1), Session::State::running);
        EXPECT_FALSE(pending.replied()) << call.method;
        EXPECT_EQ(pending.answer(Refused{}), Session::State::running) << call.method;
        EXPECT_TRUE(pending.replied()) << call.method;
    }
}

TEST(PendingCall, ASecondAnswerOverAConnectionBreaksTheSession) {
    for (const auto& call : all_calls()) {
        if (is_packet(call.through)) continue;
        Pending pending(call);
        EXPECT_EQ(pending.answer(Refused{}), Session::State::running) << call.method;
        EXPECT_EQ(pending.answer(Refused{}), Session::State::broken) << call.method;
    }
}

TEST(PendingCall, AJobStartsOnceAndEndsOnce) {
    const auto run = all_calls().front();
    const JobStarted started{JobId("0123")};
    {
        Pending pending(run);
        EXPECT_EQ(pending.answer(JobStarted{}), Session::State::broken) << "a job without an id";
    }
    for (const CallAnswer& second : std::initializer_list<CallAnswer>{started, Refused{}}) {
        Pending pending(run);
        EXPECT_EQ(pending.answer(started), Session::State::running);
        EXPECT_EQ(pending.answer(second), Session::State::broken) << second.index();
    }
    for (const CallAnswer& last : std::initializer_list<CallAnswer>{JobOutput{}, JobEnded{}}) {
        Pending pending(run);
        EXPECT_EQ(pending.answer(started), Session::State::running);
        EXPECT_EQ(pending.answer(JobOutput{}), Session::State::running);
        EXPECT_EQ(pending.answer(JobEnded{}), Session::State::running);
        EXPECT_EQ(pending.answer(last), Session::State::broken) << last.index();
    }
}

// Reports are added to lists alone: the number of jobs in a status is none.
TEST(PendingCall, AReportOfAnotherCallsKindBreaksTheSession) {
    for (const auto& call : all_calls()) {
        if (call.method != std::string_view("Admin.Status")) continue;
        Pending pending(call);
        EXPECT_EQ(pending.answer(StatusReport{}), Session::State::running);
        EXPECT_EQ(pending.answer(JobReport{}), Session::State::broken);
    }
}

TEST(PendingCall, APacketsJobHasAnId) {
    for (const auto& call : all_calls()) {
        if (!call.awaited.contains(CallAnswer(Detached{}).index())) continue;
        EXPECT_EQ(Pending(call).answer(Detached{}), Session::State::broken);
    }
}

}  // namespace
}  // namespace postern::session
