// From bytes to a call: framing, and the strict parse.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "protocol/call.h"
#include "protocol/framing.h"

namespace {

using postern::protocol::decode_call;
using postern::protocol::encode_reply;
using postern::protocol::Framer;

constexpr std::string_view ping =
    R"({"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}})";
constexpr std::string_view run =
    R"({"method":"org.postern.Actions.Run","more":true,"parameters":{"action":"web.restart",)"
    R"("arguments":{"service":"php-fpm","count":3,"hosts":["a.example.org","b.example.org"]}}})";

// As many messages as one read of a session takes.
std::string stream(std::string_view message, std::size_t bytes) {
    std::string input;
    while (input.size() + message.size() < bytes) {
        input += message;
        input += '\0';
    }
    return input;
}

void frame_whole_messages(benchmark::State& state) {
    const std::string input = stream(ping, 65536);
    Framer framer;
    for (auto _ : state) {
        std::string_view rest = input;
        while (auto frame = framer.next(rest)) benchmark::DoNotOptimize(frame);
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                            static_cast<std::int64_t>(input.size()));
}
BENCHMARK(frame_whole_messages);

void frame_one_byte_at_a_time(benchmark::State& state) {
    const std::string input = stream(ping, 4096);
    Framer framer;
    for (auto _ : state) {
        for (const char& byte : input) {
            std::string_view rest(&byte, 1);
            if (auto frame = framer.next(rest)) benchmark::DoNotOptimize(frame);
        }
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                            static_cast<std::int64_t>(input.size()));
}
BENCHMARK(frame_one_byte_at_a_time);

void decode(benchmark::State& state, std::string_view message) {
    for (auto _ : state) benchmark::DoNotOptimize(decode_call(message));
}
BENCHMARK_CAPTURE(decode, ping, ping);
BENCHMARK_CAPTURE(decode, run, run);

// The worst that fits: as many values as are allowed.
void decode_most_values(benchmark::State& state) {
    std::string list;
    for (int i = 0; i < 15; ++i) {
        list += i == 0 ? "[0" : ",[0";
        for (int j = 1; j < 256; ++j) list += ",0";
        list += ']';
    }
    const std::string message =
        R"({"method":"org.postern.Actions.Ping","parameters":{"ping":[)" + list + "]}}";
    for (auto _ : state) benchmark::DoNotOptimize(decode_call(message));
}
BENCHMARK(decode_most_values);

void reply(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(encode_reply({{"pong", "x"}}, false, '\0'));
    }
}
BENCHMARK(reply);

}  // namespace
