#include "daemon/session/methods.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "base/utf8.h"
#include "base/version.h"
#include "daemon/session/job_list.h"
#include "daemon/session/json_values.h"
#include "daemon/session/reports.h"
#include "model/cancel_signals.h"
#include "protocol/base64.h"
#include "protocol/call.h"
#include "protocol/interfaces.h"

namespace postern::session {

using nlohmann::json;

namespace {

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
    // A "?bool": absent and null are the same.
    bool flag(const char* name, bool absent = false) {
        const json* value = take(name);
        if (value == nullptr || value->is_null()) return absent;
        if (value->is_boolean()) return value->get<bool>();
        note(name);
        return absent;
    }
    // A "?string": absent and null are the same.
    std::optional<std::string> optional_text(const char* name) {
        const json* value = take(name);
        if (value == nullptr || value->is_null()) return std::nullopt;
        if (value->is_string()) return value->get<std::string>();
        note(name);
        return std::nullopt;
    }
    // A "?string" of text, or another one that is base64; one of them at most.
    std::optional<std::string> bytes(const char* text_name, const char* base64_name) {
        const json* text = take(text_name);
        const json* base64 = take(base64_name);
        const auto absent = [](const json* value) { return value == nullptr || value->is_null(); };
        if (absent(text) && absent(base64)) return std::nullopt;
        const char* const name = absent(base64) ? text_name : base64_name;
        std::optional<std::string> given;
        if (absent(base64) && text->is_string()) given = text->get<std::string>();
        if (absent(text) && base64->is_string()) {
            given = protocol::decode_base64(base64->get_ref<const std::string&>());
        }
        if (!given || given->size() > limits::input_bytes) note(name);
        return given;
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
    // A "?int" that is none below 0: absent and null are the same.
    std::optional<std::uint64_t> count(const char* name) {
        const json* value = take(name);
        if (value == nullptr || value->is_null()) return std::nullopt;
        // The strict parser has refused integers that are not exact.
        if (value->is_number_integer() && value->get<std::int64_t>() >= 0) {
            return value->get<std::uint64_t>();
        }
        note(name);
        return std::nullopt;
    }
    // One that contradicts another.
    void refuse(const char* name) { note(name); }
    // A "?T" that `make` makes something of, or does not: absent and null are the same.
    template <typename Read>
    auto read(const char* name, Read make) -> decltype(make(std::declval<const json&>())) {
        const json* value = take(name);
        if (value == nullptr || value->is_null()) return std::nullopt;
        auto made = make(*value);
        if (!made) note(name);
        return made;
    }
    // The first one that is missing, of the wrong type or refused, or one that was not taken.
    [[nodiscard]] std::optional<std::string> bad() const {
        if (bad_) return bad_;
        for (const auto& [name, value] : object_.items()) {
            if (std::ranges::find(taken_, name) == taken_.end()) return name;
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
        if (!bad_) bad_ = name;
    }

    const json& object_;
    std::vector<std::string> taken_;
    std::optional<std::string> bad_;
};

// ---- Decoders ----

struct Nothing {};
Nothing nothing(const Fields& /*fields*/) {
    return {};
}

template <const char* name>
std::string one_text(Fields& fields) {
    return fields.text(name);
}
constexpr char interface_parameter[] = "interface";
constexpr char action_parameter[] = "action";
constexpr char ping_parameter[] = "ping";
constexpr char level_parameter[] = "level";

RunCall run_call(Fields& fields) {
    return {fields.text("action"),      fields.arguments("arguments"),
            fields.key("key"),          fields.bytes("input", "inputBase64"),
            fields.flag("descriptors"), fields.flag("detach")};
}

CheckCall check_call(Fields& fields) {
    return {fields.text("action"), fields.arguments("arguments")};
}

LookUpCall look_up_call(Fields& fields) {
    return {JobId(fields.text("job"))};
}

ListCall list_call(Fields& fields) {
    ListCall call;
    call.action = fields.read("action", action_from_json).value_or("");
    call.state = fields.read("state", state_from_json);
    call.since = time_of(fields.count("since").value_or(0));
    call.limit = fields.read("limit", limit_from_json).value_or(limits::jobs_listed);
    call.all = fields.flag("all");
    if (auto place = fields.read("before", place_from_json)) {
        call.before = place->created;
        call.before_job = std::move(place->job);
    }
    return call;
}

// A job, and what of its stdout and stderr is wanted.
struct Followed {
    FollowCall call;
    OutputRange range;
    bool output = true;
};
Followed follow_call(Fields& fields) {
    const JobId job(fields.text("job"));
    const auto out = fields.count("stdoutOffset");
    const auto err = fields.count("stderrOffset");
    auto tail = fields.count("tail");
    if (tail && (out || err)) fields.refuse("tail");
    if (fields.flag("fromNow")) {
        if (tail || out || err) fields.refuse("fromNow");
        tail = 0;
    }
    const bool stored = fields.flag("stored");
    return {{job, stored},
            {{out.value_or(0), err.value_or(0)}, tail, stored},
            fields.flag("output", true)};
}

// How jobs are cancelled: by the name of a signal, absent for TERM.
struct Cancelling {
    std::string subject;  // a job, or a user
    std::optional<std::string> signal;
    bool now = false;
};
template <const char* name>
Cancelling cancelling(Fields& fields) {
    return {fields.text(name), fields.optional_text("signal"), fields.flag("now")};
}
constexpr char job_parameter[] = "job";
constexpr char user_parameter[] = "user";

// ---- What the guard's answers make of a call ----

// There is one, and it is an Awaited.
template <typename Awaited, auto make>
Taken one(json& /*reply*/, const CallAnswer& answer) {
    const auto* awaited = std::get_if<Awaited>(&answer);
    return awaited == nullptr ? Taken(NotAwaited{}) : make(*awaited);
}

Taken passed(const CheckPassed& /*passed*/) {
    return Answered{json::object()};
}

Taken described(const Described& described) {
    return Answered{{{"action", action_json(described.action)}}};
}

Taken found(const JobFound& found) {
    return Answered{{{"job", job_json(found.job)}}};
}

Taken cancelled(const JobCancelled& cancelled) {
    json reply = {{"job", cancelled.job.text()}, {"action", cancelled.action}};
    if (cancelled.result) reply["result"] = result_json(*cancelled.result);
    return Answered{std::move(reply)};
}

Taken listed(const JobsListed& listed) {
    json reply = {{"jobs", jobs_json(listed.jobs)}};
    if (listed.next) reply["next"] = place_text({*listed.next, listed.next_job});
    return Answered{std::move(reply)};
}

Taken detached(const Detached& detached) {
    if (detached.job.empty()) return NotAwaited{};
    return Answered{{{"job", detached.job.text()}}};
}

// ---- Handlers ----

std::string_view interface_of(std::string_view method) {
    const auto dot = method.rfind('.');
    return dot == std::string_view::npos ? std::string_view() : method.substr(0, dot);
}

bool permits(Access access, const Context& context) {
    return access == Access::everyone || context.administrator;
}

// Whether some method of it may be called over this socket: what can't be called is not listed.
bool serves(std::string_view interface, const Context& context) {
    return std::ranges::any_of(methods(), [&](const Method& method) {
        return interface_of(method.name()) == interface && permits(method.access(), context);
    });
}

Answer get_info(const Context& context, Nothing /*parameters*/) {
    json names = json::array();
    for (const auto& interface : protocol::interfaces()) {
        if (serves(interface.name, context)) names.push_back(interface.name);
    }
    return Answered{{{"vendor", "Postern"},
                     {"product", "Postern"},
                     {"version", version},
                     {"url", project_url},
                     {"interfaces", std::move(names)}}};
}

Answer get_interface_description(const Context& context, std::string name) {
    const auto* interface = protocol::find_interface(name);
    if (interface == nullptr || !serves(name, context)) {
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
    return Asked{DescribeCall{std::move(action)}, OneReply{one<Described, described>}};
}

JobReplies job_replies(const Context& context, OutputRange range, bool output) {
    using Output = JobReplies::Output;
    const Output waited = context.more ? Output::stream : Output::whole;
    const Output awaited = context.more ? Output::result_more : Output::result;
    const Output wanted = output ? waited : awaited;
    return {context.oneway ? Output::none : wanted, range, context.caller.reply_output_bytes};
}

Answer run(const Context& context, RunCall call) {
    // They come with the reply that says "started".
    if (call.descriptors && (!context.more || call.detach)) {
        return Rejected{protocol::errors::invalid_parameter, {{"parameter", "descriptors"}}};
    }
    // A packet does not wait for its job.
    if (context.datagram || call.detach)
        return Asked{std::move(call), OneReply{one<Detached, detached>}};
    return Asked{std::move(call), job_replies(context, {}, true)};
}

Answer follow(const Context& context, Followed followed) {
    return Asked{std::move(followed.call), job_replies(context, followed.range, followed.output)};
}

Rejected not_a_signal(const std::string& signal) {
    return {protocol::errors::invalid_signal,
            {{"signal", signal},
             {"message", "signal: " + in_quotes(signal) +
                             " is not a signal that a job can be cancelled with; give " +
                             cancel_signal_names()}}};
}

Answer cancel(const Context& /*context*/, Cancelling asked) {
    const std::string name = asked.signal.value_or("TERM");
    const auto signal = cancel_signal_of(name);
    if (!signal) return not_a_signal(name);
    return Asked{CancelCall{JobId(std::move(asked.subject)), *signal, asked.now},
                 OneReply{one<JobCancelled, cancelled>}};
}

Answer cancel_all(const Context& /*context*/, Cancelling asked) {
    const std::string name = asked.signal.value_or("TERM");
    const auto signal = cancel_signal_of(name);
    if (!signal) return not_a_signal(name);
    return Asked{CancelAllCall{std::move(asked.subject), *signal, asked.now},
                 OneReply{take_report, empty_report(Management::jobs)}};
}

Answer list_jobs(const Context& context, ListCall call) {
    if (call.all && !context.administrator) {
        return Rejected{protocol::errors::permission_denied, json::object()};
    }
    return Asked{std::move(call), OneReply{one<JobsListed, listed>}};
}

void add_unit(json& identity, const std::string& unit) {
    if (!unit.empty()) identity["unit"] = unit;
}

Taken told_unit(json& identity, const CallAnswer& answer) {
    const auto* const caller = std::get_if<CallerUnit>(&answer);
    if (caller == nullptr) return NotAwaited{};
    add_unit(identity, caller->unit);
    return Answered{std::move(identity)};
}

Answer who_am_i(const Context& context, Nothing /*parameters*/) {
    json identity = {{"uid", context.caller.uid},
                     {"gid", context.caller.gid},
                     {"groups", context.caller.groups},
                     {"pid", context.pid}};
    if (context.unit == nullptr) {
        return Asked{UnitCall{}, OneReply{told_unit, std::move(identity)}};
    }
    add_unit(identity, *context.unit);
    return Answered{std::move(identity)};
}

constexpr char pong_parameter[] = "pong";
Answer ping(const Context& /*context*/, std::string text) {
    return Answered{{{pong_parameter, std::move(text)}}};
}
bool ping_small(const protocol::SmallCall& call, char terminator, std::string& to) {
    const auto parameters = call.parameters();
    if (parameters.size() != 1 || parameters.front().name != ping_parameter) return false;
    protocol::append_small_reply(to, pong_parameter, parameters.front().value, terminator);
    return true;
}

template <Management what>
Answer manage(const Context& /*context*/, Nothing /*parameters*/) {
    return Asked{ManageCall{what, {}}, OneReply{take_report, empty_report(what)}};
}

Answer set_log_level(const Context& /*context*/, std::string level) {
    return Asked{ManageCall{Management::log_level, std::move(level)}, OneReply{take_report}};
}

// One decoder and one handler of what it returns.
template <auto decode, auto handle>
Answer serve(const Context& context, const json& parameters) {
    Fields fields(parameters);
    auto decoded = decode(fields);
    if (auto bad = fields.bad()) {
        return Rejected{protocol::errors::invalid_parameter, {{"parameter", std::move(*bad)}}};
    }
    return handle(context, std::move(decoded));
}

// A decoder of what only the guard can answer, and what its answers make of the call.
template <auto decode, auto take>
Answer ask(const Context& context, const json& parameters) {
    constexpr auto asked = [](const Context& /*context*/, auto call) -> Answer {
        return Asked{std::move(call), OneReply{take}};
    };
    return serve<decode, asked>(context, parameters);
}

// By name.
constexpr auto table = std::to_array<Method>({
    {"org.postern.Actions.Check", Access::everyone, ask<check_call, one<CheckPassed, passed>>,
     By::packet},
    {"org.postern.Actions.Describe", Access::everyone, serve<one_text<action_parameter>, describe>,
     By::packet},
    {"org.postern.Actions.List", Access::everyone, serve<nothing, list>},
    {"org.postern.Actions.Ping", Access::everyone, serve<one_text<ping_parameter>, ping>,
     By::packet, ping_small},
    {"org.postern.Actions.Run", Access::everyone, serve<run_call, run>, By::packet},
    {"org.postern.Actions.WhoAmI", Access::everyone, serve<nothing, who_am_i>, By::packet},
    {"org.postern.Admin.CancelAllOf", Access::administrator,
     serve<cancelling<user_parameter>, cancel_all>},
    {"org.postern.Admin.Jobs", Access::administrator, serve<nothing, manage<Management::jobs>>},
    {"org.postern.Admin.Reload", Access::administrator, serve<nothing, manage<Management::reload>>},
    {"org.postern.Admin.SetLogLevel", Access::administrator,
     serve<one_text<level_parameter>, set_log_level>},
    {"org.postern.Admin.Status", Access::administrator, serve<nothing, manage<Management::status>>},
    {"org.postern.Jobs.Cancel", Access::everyone, serve<cancelling<job_parameter>, cancel>},
    {"org.postern.Jobs.Follow", Access::everyone, serve<follow_call, follow>},
    {"org.postern.Jobs.Get", Access::everyone, ask<look_up_call, one<JobFound, found>>},
    {"org.postern.Jobs.List", Access::everyone, serve<list_call, list_jobs>},
    {"org.varlink.service.GetInfo", Access::everyone, serve<nothing, get_info>, By::packet},
    {"org.varlink.service.GetInterfaceDescription", Access::everyone,
     serve<one_text<interface_parameter>, get_interface_description>},
});
static_assert(std::ranges::is_sorted(table, {}, &Method::name));

// Null: there is no such one.
const Method* find_method(std::span<const Method> methods, std::string_view name) {
    const auto row = std::ranges::lower_bound(methods, name, {},
                                              [](const Method& method) { return method.name(); });
    return row != methods.end() && row->name() == name ? &*row : nullptr;
}

Rejected no_such_method(std::string_view method) {
    const auto interface = interface_of(method);
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
    const Method* const row = find_method(methods, method);
    if (row == nullptr) return no_such_method(method);
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

bool serve_small(std::span<const Method> methods, const Context& context,
                 const protocol::SmallCall& call, char terminator, std::string& to) {
    const Method* const row = find_method(methods, call.method);
    if (row == nullptr || row->serve_small_ == nullptr) return false;
    if (!permits(row->access(), context) || (context.datagram && row->by() != By::packet)) {
        return false;
    }
    return row->serve_small_(call, terminator, to);
}

}  // namespace postern::session
