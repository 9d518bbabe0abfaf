#include "daemon/session/json_values.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/call.h"

namespace postern::session {

using nlohmann::json;

namespace {

// For Scalar and Value, which begin with the same alternatives.
template <typename V>
V scalar_from_json(const json& value) {
    if (value.is_string()) return value.get_ref<const std::string&>();
    // The strict parser has refused integers that are not exact, so unsigned ones fit.
    if (value.is_number_integer()) return value.get<std::int64_t>();
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_null()) return Unsupported{Unusable::null};
    if (value.is_number()) return Unsupported{Unusable::fraction};
    if (value.is_object()) return Unsupported{Unusable::object};
    return Unsupported{Unusable::list};
}

Value value_from_json(const json& value) {
    if (!value.is_array()) return scalar_from_json<Value>(value);
    std::vector<Scalar> items;
    items.reserve(value.size());
    for (const auto& item : value) items.push_back(scalar_from_json<Scalar>(item));
    return items;
}

template <typename V>
json json_from(const V& value) {
    return std::visit(
        [](const auto& v) -> json {
            using T = std::decay_t<decltype(v)>;
            if constexpr (std::is_same_v<T, Unsupported>) {
                return nullptr;
            } else if constexpr (std::is_same_v<T, std::vector<Scalar>>) {
                json items = json::array();
                for (const auto& item : v) items.push_back(json_from(item));
                return items;
            } else {
                return v;
            }
        },
        value);
}

// By the values of their enumerations.
constexpr const char* type_names[] = {"string", "integer", "boolean", "list"};
constexpr const char* state_names[] = {"starting", "running", "ended", "failed"};

template <typename E, std::size_t count>
constexpr const char* name_of(const char* const (&names)[count], E value) {
    return names[std::min(static_cast<std::size_t>(value), count - 1)];
}

// What a refusal is called, and what its subject is.
struct RefusalRow {
    Refusal refusal;
    std::string_view error;
    const char* subject;
};
constexpr auto refusals = std::to_array<RefusalRow>({
    {Refusal::not_granted, protocol::errors::not_granted, "action"},
    {Refusal::invalid_argument, protocol::errors::invalid_argument, "argument"},
    {Refusal::limit_reached, protocol::errors::limit_reached, "limit"},
    {Refusal::start_failed, protocol::errors::start_failed, "job"},
    {Refusal::no_such_job, protocol::errors::no_such_job, "job"},
    {Refusal::job_ended, protocol::errors::job_ended, "job"},
    {Refusal::ambiguous_job, protocol::errors::ambiguous_job, "job"},
    {Refusal::bad_parameter, protocol::errors::invalid_parameter, "parameter"},
    {Refusal::key_in_use, protocol::errors::key_in_use, "key"},
    {Refusal::not_by_datagram, protocol::errors::not_by_datagram, nullptr},
    {Refusal::not_detachable, protocol::errors::not_detachable, nullptr},
    {Refusal::retryable, protocol::errors::unavailable, nullptr},
    {Refusal::unavailable, protocol::errors::unavailable, nullptr},
});

const RefusalRow& row_of(Refusal refusal) {
    const auto row = std::ranges::find(refusals, refusal, &RefusalRow::refusal);
    return row == refusals.end() ? refusals.back() : *row;
}

json argument_json(const ArgumentSpec& spec) {
    json argument = {{"name", spec.name},
                     {"type", name_of(type_names, spec.type)},
                     {"required", spec.required},
                     {"secret", spec.secret}};
    const auto put = [&argument](const char* key, const auto& optional) {
        if (optional) argument[key] = *optional;
    };
    if (!spec.summary.empty()) argument["summary"] = spec.summary;
    if (spec.type == ArgumentType::list) argument["items"] = name_of(type_names, spec.items);
    if (spec.fallback) argument["default"] = json_from(*spec.fallback);
    if (!spec.values.empty()) argument["values"] = spec.values;
    if (spec.multiline) argument["multiline"] = true;
    put("pattern", spec.pattern);
    put("minLength", spec.min_length);
    put("maxLength", spec.max_length);
    put("minimum", spec.minimum);
    put("maximum", spec.maximum);
    put("minItems", spec.min_items);
    put("maxItems", spec.max_items);
    return argument;
}

// Of ["a", "b\"c"], as it is shown.
json json_of_list(std::string_view shown) {
    json list = json::array();
    std::string item;
    bool is_inside = false;
    for (std::size_t at = 0; at < shown.size(); ++at) {
        const char c = shown[at];
        if (!is_inside) {
            is_inside = c == '"';
        } else if (c == '\\' && at + 1 < shown.size()) {
            item += shown[++at];
        } else if (c == '"') {
            list.push_back(std::exchange(item, {}));
            is_inside = false;
        } else {
            item += c;
        }
    }
    return list;
}

// What List leaves out.
void add_details(const JobDetails& details, json& object) {
    const auto put = [&object](const char* key, const std::string& text) {
        if (!text.empty()) object[key] = text;
    };
    put("user", details.user);
    object["gid"] = details.gid;
    put("callerUnit", details.unit);
    put("listener", details.listener);
    put("rule", details.rule);
    put("rulePlace", details.rule_place);
    object["arguments"] = json::object();
    for (const ShownArgument& argument : details.arguments) {
        object["arguments"][argument.name] =
            argument.is_list ? json_of_list(argument.text) : json(argument.text);
    }
    constexpr const char* keys[][2] = {{"stdoutBytes", "stdoutStored"},
                                       {"stderrBytes", "stderrStored"}};
    for (std::size_t stream = 0; stream < details.sizes.size(); ++stream) {
        const auto& sizes = details.sizes.at(stream);
        if (!sizes) continue;
        object[keys[stream][0]] = sizes->written;
        object[keys[stream][1]] = sizes->stored;
    }
}

}  // namespace

