// Run through an in-process session: streams, ends, and what goes wrong on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/limits.h"
#include "tests/unit/daemon/session/harness.h"

namespace postern::session {
namespace {

using nlohmann::json;
using test::Client;
using test::SessionHarness;
using test::TestFile;

constexpr auto job_id = "0123456789abcdef0123456789abcdef";

std::string run_call(bool more, bool oneway = false) {
    json call = {{"method", "org.postern.Actions.Run"},
                 {"parameters", {{"action", "hello"}, {"arguments", {{"name", "g1"}}}}}};
    if (more) call["more"] = true;
    if (oneway) call["oneway"] = true;
    return call.dump() + '\n';
}

std::vector<json> replies(Client& client) {
    std::vector<json> all;
    std::istringstream stream(client.receive());
    for (std::string line; std::getline(stream, line);) all.push_back(json::parse(line));
    return all;
}

const JobResult exit_3{
    Outcome::exited, false, 3, time_of(10), time_of(20), std::chrono::microseconds(30), 40};
const json exit_3_json = {{"outcome", "exited"}, {"exitCode", 3},         {"startedAt", 10},
                          {"endedAt", 20},       {"cpuMicroseconds", 30}, {"maxResidentKiB", 40}};

class SessionJobs : public testing::Test {
  protected:
    // A Run that has started, up to its first AwaitOutput.
    void start(bool more) {
        client.send(run_call(more));
        const auto run = harness.expect<RunCall>();
        EXPECT_EQ(run.connection, channel::ConnectionId{1});
        EXPECT_EQ(run.action, "hello");
        EXPECT_EQ(run.arguments, (Arguments{{"name", Value("g1")}}));
        request = run.request;
        started();
        const auto await = harness.expect<AwaitOutput>();
        EXPECT_EQ(await.request, request);
        EXPECT_EQ(await.stdout_offset, 0U);
        EXPECT_EQ(await.stderr_offset, 0U);
    }
    void started() {
        const UniqueFd out_reader = out.reader();
        const UniqueFd err_reader = err.reader();
        harness.send(1, request, JobStarted{JobId(job_id)}, {out_reader.get(), err_reader.get()});
    }
    void output() { harness.send(1, request, JobOutput{}); }
    void end() { harness.send(1, request, JobEnded{exit_3}); }

