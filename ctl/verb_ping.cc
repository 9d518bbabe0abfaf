#include <array>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/exchange.h"
#include "ctl/json_fields.h"

namespace postern::ctl {

int run_ping(const Invocation& invocation) {
    auto connection = open_connection(invocation);
    if (!connection) return connection.error().code;
    constexpr const char* word = "posternctl";
    const auto begin = std::chrono::steady_clock::now();
    auto reply = ask(*connection, invocation, "org.postern.Actions.Ping", {{"ping", word}});
    const auto time = std::chrono::steady_clock::now() - begin;
    if (!reply) return reply.error().code;
    if (string_field(*reply, "pong") != word) {
        return nonsense(*connection, "it does not repeat what was sent").code;
    }
    if (invocation.json) {
        (*reply)["roundTripMicroseconds"] =
            std::chrono::duration_cast<std::chrono::microseconds>(time).count();
        return finish_json(*reply);
    }
    std::array<char, 32> milliseconds{};
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): std::format needs g++ 13
    std::snprintf(milliseconds.data(), milliseconds.size(), "%.2f",
                  std::chrono::duration<double, std::milli>(time).count());
    return finish(printable(invocation.socket) + ": answers, in " + milliseconds.data() + " ms\n");
}

}  // namespace postern::ctl
