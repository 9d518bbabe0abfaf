// Between session and guard: one call as a packet, and back.
#include <benchmark/benchmark.h>

#include <utility>

#include "daemon/channel/messages.h"

namespace {

namespace channel = postern::channel;

channel::Envelope<channel::ToGuard> call() {
    postern::RunCall run;
    run.action = "web.restart";
    run.arguments = {{"service", std::string("php-fpm")}, {"count", std::int64_t{3}}};
    return {channel::ConnectionId{7}, channel::RequestId{9}, std::move(run)};
}

void encode_run(benchmark::State& state) {
    const auto message = call();
    for (auto _ : state) benchmark::DoNotOptimize(channel::encode(message));
}
BENCHMARK(encode_run);

void decode_run(benchmark::State& state) {
    const channel::Bytes packet = channel::encode(call());
    for (auto _ : state) benchmark::DoNotOptimize(channel::decode_to_guard(packet));
}
BENCHMARK(decode_run);

}  // namespace
