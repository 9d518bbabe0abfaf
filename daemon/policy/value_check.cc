#include "daemon/policy/value_check.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "base/limits.h"
#include "base/utf8.h"

namespace postern::policy {
namespace {

// Of a value or a choice in a message.
constexpr std::size_t shown_bytes = 100;

std::string show(const ArgumentSpec& spec, std::string_view text) {
    return spec.secret ? "the value" : in_quotes(text, shown_bytes);
}

std::string count(std::size_t number, std::string_view what) {
    return std::to_string(number) + ' ' + std::string(what) + (number == 1 ? "" : "s");
}

std::string one_of(const std::vector<std::string>& values) {
    constexpr std::size_t most = 20;
    std::string text = "one of ";
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (i == most) return text + " and " + std::to_string(values.size() - most) + " more";
        if (i > 0) text += ", ";
        text += values[i];
    }
    return text;
}

std::string dash_problem(const ArgumentSpec& spec, std::string_view text) {
    return show(spec, text) + " begins with \"-\", which this argument does not allow";
}

// With spaces for what a text of several lines may have besides.
std::string in_one_line(std::string text) {
    std::ranges::replace_if(text, [](char c) { return c == '\n' || c == '\t'; }, ' ');
    return text;
}

std::optional<std::string> string_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                          const std::string& text) {
    const auto forbidden = forbidden_character(spec.multiline ? in_one_line(text) : text);
    if (forbidden) {
        return show(spec, text) + " contains " + *forbidden + ", which no argument may";
    }
    // What can't be empty must not be (the default); "minLength": 0 allows it.
    const std::size_t least = spec.min_length.value_or(1);
    if (text.empty() && least > 0) return "must not be empty";
    if (!spec.values.empty() && std::ranges::find(spec.values, text) == spec.values.end()) {
        return show(spec, text) + " is not " + one_of(spec.values);
    }
    if (text.starts_with('-') && !spec.allow_leading_dash) return dash_problem(spec, text);
    if (text.size() < least) {
        return show(spec, text) + " is " + count(text.size(), "byte") + " long, at least " +
               std::to_string(least) + " are needed";
    }
    const std::size_t most = spec.max_length.value_or(static_cast<std::uint32_t>(most_bytes(spec)));
    if (text.size() > most) {
        return show(spec, text) + " is " + count(text.size(), "byte") + " long, at most " +
               std::to_string(most) + " are allowed";
    }
    if (pattern != nullptr && !re2::RE2::FullMatch(text, *pattern)) {
        return show(spec, text) + " does not match " + pattern->pattern();
    }
    return std::nullopt;
}

std::optional<std::string> integer_problem(const ArgumentSpec& spec, std::int64_t number) {
    const std::string shown = spec.secret ? "the value" : std::to_string(number);
    // A negative number begins with a dash too; its declaration is a minimum.
    if (number < 0 && !spec.minimum && !spec.allow_leading_dash) {
        return shown + " begins with \"-\", which this argument does not allow";
    }
    if (spec.minimum && number < *spec.minimum) {
        return shown + " is less than " + std::to_string(*spec.minimum);
    }
    if (spec.maximum && number > *spec.maximum) {
        return shown + " is more than " + std::to_string(*spec.maximum);
    }
    return std::nullopt;
}

std::string kind_of(const Scalar& value) {
    if (std::holds_alternative<std::string>(value)) return "a string";
    if (std::holds_alternative<std::int64_t>(value)) return "an integer";
    if (std::holds_alternative<bool>(value)) return "a boolean";
    return "something else";
}

std::optional<std::string> scalar_problem(const ArgumentSpec& spec, ArgumentType type,
                                          const re2::RE2* pattern, const Scalar& value) {
    if (type == ArgumentType::string) {
        if (const auto* text = std::get_if<std::string>(&value)) {
            return string_problem(spec, pattern, *text);
        }
    } else if (type == ArgumentType::integer) {
        if (const auto* number = std::get_if<std::int64_t>(&value)) {
            return integer_problem(spec, *number);
        }
    } else if (std::holds_alternative<bool>(value)) {
        return std::nullopt;
    }
    return "must be " + type_name(type) + ", not " + kind_of(value);
}

std::optional<std::string> list_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                        const std::vector<Scalar>& list) {
    const std::size_t least = spec.min_items.value_or(1);
    if (list.empty() && least > 0) return "must not be empty";
    if (list.size() < least) {
        return "has " + count(list.size(), "element") + ", at least " + std::to_string(least) +
               " are needed";
    }
    const std::size_t most = spec.max_items.value_or(limits::json_members);
    if (list.size() > most) {
        return "has " + count(list.size(), "element") + ", at most " + std::to_string(most) +
               (most == 1 ? " is allowed" : " are allowed");
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (const auto problem = scalar_problem(spec, spec.items, pattern, list[i])) {
            return "element " + std::to_string(i + 1) + ": " + *problem;
        }
    }
    return std::nullopt;
}

// A list is no scalar: `something else` until list_problem() has looked.
Scalar to_scalar(const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
    if (const auto* flag = std::get_if<bool>(&value)) return *flag;
    return Unsupported{};
}

std::string range(const ArgumentSpec& spec) {
    if (spec.minimum && spec.maximum) {
        return " from " + std::to_string(*spec.minimum) + " to " + std::to_string(*spec.maximum);
    }
    if (spec.minimum) return " from " + std::to_string(*spec.minimum) + " on";
    if (spec.maximum) return " up to " + std::to_string(*spec.maximum);
    return "";
}

}  // namespace

std::optional<std::string> value_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                         const Value& value) {
    const auto* const list = std::get_if<std::vector<Scalar>>(&value);
    if (spec.type == ArgumentType::list) {
        if (list != nullptr) return list_problem(spec, pattern, *list);
        return "must be a list, not " + kind_of(to_scalar(value));
    }
    if (list != nullptr) return "must be " + type_name(spec.type) + ", not a list";
    return scalar_problem(spec, spec.type, pattern, to_scalar(value));
}

std::string expectation(const ArgumentSpec& spec) {
    const ArgumentType type = spec.type == ArgumentType::list ? spec.items : spec.type;
    std::string text = type_name(type);
    if (!spec.values.empty()) {
        text = one_of(spec.values);
    } else if (type == ArgumentType::integer) {
        text += range(spec);
    } else if (spec.pattern) {
        text += " that matches " + *spec.pattern;
    }
    return spec.type == ArgumentType::list ? "a list, each element " + text : text;
}

std::size_t most_bytes(const ArgumentSpec& spec) {
    return spec.multiline ? limits::multiline_bytes : limits::json_string_bytes;
}

std::string type_name(ArgumentType type) {
    switch (type) {
        case ArgumentType::string:
            return "a string";
        case ArgumentType::integer:
            return "an integer";
        case ArgumentType::boolean:
            return "a boolean";
        case ArgumentType::list:
            return "a list";
    }
    return "unknown";
}

}  // namespace postern::policy
