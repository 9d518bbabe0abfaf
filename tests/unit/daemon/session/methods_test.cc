// The method table, held against the interface texts.
#include "daemon/session/methods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <set>

#include "daemon/session/json_values.h"
#include "protocol/call.h"
#include "protocol/interfaces.h"
#include "protocol/small_call.h"
#include "tests/unit/daemon/session/harness.h"
#include "tests/unit/protocol/varlink_text.h"

namespace postern::session {
namespace {

using nlohmann::json;

struct Called {
    Caller caller{1000, 1000, {27, 1000}, 32768};
    Granted granted{test::some_actions()};
    std::optional<std::string> unit = std::string();
    bool administrator = false;

    Answer operator()(std::string_view method, const json& parameters,
                      std::span<const Method> table = methods()) {
        return dispatch(table,
                        Context{caller, granted, 4711, unit ? &*unit : nullptr, administrator},
                        method, parameters);
    }
};

test::VarlinkText text_of(std::string_view interface) {
    const auto* found = protocol::find_interface(interface);
    EXPECT_NE(found, nullptr);
    return *test::parse_varlink(found->text);
}

// Every method of every text, by its full name.
std::map<std::string, test::VarlinkMethod> declared() {
    std::map<std::string, test::VarlinkMethod> all;
    for (const auto& interface : protocol::interfaces()) {
        const auto text = text_of(interface.name);
        for (const auto& [name, method] : text.methods) all[text.name + "." + name] = method;
    }
    return all;
}

json right_value(const std::string& type) {
    if (type == "string") return "x";
    if (type == "int") return 8;
    if (type == "bool") return false;
    EXPECT_EQ(type, "object") << "this test knows no other type of parameter yet";
    return json::object();
}

const std::string some_place = "1700000000000000-0123456789abcdef0123456789abcdef";

// Of one thing in several spellings a call has one: these stand for another.
constexpr std::array instead_of_another = {"inputBase64", "tail", "fromNow"};

json right_parameters(const test::VarlinkMethod& method, bool with_optional = true) {
    json parameters = json::object();
    for (const auto& field : method.in) {
        if (std::ranges::count(instead_of_another, field.name) != 0) continue;
        if (!field.optional || with_optional) parameters[field.name] = right_value(field.type);
    }
    // Not any text is one of these.
    if (parameters.contains("state")) parameters["state"] = "running";
    if (parameters.contains("before")) parameters["before"] = some_place;
    return parameters;
}

std::string bad_parameter(const Answer& answer) {
    const auto* rejected = std::get_if<Rejected>(&answer);
    if (rejected == nullptr || rejected->error != protocol::errors::invalid_parameter) return "";
    return rejected->parameters.at("parameter").get<std::string>();
}

// Whether the guard is asked this, and what.
template <typename C>
bool asks(const Answer& answer) {
    const auto* asked = std::get_if<Asked>(&answer);
    return asked != nullptr && std::holds_alternative<C>(asked->call);
}
template <typename C>
const C& asked(const Answer& answer) {
    return std::get<C>(std::get<Asked>(answer).call);
}

TEST(MethodTable, HasExactlyTheMethodsOfTheTexts) {
    std::set<std::string> in_table;
    for (const auto& method : methods()) {
        EXPECT_TRUE(in_table.emplace(method.name()).second) << method.name() << " stands twice";
    }
    std::set<std::string> in_texts;
    for (const auto& [name, method] : declared()) in_texts.insert(name);
    EXPECT_EQ(in_table, in_texts);
}

TEST(MethodTable, TakesExactlyTheParametersOfTheTexts) {
    Called call;
    call.administrator = true;
    for (const auto& [name, method] : declared()) {
        EXPECT_EQ(bad_parameter(call(name, right_parameters(method))), "") << name;
        EXPECT_EQ(bad_parameter(call(name, right_parameters(method, false))), "") << name;

        json unknown = right_parameters(method);
        unknown["unknown"] = 1;
        EXPECT_EQ(bad_parameter(call(name, unknown)), "unknown") << name;

        for (const auto& field : method.in) {
            json missing = right_parameters(method);
            missing.erase(field.name);
            EXPECT_EQ(bad_parameter(call(name, missing)), field.optional ? "" : field.name) << name;
            json null = right_parameters(method);
            null[field.name] = nullptr;
            EXPECT_EQ(bad_parameter(call(name, null)), field.optional ? "" : field.name) << name;
            json wrong = right_parameters(method);
            for (const json& value : {json(7), json(true), json::array({"x"}), json(1.5)}) {
                if (field.type == "int" && value == 7) continue;
                if (field.type == "bool" && value == true) continue;
                if (field.name == "inputBase64") wrong.erase("input");
                wrong[field.name] = value;
                EXPECT_EQ(bad_parameter(call(name, wrong)), field.name) << name << " " << value;
            }
        }
    }
}

TEST(MethodTable, AnswersWithTheFieldsOfTheTexts) {
    Called call;
    const auto texts = declared();
    const auto check = [&](const std::string& name, const json& parameters) {
        const Answer answer = call(name, parameters);
        const auto* answered = std::get_if<Answered>(&answer);
        ASSERT_NE(answered, nullptr) << name;
        const auto text = text_of(name.substr(0, name.rfind('.')));
        EXPECT_EQ(text.misfit(answered->parameters, texts.at(name).out), "") << name;
    };
    check("org.varlink.service.GetInfo", json::object());
    check("org.varlink.service.GetInterfaceDescription", {{"interface", "org.varlink.service"}});
    check("org.postern.Actions.List", json::object());
    check("org.postern.Actions.Describe", {{"action", "hello"}});
    check("org.postern.Actions.Describe", {{"action", "web.restart"}});
    check("org.postern.Actions.WhoAmI", json::object());
    check("org.postern.Actions.Ping", {{"ping", ""}});
    call.unit = "x.service";
    check("org.postern.Actions.WhoAmI", json::object());
}

// A row whose access the caller has not is refused before its parameters are looked at.
TEST(Dispatch, ChecksAccessBeforeTheHandler) {
    static int served = 0;
    served = 0;
    constexpr auto serve = [](const Context&, const json&) -> Answer {
        ++served;
        return Answered{json::object()};
    };
    static constexpr auto table =
        std::to_array<Method>({{"org.postern.Actions.Closed", Access::administrator, serve},
                               {"org.postern.Actions.Open", Access::everyone, serve}});
    Called call;
    EXPECT_TRUE(
        std::holds_alternative<Answered>(call("org.postern.Actions.Open", json::object(), table)));
    EXPECT_EQ(served, 1);
    const Answer refused = call("org.postern.Actions.Closed", {{"unknown", 1}}, table);
    ASSERT_TRUE(std::holds_alternative<Rejected>(refused));
    EXPECT_EQ(std::get<Rejected>(refused).error, "org.varlink.service.PermissionDenied");
    EXPECT_EQ(std::get<Rejected>(refused).parameters, json::object());
    EXPECT_EQ(served, 1);
    call.administrator = true;
    EXPECT_TRUE(std::holds_alternative<Answered>(
        call("org.postern.Actions.Closed", {{"unknown", 1}}, table)));
    EXPECT_EQ(served, 2);
}

// Every method, for a caller like any other: what is not the administrator's is open to whoever is
// connected.
TEST(Dispatch, TheAdministratorsMethodsAreThoseOfAdmin) {
    for (const auto& method : methods()) {
        const bool admin = method.name().starts_with("org.postern.Admin.");
        EXPECT_EQ(method.access(), admin ? Access::administrator : Access::everyone)
            << method.name();
    }
}

// What is served without a JSON value is served in the same way.
TEST(Dispatch, ServesSmallCallsAsItServesOthers) {
    const Called call;
    const auto small = [&](std::string_view message, std::span<const Method> table = methods(),
                           bool administrator = false, bool datagram = false) {
        const auto read = protocol::read_small_call(message);
        EXPECT_TRUE(read.has_value()) << message;
        Context context{call.caller, call.granted, 4711};
        context.administrator = administrator;
        context.datagram = datagram;
        std::string reply;
        const bool served = read && serve_small(table, context, *read, '\n', reply);
        EXPECT_EQ(served, !reply.empty());
        return reply;
    };
    const auto call_of = [](std::string_view parameters) {
        return R"({"method":"org.postern.Actions.Ping","parameters":)" + std::string(parameters) +
               '}';
    };
    EXPECT_EQ(small(call_of(R"({"ping":"a b"})")), "{\"parameters\":{\"pong\":\"a b\"}}\n");
    EXPECT_EQ(small(call_of(R"({"ping":""})")), "{\"parameters\":{\"pong\":\"\"}}\n");
    for (const char* parameters :
         {R"({})", R"({"pong":"x"})", R"({"ping":"x","more":"y"})", R"({"more":"y","ping":"x"})"}) {
        EXPECT_EQ(small(call_of(parameters)), "") << parameters;
    }
    EXPECT_EQ(small(R"({"method":"org.postern.Actions.List"})"), "");
    EXPECT_EQ(small(R"({"method":"org.postern.Actions.Pin"})"), "");
    EXPECT_EQ(small(R"({"method":"org.postern.Actions.Pingg"})"), "");
    // Only after the same checks.
    static constexpr auto answer = [](const protocol::SmallCall&, char terminator,
                                      std::string& to) {
        to += terminator;
        return true;
    };
    static constexpr auto table =
        std::to_array<Method>({{"a.Closed", Access::administrator, nullptr, By::packet, answer},
                               {"a.Open", Access::everyone, nullptr, By::connection, answer}});
    EXPECT_EQ(small(R"({"method":"a.Closed"})", table), "");
    EXPECT_EQ(small(R"({"method":"a.Closed"})", table, true), "\n");
    EXPECT_EQ(small(R"({"method":"a.Closed"})", table, true, true), "\n");
    EXPECT_EQ(small(R"({"method":"a.Open"})", table), "\n");
    EXPECT_EQ(small(R"({"method":"a.Open"})", table, false, true), "");
}

// What can't be called over a socket is not named there.
TEST(Dispatch, NamesTheInterfacesThatASocketServes) {
    Called call;
    const auto interfaces = [&] {
        const Answer answer = call("org.varlink.service.GetInfo", json::object());
        return std::get<Answered>(answer).parameters.at("interfaces");
    };
    const json admin = {{"interface", "org.postern.Admin"}};
    const std::string description = "org.varlink.service.GetInterfaceDescription";
    EXPECT_EQ(interfaces(),
              json({"org.postern.Actions", "org.postern.Jobs", "org.varlink.service"}));
    const Answer refused = call(description, admin);
    ASSERT_TRUE(std::holds_alternative<Rejected>(refused));
    EXPECT_EQ(std::get<Rejected>(refused).error, "org.varlink.service.InterfaceNotFound");
    EXPECT_EQ(std::get<Rejected>(refused).parameters, admin);
    call.administrator = true;
    EXPECT_EQ(interfaces(), json({"org.postern.Actions", "org.postern.Admin", "org.postern.Jobs",
                                  "org.varlink.service"}));
    EXPECT_TRUE(std::holds_alternative<Answered>(call(description, admin)));
}

TEST(Dispatch, SaysWhatThereIsNot) {
    Called call;
    const auto error = [&](std::string_view method) {
        const Answer answer = call(method, json::object());
        const auto* rejected = std::get_if<Rejected>(&answer);
        if (rejected == nullptr) return std::string("served");
        return std::string(rejected->error) + " " + rejected->parameters.dump();
    };
    EXPECT_EQ(error("org.postern.Actions.Nothing"),
              R"(org.varlink.service.MethodNotFound {"method":"org.postern.Actions.Nothing"})");
    EXPECT_EQ(error("org.postern.Actions.ping"),
              R"(org.varlink.service.MethodNotFound {"method":"org.postern.Actions.ping"})");
    EXPECT_EQ(error("org.postern.Nothing.List"),
              R"(org.varlink.service.InterfaceNotFound {"interface":"org.postern.Nothing"})");
    EXPECT_EQ(error("List"), R"(org.varlink.service.MethodNotFound {"method":"List"})");
    EXPECT_EQ(error(""), R"(org.varlink.service.MethodNotFound {"method":""})");
    EXPECT_EQ(error(".List"), R"(org.varlink.service.MethodNotFound {"method":".List"})");
}

TEST(Dispatch, AsksTheGuardWhatItMustDecide) {
    Called call;
    const json parameters = json::parse(
        R"({"action":"x","arguments":{"s":"t","i":-3,"b":true,"l":["a",1,false,[],null],"o":{},"f":1.5,"n":null}})");
    const Arguments expected = {
        {"b", Value(true)},
        {"f", Value(Unsupported{Unusable::fraction})},
        {"i", Value(std::int64_t{-3})},
        {"l", Value(std::vector<Scalar>{"a", std::int64_t{1}, false, Unsupported{Unusable::list},
                                        Unsupported{Unusable::null}})},
        {"n", Value(Unsupported{Unusable::null})},
        {"o", Value(Unsupported{Unusable::object})},
        {"s", Value("t")}};
    const Answer run = call("org.postern.Actions.Run", parameters);
    ASSERT_TRUE(asks<RunCall>(run));
    EXPECT_EQ(asked<RunCall>(run).action, "x");
    EXPECT_EQ(asked<RunCall>(run).arguments, expected);
    const Answer check = call("org.postern.Actions.Check", parameters);
    ASSERT_TRUE(asks<CheckCall>(check));
    EXPECT_EQ(asked<CheckCall>(check).arguments, expected);
    // Even for an action that it knows: the set may have changed, and the guard decides.
    EXPECT_TRUE(asks<RunCall>(
        call("org.postern.Actions.Run", {{"action", "hello"}, {"arguments", nullptr}})));
    const Answer describe = call("org.postern.Actions.Describe", {{"action", "nothing"}});
    ASSERT_TRUE(asks<DescribeCall>(describe));
    EXPECT_EQ(asked<DescribeCall>(describe).action, "nothing");
}

TEST(Dispatch, AListIsAskedForWithinItsBounds) {
    Called call;
    const auto list = [&](const json& parameters) {
        return call("org.postern.Jobs.List", parameters);
    };
    const auto plain = asked<ListCall>(list(json::object()));
    EXPECT_EQ(plain.action, "");
    EXPECT_FALSE(plain.state || plain.before || plain.all);
    EXPECT_EQ(plain.since, Time());
    EXPECT_EQ(plain.limit, 100U);
    const auto full = asked<ListCall>(list({{"action", "hello"},
                                            {"state", "failed"},
                                            {"since", 5},
                                            {"limit", 1000},
                                            {"before", some_place}}));
    EXPECT_EQ(full.action, "hello");
    EXPECT_EQ(full.state, JobState::failed);
    EXPECT_EQ(full.since, time_of(5));
    EXPECT_EQ(full.limit, 200U);
    EXPECT_EQ(full.before, time_of(1'700'000'000'000'000));
    EXPECT_EQ(full.before_job, JobId("0123456789abcdef0123456789abcdef"));
    for (const auto& [name, value] : {std::pair{"limit", json(0)},
                                      {"limit", json(-1)},
                                      {"since", json(-1)},
                                      {"action", json("")},
                                      {"state", json("Running")},
                                      {"state", json("lost")},
                                      {"before", json("")},
                                      {"before", json("5")},
                                      {"before", json("-5-" + some_place)},
                                      {"before", json("x-0123456789abcdef0123456789abcdef")},
                                      {"before", json("5-0123456789abcdef0123456789abcdeF")},
                                      {"before", json(some_place + "0")}}) {
        EXPECT_EQ(bad_parameter(list({{name, value}})), name) << value;
    }
}

TEST(Dispatch, EverybodysJobsAreTheAdministrators) {
    Called call;
    const Answer refused = call("org.postern.Jobs.List", {{"all", true}});
    ASSERT_TRUE(std::holds_alternative<Rejected>(refused));
    EXPECT_EQ(std::get<Rejected>(refused).error, "org.varlink.service.PermissionDenied");
    call.administrator = true;
    EXPECT_TRUE(asked<ListCall>(call("org.postern.Jobs.List", {{"all", true}})).all);
}

TEST(JsonValues, JobsFitTheText) {
    const auto text = text_of("org.postern.Jobs");
    JobView view;
    view.job = JobId("0123456789abcdef0123456789abcdef");
    view.action = "hello";
    EXPECT_EQ(text.misfit(job_json(view), text.types.at("Job")), "");
    view.uid = 1000;
    view.pid = 42;
    JobDetails details;
    details.user = "alice";
    details.gid = 1001;
    details.unit = "a.service";
    details.listener = "/run/s";
    details.arguments = {{"n", "5"},
                         {"password", "(secret)"},
                         {"text", R"(["a"])"},
                         {"list", R"(["srv", "a, \"b\\", ""])", true},
                         {"none", "[]", true}};
    details.rule = "allow user alice";
    details.rule_place = "/a.json:1";
    details.sizes = {StreamSizes{10, 4}, StreamSizes{3, 3}};
    view.details = details;
    const json all = job_json(view);
    EXPECT_EQ(text.misfit(all, text.types.at("Job")), "");
    EXPECT_EQ(all, json({{"job", view.job.text()},
                         {"action", "hello"},
                         {"state", "starting"},
                         {"createdAt", 0},
                         {"uid", 1000},
                         {"pid", 42},
                         {"user", "alice"},
                         {"gid", 1001},
                         {"callerUnit", "a.service"},
                         {"listener", "/run/s"},
                         {"rule", "allow user alice"},
                         {"rulePlace", "/a.json:1"},
                         {"arguments",
                          {{"n", "5"},
                           {"password", "(secret)"},
                           {"text", R"(["a"])"},
                           {"list", json::array({"srv", R"(a, "b\)", ""})},
                           {"none", json::array()}}},
                         {"stdoutBytes", 10},
                         {"stdoutStored", 4},
                         {"stderrBytes", 3},
                         {"stderrStored", 3}}));
    // What is not known is left out.
    view.details = JobDetails{};
    EXPECT_EQ(job_json(view), json({{"job", view.job.text()},
                                    {"action", "hello"},
                                    {"state", "starting"},
                                    {"createdAt", 0},
                                    {"uid", 1000},
                                    {"pid", 42},
                                    {"gid", 0},
                                    {"arguments", json::object()}}));
}

TEST(JsonValues, ResultsFitTheText) {
    const auto text = text_of("org.postern.Actions");
    const auto& fields = text.types.at("Result");
    const auto made = [&](Outcome outcome, bool by_signal, std::int32_t status) {
        json result = result_json(
            {outcome, by_signal, status, time_of(1), time_of(2), std::chrono::microseconds(3), 4});
        EXPECT_EQ(text.misfit(result, fields), "");
        for (const char* key : {"startedAt", "endedAt", "cpuMicroseconds", "maxResidentKiB"}) {
            result.erase(key);
        }
        return result;
    };
    EXPECT_EQ(made(Outcome::exited, false, 3), json({{"outcome", "exited"}, {"exitCode", 3}}));
    EXPECT_EQ(made(Outcome::exited, false, 0), json({{"outcome", "exited"}, {"exitCode", 0}}));
    EXPECT_EQ(made(Outcome::signaled, true, 11), json({{"outcome", "signaled"}, {"signal", 11}}));
    EXPECT_EQ(made(Outcome::timeout, true, 15), json({{"outcome", "timeout"}, {"signal", 15}}));
    EXPECT_EQ(made(Outcome::timeout, false, 0), json({{"outcome", "timeout"}}));
    EXPECT_EQ(made(Outcome::disconnected, true, 9),
              json({{"outcome", "disconnected"}, {"signal", 9}}));
    EXPECT_EQ(made(Outcome::stopped, true, 15), json({{"outcome", "stopped"}, {"signal", 15}}));
    EXPECT_EQ(made(Outcome::lost, false, 0), json({{"outcome", "lost"}}));
    EXPECT_EQ(made(Outcome::out_of_memory, true, 9),
              json({{"outcome", "out-of-memory"}, {"signal", 9}}));
    JobResult cancelled{Outcome::other, false, 0, {}, {}, {}, 4};
    cancelled.other_outcome = "evaporated";
    cancelled.cancelled_by = Canceller{1000, "alice"};
    const json object = result_json(cancelled);
    EXPECT_EQ(text.misfit(object, fields), "");
    EXPECT_EQ(object["outcome"], "evaporated");
    EXPECT_EQ(object["cancelledBy"], json({{"uid", 1000}, {"user", "alice"}}));
    cancelled.cancelled_by->user.clear();
    EXPECT_EQ(result_json(cancelled)["cancelledBy"], json({{"uid", 1000}}));
    const json full = result_json(
        {Outcome::exited, false, 0, time_of(1), time_of(2), std::chrono::microseconds(3), 4});
    EXPECT_EQ(full["startedAt"], 1);
    EXPECT_EQ(full["endedAt"], 2);
    EXPECT_EQ(full["cpuMicroseconds"], 3);
    EXPECT_EQ(full["maxResidentKiB"], 4);
}

TEST(JsonValues, RefusalsFitTheText) {
    const auto text = text_of("org.postern.Actions");
    for (const auto refusal :
         {Refusal::not_granted, Refusal::invalid_argument, Refusal::limit_reached,
          Refusal::unavailable, Refusal::start_failed, Refusal::retryable}) {
        const auto name = std::string(refusal_error(refusal));
        const std::string prefix = "org.postern.Actions.";
        ASSERT_TRUE(name.starts_with(prefix));
        const Refused refused{refusal, "subject", "message"};
        EXPECT_EQ(
            text.misfit(refusal_json(refused, "x"), text.errors.at(name.substr(prefix.size()))), "")
            << name;
    }
}

TEST(JsonValues, WhatMayBeCalledAgainSaysSo) {
    EXPECT_EQ(refusal_error(Refusal::retryable), protocol::errors::unavailable);
    EXPECT_EQ(refusal_json({Refusal::retryable, "", "m"}, "x"),
              (json{{"message", "m"}, {"retryable", true}}));
    EXPECT_EQ(refusal_json({Refusal::unavailable, "", "m"}, "x"), (json{{"message", "m"}}));
}

}  // namespace
}  // namespace postern::session