Arguments arguments_from_json(const json& object) {
    Arguments arguments;
    arguments.reserve(object.size());
    for (const auto& [name, value] : object.items()) {
        arguments.push_back({name, value_from_json(value)});
    }
    return arguments;
}

json summary_json(const ActionDescription& action) {
    return {{"name", action.name}, {"summary", action.summary}};
}

json action_json(const ActionDescription& action) {
    json arguments = json::array();
    for (const auto& spec : action.arguments) arguments.push_back(argument_json(spec));
    json described = {
        {"name", action.name},
        {"summary", action.summary},
        {"arguments", std::move(arguments)},
        // A part of a second counts as one: 0 would say that the job has no time at all.
        {"timeoutSeconds", std::chrono::ceil<std::chrono::seconds>(action.timeout).count()},
        {"onDisconnect", action.kill_on_disconnect ? "kill" : "keep"}};
    if (!action.description.empty()) described["description"] = action.description;
    if (action.datagram) described["datagram"] = true;
    if (action.input != Input::none) {
        described["input"] = action.input == Input::direct ? "direct" : "text";
    }
    if (action.direct_output) described["output"] = "direct";
    return described;
}

json result_json(const JobResult& result) {
    json object = {{"outcome", outcome_word(result)},
                   {"startedAt", usec_of(result.started)},
                   {"endedAt", usec_of(result.ended)},
                   {"cpuMicroseconds", result.cpu.count()},
                   {"maxResidentKiB", result.max_resident_kib}};
    if (result.by_signal) {
        object["signal"] = result.status;
    } else if (result.outcome == Outcome::exited) {
        object["exitCode"] = result.status;
    }
    const auto put = [&object](const char* key, const std::optional<std::uint64_t>& from) {
        if (from) object[key] = *from;
    };
    if (result.ended_processes > 0) object["endedProcesses"] = result.ended_processes;
    if (result.cancelled_by) {
        json who = {{"uid", result.cancelled_by->uid}};
        if (!result.cancelled_by->user.empty()) who["user"] = result.cancelled_by->user;
        object["cancelledBy"] = std::move(who);
    }
    put("stdoutLostFrom", result.lost_from[0]);
    put("stderrLostFrom", result.lost_from[1]);
    return object;
}

json job_json(const JobView& job) {
    json object = {{"job", job.job.text()},
                   {"action", job.action},
                   {"state", name_of(state_names, job.state)},
                   {"createdAt", usec_of(job.created)}};
    if (job.result) object["result"] = result_json(*job.result);
    if (!job.message.empty()) object["message"] = job.message;
    if (job.uid) object["uid"] = *job.uid;
    if (job.pid != 0) object["pid"] = job.pid;
    if (job.details) add_details(*job.details, object);
    return object;
}

json jobs_json(const std::vector<JobView>& jobs) {
    json list = json::array();
    for (const JobView& job : jobs) list.push_back(job_json(job));
    return list;
}

std::optional<JobState> state_from_json(const json& value) {
    for (std::size_t state = 0; state < std::size(state_names); ++state) {
        if (value == state_names[state]) return static_cast<JobState>(state);
    }
    return std::nullopt;
}

std::string_view refusal_error(Refusal refusal) {
    return row_of(refusal).error;
}

json refusal_json(const Refused& refused, const std::string& action) {
    json parameters = {{"message", refused.message}};
    if (const char* subject = row_of(refused.refusal).subject)
        parameters[subject] = refused.subject;
    if (refused.refusal == Refusal::invalid_argument) parameters["action"] = action;
    if (refused.refusal == Refusal::retryable) parameters["retryable"] = true;
    // It is varlink's own, and has no more than that.
    if (refused.refusal == Refusal::bad_parameter) parameters.erase("message");
    return parameters;
}

}  // namespace postern::session
