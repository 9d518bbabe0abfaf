#include "ctl/text/action_text.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

#include "base/limits.h"
#include "base/utf8.h"
#include "ctl/text/text.h"

namespace postern::ctl {
namespace {

// Indexed by ArgumentType.
constexpr std::array one = {"string", "integer", "boolean", "list"};
constexpr std::array many = {"strings", "integers", "booleans", "lists"};

const char* name_of(const std::array<const char*, 4>& names, ArgumentType type) {
    return names.at(static_cast<std::size_t>(type));
}

std::string scalar_text(const Scalar& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return printable(*text);
    if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    return "?";
}

std::string value_text(const Value& value) {
    const auto* items = std::get_if<std::vector<Scalar>>(&value);
    if (items == nullptr) {
        if (const auto* text = std::get_if<std::string>(&value)) return in_quotes(*text);
        if (const auto* number = std::get_if<std::int64_t>(&value)) return scalar_text(*number);
        if (const auto* flag = std::get_if<bool>(&value)) return scalar_text(*flag);
        return "?";
    }
    if (items->empty()) return "none";
    std::string text;
    for (const auto& item : *items) text += (text.empty() ? "" : ", ") + scalar_text(item);
    return text;
}

// "from 1 to 10 characters": "at least 1", "at most 10", "exactly 3"; empty where there is no
// bound.
template <typename Number>
std::string bounds(const std::optional<Number>& low, const std::optional<Number>& high) {
    if (low && high && *low == *high) return "exactly " + std::to_string(*low);
    if (low && high) return std::to_string(*low) + " to " + std::to_string(*high);
    if (low) return "at least " + std::to_string(*low);
    if (high) return "at most " + std::to_string(*high);
    return {};
}

// "string, one of nginx, php-fpm; default \"nginx\""
std::string argument_text(const ArgumentSpec& spec) {
    const bool list = spec.type == ArgumentType::list;
    const std::string each = list ? "each " : "";
    std::string text =
        list ? std::string("list of ") + name_of(many, spec.items) : name_of(one, spec.type);
    const auto add = [&text](const std::string& what) { text += "; " + what; };
    if (const auto items = bounds(spec.min_items, spec.max_items); list && !items.empty()) {
        add(items + " of them");
    }
    if (!spec.values.empty()) {
        std::string values;
        for (const auto& value : spec.values) {
            values += (values.empty() ? "" : ", ") + printable(value);
        }
        add(each + "one of " + values);
    }
    if (spec.pattern) add(each + "must match " + printable(*spec.pattern));
    if (const auto length = bounds(spec.min_length, spec.max_length); !length.empty()) {
        add(each + length + " bytes long");
    }
    if (const auto range = bounds(spec.minimum, spec.maximum); !range.empty()) add(each + range);
    if (spec.multiline) add("can have several lines");
    if (spec.secret) add("secret");
    if (spec.fallback) {
        add("default " + value_text(*spec.fallback));
    } else if (!spec.required) {
        add("optional");
    }
    return text;
}

std::optional<std::int64_t> integer_sample(const ArgumentSpec& spec) {
    const auto fits = [&spec](std::int64_t number) {
        return number >= spec.minimum.value_or(0) && (!spec.maximum || number <= *spec.maximum);
    };
    for (const std::int64_t number : {std::int64_t{1}, std::int64_t{0}, spec.minimum.value_or(0)}) {
        if (fits(number)) return number;
    }
    return std::nullopt;
}

// The argument's name in capitals, in which nobody sees more than what is to be put there.
std::optional<std::string> string_sample(const ArgumentSpec& spec) {
    constexpr std::uint32_t longest = 64;
    if (spec.pattern || spec.min_length.value_or(0) > longest || spec.name.empty()) {
        return std::nullopt;
    }
    std::string name = printable(spec.name);
    for (char& c : name) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    std::string text = name;
    while (text.size() < spec.min_length.value_or(0)) text += name;
    if (text.size() > longest && spec.min_length) text.resize(*spec.min_length);
    if (spec.max_length && text.size() > *spec.max_length) text.resize(*spec.max_length);
    return text;
}

// A value that the action takes; absent: none that certainly is one.
std::optional<std::string> sample(const ArgumentSpec& spec) {
    const auto type = spec.type == ArgumentType::list ? spec.items : spec.type;
    if (!spec.values.empty()) {
        // One that shows as what it is: of several lines, it would be given as something else.
        const auto found = std::ranges::find_if(
            spec.values, [](const std::string& value) { return printable(value) == value; });
        return found == spec.values.end() ? std::nullopt : std::optional(*found);
    }
    if (type == ArgumentType::boolean) return "true";
    if (type == ArgumentType::string) return string_sample(spec);
    const auto number = integer_sample(spec);
    return number ? std::optional(std::to_string(*number)) : std::nullopt;
}

}  // namespace

std::optional<std::string> example_command(const ActionDescription& action) {
    constexpr std::uint32_t most_items = 8;
    auto command = "posternctl run " + shell_word(printable(action.name));
    for (const auto& spec : action.arguments) {
        if (!spec.required) continue;
        const auto value = sample(spec);
        const bool list = spec.type == ArgumentType::list;
        const auto times = list ? std::max(spec.min_items.value_or(1), 1U) : 1U;
        if (!value || times > most_items || (list && spec.max_items && times > *spec.max_items)) {
            return std::nullopt;
        }
        const auto word = ' ' + shell_word(printable(spec.name) + '=' + *value);
        for (std::uint32_t i = 0; i < times; ++i) command += word;
    }
    return command;
}

std::string describe_action(const ActionDescription& action) {
    std::string text = printable(action.name) + " - " + printable(action.summary) + "\n";
    if (!action.description.empty()) {
        text += '\n';
        std::string_view rest = action.description;
        while (!rest.empty()) {
            const auto line = rest.substr(0, rest.find('\n'));
            text += line.empty() ? "\n" : "  " + printable(line) + "\n";
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        }
    }
    text += "\nArguments:";
    if (action.arguments.empty()) text += " none";
    text += '\n';
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto& spec : action.arguments) {
        rows.emplace_back("  " + printable(spec.name), argument_text(spec));
        if (!spec.summary.empty()) rows.emplace_back("", printable(spec.summary));
    }
    text += two_columns(rows, 0);
    text += '\n';
    if (action.timeout.count() > 0) {
        const auto seconds = std::chrono::floor<std::chrono::seconds>(action.timeout).count();
        text += "Times out after " + duration_text(seconds) + ". ";
    }
    text += action.kill_on_disconnect ? "Ends when its caller disconnects."
                                      : "Continues when its caller disconnects.";
    if (action.input == Input::direct) text += " Takes standard input.";
    if (action.input == Input::text) {
        text += " Takes standard input, at most " + std::to_string(limits::input_bytes) + " bytes.";
    }
    if (action.direct_output) text += " Its standard output is not stored.";
    if (action.datagram) text += " Can be run by datagram (notify, run --datagram).";
    text += '\n';
    if (const auto example = example_command(action)) text += "\nExample: " + *example + '\n';
    return text;
}

}  // namespace postern::ctl
