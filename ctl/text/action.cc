#include "ctl/text/action.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>

#include "ctl/text/json_fields.h"

namespace postern::ctl {
namespace {

std::optional<ArgumentType> type_of(const std::optional<std::string>& name) {
    if (name == "string") return ArgumentType::string;
    if (name == "integer") return ArgumentType::integer;
    if (name == "boolean") return ArgumentType::boolean;
    if (name == "list") return ArgumentType::list;
    return std::nullopt;
}

Scalar scalar_of(const nlohmann::json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_number_integer()) return value.get<std::int64_t>();
    return Unsupported{};
}

Value value_of(const nlohmann::json& value) {
    if (!value.is_array()) {
        return std::visit([](auto&& scalar) { return Value(scalar); }, scalar_of(value));
    }
    std::vector<Scalar> items;
    for (const auto& item : value) items.push_back(scalar_of(item));
    return items;
}

std::optional<std::uint32_t> count_field(const nlohmann::json& object, const char* key) {
    const auto number = integer_field(object, key);
    if (!number || *number < 0 || *number > std::numeric_limits<std::uint32_t>::max()) return {};
    return static_cast<std::uint32_t>(*number);
}

Result<ArgumentSpec> decode_argument(const nlohmann::json& argument) {
    const auto name = string_field(argument, "name");
    if (!name) return fail("an argument without a name");
    const auto type = type_of(string_field(argument, "type"));
    if (!type) return fail("argument " + *name + ": a type that this posternctl does not know");
    ArgumentSpec spec;
    spec.name = *name;
    spec.summary = string_field(argument, "summary").value_or("");
    spec.type = *type;
    spec.items = type_of(string_field(argument, "items")).value_or(ArgumentType::string);
    spec.required = flag_field(argument, "required");
    spec.secret = flag_field(argument, "secret");
    if (const auto* value = field(argument, "default")) spec.fallback = value_of(*value);
    for (const auto& value : array_field(argument, "values")) {
        if (value.is_string()) spec.values.push_back(value.get<std::string>());
    }
    spec.multiline = flag_field(argument, "multiline");
    spec.pattern = string_field(argument, "pattern");
    spec.min_length = count_field(argument, "minLength");
    spec.max_length = count_field(argument, "maxLength");
    spec.minimum = integer_field(argument, "minimum");
    spec.maximum = integer_field(argument, "maximum");
    spec.min_items = count_field(argument, "minItems");
    spec.max_items = count_field(argument, "maxItems");
    return spec;
}

}  // namespace

Result<ActionDescription> decode_action(const nlohmann::json& action) {
    const auto name = string_field(action, "name");
    if (!name) return fail("the action has no name");
    ActionDescription description;
    description.name = *name;
    description.summary = string_field(action, "summary").value_or("");
    description.description = string_field(action, "description").value_or("");
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 1'000'000;
    const auto seconds =
        std::clamp<std::int64_t>(integer_field(action, "timeoutSeconds").value_or(0), 0, most);
    description.timeout = std::chrono::seconds(seconds);
    description.kill_on_disconnect = string_field(action, "onDisconnect") == "kill";
    description.datagram = flag_field(action, "datagram");
    const auto input = string_field(action, "input");
    if (input == "text") description.input = Input::text;
    if (input == "direct") description.input = Input::direct;
    description.direct_output = string_field(action, "output") == "direct";
    for (const auto& argument : array_field(action, "arguments")) {
        POSTERN_TRY(auto spec, decode_argument(argument));
        description.arguments.push_back(std::move(spec));
    }
    return description;
}

}  // namespace postern::ctl