    SessionHarness harness;
    Client client = harness.connect(1);
    TestFile out;
    TestFile err;
    channel::RequestId request{};
};

TEST_F(SessionJobs, StreamsOutputAsItComes) {
    start(true);
    EXPECT_EQ(replies(client),
              (std::vector<json>{{{"continues", true}, {"parameters", {{"job", job_id}}}}}));
    out.append("one\n");
    output();
    auto await = harness.expect<AwaitOutput>();
    EXPECT_EQ(await.stdout_offset, 4U);
    auto taken = harness.expect<OutputTaken>();
    EXPECT_EQ(taken.request, request);
    EXPECT_EQ(taken.stdout_offset, 4U);
    EXPECT_EQ(taken.stderr_offset, 0U);
    EXPECT_EQ(replies(client),
              (std::vector<json>{
                  {{"continues", true}, {"parameters", {{"job", job_id}, {"stdout", "one\n"}}}}}));
    err.append("\xff");
    output();
    await = harness.expect<AwaitOutput>();
    EXPECT_EQ(await.stderr_offset, 1U);
    taken = harness.expect<OutputTaken>();
    EXPECT_EQ(taken.stdout_offset, 4U);
    EXPECT_EQ(taken.stderr_offset, 1U);
    EXPECT_EQ(replies(client),
              (std::vector<json>{{{"continues", true},
                                  {"parameters", {{"job", job_id}, {"stderrBase64", "/w=="}}}}}));
    // The last bytes come with the end, before the result.
    out.append("two\n");
    end();
    harness.settle();
    EXPECT_EQ(replies(client),
              (std::vector<json>{
                  {{"continues", true}, {"parameters", {{"job", job_id}, {"stdout", "two\n"}}}},
                  {{"parameters", {{"job", job_id}, {"result", exit_3_json}}}}}));
    EXPECT_TRUE(harness.silent());
}

TEST_F(SessionJobs, WithoutMoreThereIsOneReplyAtTheEnd) {
    start(false);
    out.append("Hi, ");
    output();
    EXPECT_EQ(harness.expect<AwaitOutput>().stdout_offset, 4U);
    EXPECT_EQ(client.receive(), "");
    out.append("g1\n");
    end();
    harness.settle();
    EXPECT_EQ(
        replies(client),
        (std::vector<json>{
            {{"parameters", {{"job", job_id}, {"stdout", "Hi, g1\n"}, {"result", exit_3_json}}}}}));
}

TEST_F(SessionJobs, WithoutMoreLongOutputIsCutAndSaidSo) {
    start(false);
    out.append(std::string(40'000, 'x'));
    output();
    // Enough of stdout, nothing of stderr yet.
    const auto await = harness.expect<AwaitOutput>();
    EXPECT_EQ(await.stdout_offset, not_awaited);
    EXPECT_EQ(await.stderr_offset, 0U);
    auto taken = harness.expect<OutputTaken>();
    EXPECT_EQ(taken.stdout_offset, not_awaited);
    EXPECT_EQ(taken.stderr_offset, 0U);
    err.append(std::string(40'000, 'y'));
    output();
    // Enough of both: only the end is waited for.
    taken = harness.expect<OutputTaken>();
    EXPECT_EQ(taken.stdout_offset, not_awaited);
    EXPECT_EQ(taken.stderr_offset, not_awaited);
    EXPECT_TRUE(harness.silent());
    end();
    harness.settle();
    const auto got = replies(client);
    ASSERT_EQ(got.size(), 1U);
    const json& parameters = got[0]["parameters"];
    EXPECT_EQ(parameters["stdout"], std::string(32'768, 'x'));
    EXPECT_EQ(parameters["stdoutMissed"], 40'000 - 32'768);
    EXPECT_EQ(parameters["stderr"], std::string(32'768, 'y'));
    EXPECT_EQ(parameters["stderrMissed"], 40'000 - 32'768);
}

TEST_F(SessionJobs, TheNextCallWaitsForTheEnd) {
    start(true);
    client.receive();
    client.send("{\"method\":\"org.postern.Actions.Ping\",\"parameters\":{\"ping\":\"x\"}}\n");
    harness.settle();
    EXPECT_EQ(client.receive(), "");
    end();
    harness.settle();
    const auto got = replies(client);
    ASSERT_EQ(got.size(), 2U);
    EXPECT_TRUE(got[0]["parameters"].contains("result"));
    EXPECT_EQ(got[1]["parameters"], json({{"pong", "x"}}));
}

TEST_F(SessionJobs, StartFailedNamesTheJob) {
    client.send(run_call(true));
    const auto run = harness.expect<RunCall>();
    harness.send(1, run.request, Refused{Refusal::start_failed, job_id, "why"});
    harness.settle();
    EXPECT_EQ(replies(client),
              (std::vector<json>{{{"error", "org.postern.Actions.StartFailed"},
                                  {"parameters", {{"job", job_id}, {"message", "why"}}}}}));
}

TEST_F(SessionJobs, OnewayRunsAreFollowedToTheirEndInSilence) {
    client.send(run_call(false, true) + run_call(false));
    request = harness.expect<RunCall>().request;
    started();
    // Not even output is awaited, and nothing is to be held back for it.
    const auto taken = harness.expect<OutputTaken>();
    EXPECT_EQ(taken.stdout_offset, not_awaited);
    EXPECT_EQ(taken.stderr_offset, not_awaited);
    EXPECT_TRUE(harness.silent());
    end();
    const auto second = harness.expect<RunCall>();
    EXPECT_NE(second.request, request);
    EXPECT_EQ(client.receive(), "");
}

TEST_F(SessionJobs, TheClientGoesAndTheJobIsForgotten) {
    start(true);
    client.close();
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    output();
    end();
    EXPECT_EQ(harness.settle(), Session::State::running);
    EXPECT_TRUE(harness.silent());
}

TEST_F(SessionJobs, AHalfClosedClientSeesItsJobToTheEnd) {
    start(true);
    client.end_input();
    harness.settle();
    out.append("late");
    end();
    EXPECT_EQ(harness.expect_closed().id, channel::ConnectionId{1});
    const auto got = replies(client);
    ASSERT_EQ(got.size(), 3U);
    EXPECT_EQ(got[1]["parameters"]["stdout"], "late");
    EXPECT_EQ(got[2]["parameters"]["result"], exit_3_json);
}

// The guard is told how far the client is: never further than what it was sent, in steps while more
// comes, and all of it in the end.
TEST_F(SessionJobs, WhatASlowClientHasIsTold) {
    SessionHarness slow_harness;
    Client slow = slow_harness.connect_small(1, 4096);
    slow.send(run_call(true));
    request = slow_harness.expect<RunCall>().request;
    const UniqueFd out_reader = out.reader();
    const UniqueFd err_reader = err.reader();
    slow_harness.send(1, request, JobStarted{JobId(job_id)}, {out_reader.get(), err_reader.get()});
    slow_harness.expect<AwaitOutput>();
    constexpr std::size_t total = std::size_t{2} << 20;
    out.append(std::string(total, 'x'));
    slow_harness.send(1, request, JobOutput{});
    slow_harness.settle(100);
    EXPECT_FALSE(slow_harness.heard()) << "next to nothing was sent";

    std::size_t got = 0;
    std::uint64_t told = 0;
    int messages = 0;
    ASSERT_TRUE(slow_harness.until([&] {
        while (const auto message = slow_harness.heard()) {
            const auto* const taken = std::get_if<OutputTaken>(&message->body);
            if (taken == nullptr) continue;  // it awaits more
            EXPECT_GE(taken->stdout_offset, told);
            EXPECT_EQ(taken->stderr_offset, 0U);
            told = taken->stdout_offset;
            ++messages;
        }
        const std::string bytes = slow.receive();
        got += static_cast<std::size_t>(std::ranges::count(bytes, 'x'));
        // What waits in the socket is sent: it is the client's, who sees it below all the same.
        EXPECT_LE(told, got);
        return told == total;
    }));
    EXPECT_EQ(got, total);
    EXPECT_GE(messages, 4);
    EXPECT_LE(messages, 9);
}

TEST_F(SessionJobs, OneThatFollowsFromLaterOnHasWhatCameBefore) {
    out.append("one\ntwo\n");
    client.send(R"({"method":"org.postern.Jobs.Follow","more":true,"parameters":{"job":")" +
                std::string(job_id) + R"(","stdoutOffset":4,"stderrOffset":9}})" + '\n');
    request = harness.expect<FollowCall>().request;
    started();
    EXPECT_EQ(harness.expect<AwaitOutput>().stderr_offset, 9U);
    const auto taken = harness.expect<OutputTaken>();
    EXPECT_EQ(taken.stdout_offset, 4U);
    EXPECT_EQ(taken.stderr_offset, 0U) << "there is no more of it";
}

// Backpressure: output is read from the file only as the client reads. What is punched away in the
// meantime is said to be missed, byte for byte.
TEST_F(SessionJobs, OutputWaitsInTheFileForASlowClient) {
    SessionHarness slow_harness;
    Client slow = slow_harness.connect_small(1, 4096);
    slow.send(run_call(true));
    request = slow_harness.expect<RunCall>().request;
    const UniqueFd out_reader = out.reader();
    const UniqueFd err_reader = err.reader();
    slow_harness.send(1, request, JobStarted{JobId(job_id)}, {out_reader.get(), err_reader.get()});
    slow_harness.expect<AwaitOutput>();
    constexpr std::size_t total = std::size_t{8} << 20;
    std::string all;
    for (std::size_t i = 0; all.size() < total; ++i) all += std::to_string(i) + '\n';
    all.resize(total);
    out.append(all);
    slow_harness.send(1, request, JobOutput{});
    slow_harness.settle(2000);
    const auto* connection = slow_harness.session().find(channel::ConnectionId{1});
    ASSERT_NE(connection, nullptr);
    EXPECT_GT(connection->backlog(), 0U);
    EXPECT_LE(connection->backlog(), limits::client_backlog_bytes);
    out.punch(0, total / 2);
    slow_harness.send(1, request, JobEnded{exit_3});

    std::string bytes;
    ASSERT_TRUE(slow_harness.until([&] {
        bytes += slow.receive();
        return bytes.find("\"result\"") != std::string::npos && bytes.ends_with('\n');
    }));
    std::string got;
    std::uint64_t missed = 0;
    std::istringstream stream(bytes);
    for (std::string line; std::getline(stream, line);) {
        const json parameters = json::parse(line)["parameters"];
        if (parameters.contains("stdoutMissed")) {
            // The gap is where it says: what came before is all that was before it.
            EXPECT_EQ(missed, 0U);
            EXPECT_EQ(got, all.substr(0, got.size()));
            missed = parameters["stdoutMissed"].get<std::uint64_t>();
            EXPECT_EQ(got.size() + missed, total / 2);
            got.clear();
        }
        got += parameters.value("stdout", "");
    }
    EXPECT_GT(missed, 0U);
    EXPECT_EQ(got, all.substr(total / 2));
}

// As JSON it is twice as long: the chunks of one turn would be more than is kept for a client.
TEST_F(SessionJobs, OutputThatGrowsAsJsonIsBoundedToo) {
    SessionHarness slow_harness;
    Client slow = slow_harness.connect_small(1, 4096);
    slow.send(run_call(true));
    request = slow_harness.expect<RunCall>().request;
    const UniqueFd out_reader = out.reader();
    const UniqueFd err_reader = err.reader();
    slow_harness.send(1, request, JobStarted{JobId(job_id)}, {out_reader.get(), err_reader.get()});
    slow_harness.expect<AwaitOutput>();
    out.append(std::string(std::size_t{512} << 10, '\n'));
    err.append(std::string(std::size_t{512} << 10, '"'));
    slow_harness.send(1, request, JobOutput{});
    slow_harness.settle(100);
    const auto* connection = slow_harness.session().find(channel::ConnectionId{1});
    ASSERT_NE(connection, nullptr);
    EXPECT_GT(connection->backlog(), limits::client_backlog_bytes / 4);
    EXPECT_LE(connection->backlog(), limits::client_backlog_bytes);
}

// Whoever was dropped would lose what its job goes on to write.
TEST_F(SessionJobs, HoweverManyFollowAndDoNotReadNoneIsDropped) {
    SessionHarness slow_harness;
    std::vector<Client> clients;
    std::vector<channel::RequestId> requests;
    const UniqueFd out_reader = out.reader();
    const UniqueFd err_reader = err.reader();
    for (std::uint64_t id = 1; id <= 60; ++id) {
        clients.push_back(slow_harness.connect_small(id, 4096));
        clients.back().send(run_call(true));
        requests.push_back(slow_harness.expect<RunCall>().request);
        slow_harness.send(id, requests.back(), JobStarted{JobId(job_id)},
                          {out_reader.get(), err_reader.get()});
        slow_harness.expect<AwaitOutput>();
    }
    constexpr std::size_t total = std::size_t{1} << 20;
    out.append(std::string(total, 'Z'));
    const auto backlog = [&] {
        std::size_t sum = 0;
        for (std::uint64_t id = 1; id <= clients.size(); ++id) {
            const auto* connection = slow_harness.session().find(channel::ConnectionId{id});
            if (connection != nullptr) sum += connection->backlog();
        }
        return sum;
    };
    const auto dropped = [&] {
        while (const auto message = slow_harness.heard()) {
            if (std::holds_alternative<channel::Closed>(message->body)) return true;
        }
        return false;
    };
    for (std::uint64_t id = 1; id <= clients.size(); ++id) {
        slow_harness.send(id, requests[id - 1], JobOutput{});
        slow_harness.settle();
    }
    EXPECT_FALSE(dropped());
    EXPECT_GT(backlog(), limits::session_backlog_bytes / 2);
    EXPECT_LE(backlog(), limits::session_backlog_bytes);
    // Nor for how long: that is the guard's affair, until the job is over.
    slow_harness.advance(10 * limits::unread_patience);
    slow_harness.settle();
    EXPECT_FALSE(dropped());
    for (std::uint64_t id = 1; id <= clients.size(); ++id) {
        slow_harness.send(id, requests[id - 1], JobEnded{exit_3});
        slow_harness.settle();
    }
    EXPECT_FALSE(dropped());
    // The last one has the rest in little pieces, while the others still do not read.
    std::string bytes;
    ASSERT_TRUE(slow_harness.until([&] {
        bytes += clients.back().receive();
        return bytes.find("\"result\"") != std::string::npos && bytes.ends_with('\n');
    }));
    EXPECT_EQ(std::ranges::count(bytes, 'Z'), total);
    EXPECT_LE(backlog(), limits::session_backlog_bytes);
    slow_harness.advance(limits::unread_patience);
    slow_harness.settle();
    EXPECT_TRUE(dropped());
}

TEST_F(SessionJobs, MuchOutputDoesNotKeepOthersWaiting) {
    start(true);
    Client other = harness.connect(2);
    out.append(std::string(std::size_t{4} << 20, 'x'));
    output();
    other.send("{\"method\":\"org.postern.Actions.Ping\",\"parameters\":{\"ping\":\"x\"}}\n");
    harness.settle(1);
    EXPECT_EQ(other.receive(), "{\"parameters\":{\"pong\":\"x\"}}\n");
}

}  // namespace
}  // namespace postern::session
