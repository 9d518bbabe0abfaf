#include "ctl/text/argument_values.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "base/utf8.h"

namespace postern::ctl {
namespace {

// Only the one way to write a number: in "007" or "+7" a reader may see something else than 7.
std::optional<std::int64_t> integer_of(const std::string& text) {
    std::int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || stop != end || std::to_string(number) != text) return std::nullopt;
    if (number > limits::json_integer || number < -limits::json_integer) return std::nullopt;
    return number;
}

nlohmann::json scalar_of(const std::string& text, ArgumentType type) {
    if (type == ArgumentType::integer) {
        if (const auto number = integer_of(text)) return *number;
    }
    if (type == ArgumentType::boolean && (text == "true" || text == "false")) {
        return text == "true";
    }
    return text;
}

// As far as it can be told here; the daemon alone judges.
bool could_be(const std::string& text, const ArgumentSpec& spec, ArgumentType type) {
    if (type == ArgumentType::integer || type == ArgumentType::boolean) {
        return !scalar_of(text, type).is_string();
    }
    return spec.values.empty() || std::ranges::find(spec.values, text) != spec.values.end();
}

const ArgumentSpec* spec_of(const ActionDescription* action, const std::string& name) {
    if (action == nullptr) return nullptr;
    const auto& specs = action->arguments;
    const auto found = std::ranges::find(specs, name, &ArgumentSpec::name);
    return found == specs.end() ? nullptr : &*found;
}

}  // namespace

Result<std::vector<NamedText>> split_arguments(std::span<const std::string> words) {
    if (const auto* const bare = find_bare_word(words)) {
        return fail(in_quotes(*bare) + ": write an argument as NAME=VALUE");
    }
    std::vector<NamedText> arguments;
    for (const auto& word : words) {
        const auto sign = word.find('=');
        arguments.push_back({word.substr(0, sign), word.substr(sign + 1)});
    }
    return arguments;
}

const std::string* find_bare_word(std::span<const std::string> words) {
    const auto found = std::ranges::find_if(words, [](const std::string& word) {
        const auto sign = word.find('=');
        return sign == std::string::npos || sign == 0;
    });
    return found == words.end() ? nullptr : &*found;
}

std::string meant_by(const std::string& word, std::span<const std::string> words,
                     const ActionDescription& action) {
    std::string meant;
    for (const auto& spec : action.arguments) {
        const bool list = spec.type == ArgumentType::list;
        const bool given = std::ranges::any_of(words, [&](const std::string& word_given) {
            return word_given.starts_with(spec.name + "=");
        });
        if ((given && !list) || !could_be(word, spec, list ? spec.items : spec.type)) continue;
        if (!meant.empty()) return {};
        meant = spec.name + "=" + word;
    }
    return meant;
}

Result<nlohmann::json> typed_arguments(std::span<const NamedText> arguments,
                                       const ActionDescription* action) {
    auto typed = nlohmann::json::object();
    for (const auto& argument : arguments) {
        if (!valid_utf8(argument.name)) return fail(in_quotes(argument.name) + ": not valid UTF-8");
        if (!valid_utf8(argument.value)) {
            return fail(printable(argument.name) + ": the value is not valid UTF-8");
        }
        const auto* spec = spec_of(action, argument.name);
        const bool list = spec != nullptr && spec->type == ArgumentType::list;
        const auto type = spec == nullptr ? ArgumentType::string : list ? spec->items : spec->type;
        auto value = scalar_of(argument.value, type);
        const auto before = typed.find(argument.name);
        if (before == typed.end()) {
            typed[argument.name] = list ? nlohmann::json::array({std::move(value)}) : value;
        } else {
            if (!before->is_array()) *before = nlohmann::json::array({*before});
            before->push_back(std::move(value));
        }
    }
    return typed;
}

}  // namespace postern::ctl
