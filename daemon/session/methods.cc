#include "daemon/session/methods.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/result.h"
#include "base/version.h"
#include "daemon/session/json_values.h"
#include "protocol/call.h"
#include "protocol/interfaces.h"

namespace postern::session {

using nlohmann::json;

namespace {

// The parameter that is missing, unknown, or of the wrong type.
struct BadParameter {
    std::string name;
};

// Takes the parameters of one call out of its object, and notices what is left over.
class Fields {
  public:
    explicit Fields(const json& object) : object_(object) {}

    std::string text(const char* name) {
        const json* value = take(name);
        if (value != nullptr && value->is_string()) return value->get<std::string>();
        note(name);
        return {};
    }
    // A "?object": absent and null are the same.
    Arguments arguments(const char* name) {
        const json* value = take(name);
        if (value == nullptr || value->is_null()) return {};
        if (value->is_object()) return arguments_from_json(*value);
        note(name);
        return {};
    }
    // A "?string" that must be a key: absent and null are the same.
    std::string key(const char* name) {
        const json* value = take(name);
        if (value == nullptr || value->is_null()) return {};
        if (value->is_string() && is_job_key(value->get_ref<const std::string&>())) {
            return value->get<std::string>();
        }
        note(name);
        return {};
    }
    // A "?int" that is none below 0: absent and null are 0.
    std::uint64_t offset(const char* name) {
        const json* value = take(name);
        if (value == nullptr || value->is_null()) return 0;
        // The strict parser has refused integers that are not exact.
        if (value->is_number_integer() && value->get<std::int64_t>() >= 0) {
            return value->get<std::uint64_t>();
        }
        note(name);
        return 0;
    }
    std::optional<BadParameter> bad() {
        if (bad_) return bad_;
        for (const auto& [name, value] : object_.items()) {
            if (std::ranges::find(taken_, name) == taken_.end()) return BadParameter{name};
        }
        return std::nullopt;
    }

  private:
    const json* take(const char* name) {
        taken_.emplace_back(name);
        const auto it = object_.find(name);
        return it == object_.end() ? nullptr : &*it;
    }
    void note(const char* name) {
        if (!bad_) bad_ = BadParameter{name};
    }

