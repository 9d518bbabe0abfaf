#include <array>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/text/json_fields.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/peer.h"

namespace postern::ctl {
namespace {

constexpr const char* word = "posternctl";

struct TimedReply {
    nlohmann::json reply;  // its parameters
    std::chrono::steady_clock::duration time{};
};

// What went wrong was said.
Result<TimedReply, Failed> ping(const Target& target) {
    POSTERN_TRY(auto peer, Peer::open(target));
    const auto begin = std::chrono::steady_clock::now();
    auto reply = peer.ask("org.postern.Actions.Ping", {{"ping", word}});
    const auto time = std::chrono::steady_clock::now() - begin;
    if (!reply) return Unexpected(reply.error());
    return TimedReply{std::move(*reply), time};
}

int run_ping(const Invocation& invocation) {
    auto answer = ping(invocation.target);
    if (!answer) return answer.error().code;
    auto& [reply, time] = *answer;
    if (string_field(reply, "pong") != word) {
        return nonsense(invocation.target.socket, "it does not echo what was sent").code;
    }
    if (invocation.target.json) {
        reply["roundTripMicroseconds"] =
            std::chrono::duration_cast<std::chrono::microseconds>(time).count();
        return finish_json(reply);
    }
    std::array<char, 32> milliseconds{};
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): std::format needs g++ 13
    std::snprintf(milliseconds.data(), milliseconds.size(), "%.2f",
                  std::chrono::duration<double, std::milli>(time).count());
    return finish(printable(invocation.target.socket) + ": answered in " + milliseconds.data() +
                  " ms\n");
}

}  // namespace

constinit const Verb verb_ping{
    .name = "ping",
    .synopsis = "",
    .summary = "check whether the daemon answers, and how fast",
    .help =
        R"(Examples:
  posternctl ping
  posternctl --user ping
)",
    .options = datagram_options,
    .run = run_ping,
};

}  // namespace postern::ctl
