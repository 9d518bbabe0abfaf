#include "daemon/session/json_values.h"

#include <chrono>

#include <nlohmann/json.hpp>

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
    return Unsupported{};
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

const char* type_name(ArgumentType type) {
    switch (type) {
        case ArgumentType::string:
            return "string";
        case ArgumentType::integer:
            return "integer";
        case ArgumentType::boolean:
            return "boolean";
        case ArgumentType::list:
            return "list";
    }
    return "string";
}

json argument_json(const ArgumentSpec& spec) {
    json argument = {{"name", spec.name},
                     {"type", type_name(spec.type)},
                     {"required", spec.required},
                     {"secret", spec.secret}};
    const auto put = [&argument](const char* key, const auto& optional) {
        if (optional) argument[key] = *optional;
    };
    if (!spec.summary.empty()) argument["summary"] = spec.summary;
    if (spec.type == ArgumentType::list) argument["items"] = type_name(spec.items);
    if (spec.fallback) argument["default"] = json_from(*spec.fallback);
    if (!spec.values.empty()) argument["values"] = spec.values;
    put("pattern", spec.pattern);
    put("minLength", spec.min_length);
    put("maxLength", spec.max_length);
    put("minimum", spec.minimum);
    put("maximum", spec.maximum);
    put("minItems", spec.min_items);
    put("maxItems", spec.max_items);
    return argument;
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
    return described;
}

json result_json(const JobResult& result) {
    json object = {{"outcome", outcome_name(result.outcome)},
                   {"startedAt", usec_of(result.started)},
                   {"endedAt", usec_of(result.ended)},
                   {"cpuMicroseconds", result.cpu.count()},
                   {"maxResidentKiB", result.max_resident_kib}};
    if (result.by_signal) {
        object["signal"] = result.status;
    } else if (result.outcome == Outcome::exited) {
        object["exitCode"] = result.status;
    }
    return object;
}

json job_json(const JobView& job) {
    const auto state = [&] {
        switch (job.state) {
            case JobState::starting:
                return "starting";
            case JobState::running:
                return "running";
            case JobState::ended:
                return "ended";
            case JobState::failed:
                return "failed";
        }
        return "ended";
    };
    json object = {{"job", job.job},
                   {"action", job.action},
                   {"state", state()},
                   {"createdAt", usec_of(job.created)}};
    if (job.result) object["result"] = result_json(*job.result);
    if (!job.message.empty()) object["message"] = job.message;
    return object;
}

std::string_view refusal_error(channel::Refusal refusal) {
    switch (refusal) {
        case channel::Refusal::not_granted:
            return protocol::errors::not_granted;
        case channel::Refusal::invalid_argument:
            return protocol::errors::invalid_argument;
        case channel::Refusal::limit_reached:
            return protocol::errors::limit_reached;
        case channel::Refusal::unavailable:
            return protocol::errors::unavailable;
        case channel::Refusal::start_failed:
            return protocol::errors::start_failed;
        case channel::Refusal::no_such_job:
            return protocol::errors::no_such_job;
        case channel::Refusal::key_in_use:
            return protocol::errors::key_in_use;
        case channel::Refusal::not_by_datagram:
            return protocol::errors::not_by_datagram;
    }
    return protocol::errors::unavailable;
}

json refusal_json(const channel::Refused& refused, const std::string& action) {
    json parameters = {{"message", refused.message}};
    switch (refused.refusal) {
        case channel::Refusal::not_granted:
            parameters["action"] = refused.subject;
            break;
        case channel::Refusal::invalid_argument:
            parameters["action"] = action;
            parameters["argument"] = refused.subject;
            break;
        case channel::Refusal::limit_reached:
            parameters["limit"] = refused.subject;
            break;
        case channel::Refusal::unavailable:
            break;
        case channel::Refusal::start_failed:
        case channel::Refusal::no_such_job:
            parameters["job"] = refused.subject;
            break;
        case channel::Refusal::key_in_use:
            parameters["key"] = refused.subject;
            break;
        case channel::Refusal::not_by_datagram:
            break;
    }
    return parameters;
}

json empty_report(channel::Management what) {
    switch (what) {
        case channel::Management::status:
            return {{"sockets", json::array()},
                    {"callers", json::array()},
                    {"actions", 0},
                    {"bad", json::array()}};
        case channel::Management::reload:
            return {{"actions", 0}, {"bad", json::array()}};
        case channel::Management::jobs:
            return {{"jobs", json::array()}};
        case channel::Management::log_level:
            break;
    }
    return json::object();
}

}  // namespace postern::session