    const json& object_;
    std::vector<std::string> taken_;
    std::optional<BadParameter> bad_;
};

template <typename T>
Result<T, BadParameter> checked(Fields& fields, T value) {
    if (auto bad = fields.bad()) return Unexpected(std::move(*bad));
    return value;
}

// ---- Decoders ----

struct Nothing {};
Result<Nothing, BadParameter> nothing(const json& parameters) {
    Fields fields(parameters);
    return checked(fields, Nothing{});
}

template <const char* name>
Result<std::string, BadParameter> one_text(const json& parameters) {
    Fields fields(parameters);
    std::string value = fields.text(name);
    return checked(fields, std::move(value));
}
constexpr char interface_parameter[] = "interface";
constexpr char action_parameter[] = "action";
constexpr char ping_parameter[] = "ping";
constexpr char level_parameter[] = "level";
constexpr char job_parameter[] = "job";

struct ActionCall {
    std::string action;
    Arguments arguments;
};
Result<ActionCall, BadParameter> action_call(const json& parameters) {
    Fields fields(parameters);
    ActionCall call;
    call.action = fields.text("action");
    call.arguments = fields.arguments("arguments");
    return checked(fields, std::move(call));
}

Result<AskRun, BadParameter> run_call(const json& parameters) {
    Fields fields(parameters);
    AskRun call;
    call.action = fields.text("action");
    call.arguments = fields.arguments("arguments");
    call.key = fields.key("key");
    return checked(fields, std::move(call));
}

Result<AskFollow, BadParameter> follow_call(const json& parameters) {
    Fields fields(parameters);
    AskFollow call;
    call.job = fields.text("job");
    call.offsets = {fields.offset("stdoutOffset"), fields.offset("stderrOffset")};
    return checked(fields, std::move(call));
}

// ---- Handlers ----

Answer get_info(const Context& /*context*/, Nothing /*parameters*/) {
    json names = json::array();
    for (const auto& interface : protocol::interfaces()) names.push_back(interface.name);
    return Answered{{{"vendor", "Postern"},
                     {"product", "Postern"},
                     {"version", version},
                     {"url", project_url},
                     {"interfaces", std::move(names)}}};
}

Answer get_interface_description(const Context& /*context*/, std::string name) {
    const auto* interface = protocol::find_interface(name);
    if (interface == nullptr) {
        return Rejected{protocol::errors::interface_not_found, {{"interface", std::move(name)}}};
    }
    return Answered{{{"description", interface->text}}};
}

Answer list(const Context& context, Nothing /*parameters*/) {
    json actions = json::array();
    for (const auto& action : context.granted.all()) actions.push_back(summary_json(action));
    return Answered{{{"actions", std::move(actions)}}};
}

Answer describe(const Context& context, std::string action) {
    const auto* description = context.granted.find(action);
    if (description != nullptr) return Answered{{{"action", action_json(*description)}}};
    // A denial comes, like every denial, from the guard, which records it.
    return AskDescribe{std::move(action)};
}

Answer check(const Context& /*context*/, ActionCall call) {
    return AskCheck{std::move(call.action), std::move(call.arguments)};
}

// What only the guard can answer.
template <typename Question>
Answer ask(const Context& /*context*/, Question question) {
    return question;
}

Answer look_up(const Context& /*context*/, std::string job) {
    return AskLookUp{std::move(job)};
}

Answer who_am_i(const Context& context, Nothing /*parameters*/) {
    json identity = {{"uid", context.caller.uid},
                     {"gid", context.caller.gid},
                     {"groups", context.caller.groups},
                     {"pid", context.pid}};
    if (!context.unit.empty()) identity["unit"] = context.unit;
    return Answered{std::move(identity)};
}

Answer ping(const Context& /*context*/, std::string text) {
    return Answered{{{"pong", std::move(text)}}};
}

template <channel::Management what>
Answer manage(const Context& /*context*/, Nothing /*parameters*/) {
    return AskManage{what, {}};
}

Answer set_log_level(const Context& /*context*/, std::string level) {
    return AskManage{channel::Management::log_level, std::move(level)};
}

// One decoder and one handler of what it returns.
template <auto decode, auto handle>
Answer serve(const Context& context, const json& parameters) {
    auto decoded = decode(parameters);
    if (!decoded) {
        return Rejected{protocol::errors::invalid_parameter,
                        {{"parameter", std::move(decoded).error().name}}};
    }
    return handle(context, std::move(*decoded));
}

constexpr auto table = std::to_array<Method>({
    {"org.varlink.service.GetInfo", Access::everyone, serve<nothing, get_info>, By::packet},
    {"org.varlink.service.GetInterfaceDescription", Access::everyone,
     serve<one_text<interface_parameter>, get_interface_description>},
    {"org.postern.Actions.List", Access::everyone, serve<nothing, list>},
    {"org.postern.Actions.Describe", Access::everyone, serve<one_text<action_parameter>, describe>,
     By::packet},
    {"org.postern.Actions.Check", Access::everyone, serve<action_call, check>, By::packet},
    {"org.postern.Actions.Run", Access::everyone, serve<run_call, ask<AskRun>>, By::packet},
    {"org.postern.Jobs.Get", Access::everyone, serve<one_text<job_parameter>, look_up>},
    {"org.postern.Jobs.Follow", Access::everyone, serve<follow_call, ask<AskFollow>>},
    {"org.postern.Actions.WhoAmI", Access::everyone, serve<nothing, who_am_i>, By::packet},
    {"org.postern.Admin.Status", Access::administrator,
     serve<nothing, manage<channel::Management::status>>},
    {"org.postern.Admin.Reload", Access::administrator,
     serve<nothing, manage<channel::Management::reload>>},
    {"org.postern.Admin.SetLogLevel", Access::administrator,
     serve<one_text<level_parameter>, set_log_level>},
    {"org.postern.Admin.Jobs", Access::administrator,
     serve<nothing, manage<channel::Management::jobs>>},
    {"org.postern.Actions.Ping", Access::everyone, serve<one_text<ping_parameter>, ping>,
     By::packet},
});

bool permits(Access access, const Context& context) {
    return access == Access::everyone || context.administrator;
}

Rejected no_such_method(std::string_view method) {
    const auto dot = method.rfind('.');
    const auto interface =
        dot == std::string_view::npos ? std::string_view() : method.substr(0, dot);
    if (!interface.empty() && protocol::find_interface(interface) == nullptr) {
        return {protocol::errors::interface_not_found, {{"interface", interface}}};
    }
    return {protocol::errors::method_not_found, {{"method", method}}};
}

}  // namespace

std::span<const Method> methods() {
    return table;
}

Answer dispatch(std::span<const Method> methods, const Context& context, std::string_view method,
                const json& parameters) {
    const auto row = std::ranges::find(methods, method, &Method::name);
    if (row == methods.end()) return no_such_method(method);
    if (!permits(row->access(), context))
        return Rejected{protocol::errors::permission_denied, json::object()};
    if (context.datagram && row->by() != By::packet) {
        return Rejected{protocol::errors::not_by_datagram,
                        {{"message", std::string(method) +
                                         " is not available on the datagram socket; connect to the "
                                         "stream socket"}}};
    }
    return row->serve_(context, parameters);
}

}  // namespace postern::session
