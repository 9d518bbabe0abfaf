// The guard's part of a call: the decision, and the binding of arguments.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "daemon/policy/arguments.h"
#include "daemon/policy/file/action_parser.h"
#include "daemon/policy/verdict.h"

namespace {

namespace policy = postern::policy;

// Twenty rules that do not match stand before the one that does.
std::string action_file() {
    std::string rules;
    for (int i = 0; i < 20; ++i) rules += R"({"group": )" + std::to_string(7000 + i) + "}, ";
    return R"({"summary": "Restart", "exec": ["/usr/bin/true", "{service}", "{count}"],
        "arguments": {"service": {"type": "string", "pattern": "[a-z][a-z0-9-]*"},
                      "count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "allow": [)" +
           rules + R"({"user": 1000, "group": 27}]})";
}

policy::Snapshot snapshot(int actions) {
    policy::LoadOptions options;
    options.owner = ::geteuid();
    policy::Snapshot made;
    for (int i = 0; i < actions; ++i) {
        const std::string name = "web.restart" + std::to_string(i);
        auto action = policy::parse_action(name, name + ".json", action_file(), options);
        if (!action) {
            std::fprintf(stderr, "%s\n", action.error().message.c_str());
            std::exit(1);
        }
        made.actions.emplace(name, std::move(*action));
    }
    return made;
}

policy::Caller caller(uid_t uid) {
    return {uid, uid, {4, 20, 24, 27, 30, 46, 100, uid}};
}

void decide_granted(benchmark::State& state) {
    const policy::Snapshot actions = snapshot(100);
    const policy::Caller who = caller(1000);
    for (auto _ : state) benchmark::DoNotOptimize(policy::decide(actions, who, "web.restart50"));
}
BENCHMARK(decide_granted);

void decide_denied(benchmark::State& state) {
    const policy::Snapshot actions = snapshot(100);
    const policy::Caller who = caller(1001);
    for (auto _ : state) benchmark::DoNotOptimize(policy::decide(actions, who, "web.restart50"));
}
BENCHMARK(decide_denied);

void bind(benchmark::State& state) {
    const policy::Snapshot actions = snapshot(1);
    const postern::Arguments arguments = {{"service", std::string("php-fpm")},
                                          {"count", std::int64_t{3}}};
    for (auto _ : state) {
        benchmark::DoNotOptimize(
            policy::bind_arguments(actions.actions.begin()->second, arguments));
    }
}
BENCHMARK(bind);

void load_one_file(benchmark::State& state) {
    policy::LoadOptions options;
    options.owner = ::geteuid();
    const std::string text = action_file();
    for (auto _ : state) {
        benchmark::DoNotOptimize(policy::parse_action("web", "web.json", text, options));
    }
}
BENCHMARK(load_one_file);

}  // namespace
