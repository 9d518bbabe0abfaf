#include "daemon/policy/value_check.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "base/counted.h"
#include "base/limits.h"
#include "base/utf8.h"

namespace postern::policy {
namespace {

// Of a value or a choice in a message.
constexpr std::size_t shown_bytes = 100;

std::string show(const ArgumentSpec& spec, std::string_view text) {
    return spec.secret ? "the value" : in_quotes(text, shown_bytes);
}

std::string one_of(const std::vector<std::string>& values) {
    constexpr std::size_t most = 20;
    std::string text = "one of ";
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (i == most) return text + " and " + std::to_string(values.size() - most) + " more";
        if (i > 0) text += ", ";
        text += printable(values[i]);
    }
    return text;
}

// Without quotes: as JSON and posternctl write it.
std::string show_scalar(const ArgumentSpec& spec, const Scalar& value) {
    if (spec.secret) return "the value";
    if (const auto* text = std::get_if<std::string>(&value)) return show(spec, *text);
    if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    switch (std::get<Unsupported>(value).what) {
        case Unusable::null:
            return "null";
        case Unusable::fraction:
            return "a number with a fraction or an exponent";
        case Unusable::object:
            return "an object";
        case Unusable::list:
            return "a list";
        case Unusable::other:
            break;
    }
    return "the value";
}

// ---- What a value must be ----

// The least integer that is not refused. A negative number begins with a dash too; its declaration
// is a minimum.
std::optional<std::int64_t> least_integer(const ArgumentSpec& spec) {
    if (spec.minimum || spec.allow_leading_dash) return spec.minimum;
    return 0;
}

std::string range(const ArgumentSpec& spec) {
    const auto least = least_integer(spec);
    if (least && spec.maximum) {
        return " from " + std::to_string(*least) + " to " + std::to_string(*spec.maximum);
    }
    if (least) return " of at least " + std::to_string(*least);
    if (spec.maximum) return " up to " + std::to_string(*spec.maximum);
    return "";
}

// Both ends, for a number that no message can carry.
std::string whole_range(const ArgumentSpec& spec) {
    return " from " + std::to_string(least_integer(spec).value_or(-limits::json_integer)) + " to " +
           std::to_string(spec.maximum.value_or(limits::json_integer));
}

// "of 2 to 5 bytes"; nothing where any number may be. `unsaid`: a least number that goes without
// saying.
std::string amount(std::optional<std::uint32_t> least, std::optional<std::uint32_t> most,
                   std::uint32_t unsaid, std::string_view what) {
    const std::uint32_t from = least.value_or(unsaid);
    if (from <= unsaid && !most) return "";
    if (!most) return " of at least " + counted(from, what);
    if (from <= unsaid) return " of at most " + counted(*most, what);
    if (from == *most) return " of " + counted(from, what);
    return " of " + std::to_string(from) + " to " + counted(*most, what);
}

// "an integer from 1 to 10"; `noun`: "an integer", or "one" where that was said.
std::string described(const ArgumentSpec& spec, ArgumentType type, const std::string& noun) {
    if (!spec.values.empty()) return one_of(spec.values);
    switch (type) {
        case ArgumentType::integer:
            return noun + range(spec);
        case ArgumentType::boolean:
            return "true or false";
        case ArgumentType::string:
        case ArgumentType::list:
            break;
    }
    return noun + amount(spec.min_length, spec.max_length, 1, "byte") +
           (spec.pattern ? " that matches " + printable(*spec.pattern) : "");
}

std::string advice_for(const ArgumentSpec& spec, ArgumentType type) {
    const std::string bare = "one";
    const std::string text = described(spec, type, bare);
    return "give " + (text == bare && type == ArgumentType::integer ? "one, such as 7" : text);
}

// ---- Integers that were written in other ways ----

constexpr std::string_view digits = "0123456789";

// As JSON and posternctl write one: without sign but "-", and without leading zeros.
bool is_plain_integer(std::string_view text) {
    if (text.starts_with('-')) text.remove_prefix(1);
    return !text.empty() && text.find_first_not_of(digits) == std::string_view::npos &&
           (text.size() == 1 || text.front() != '0');
}

// What `007`, `+5`, `0x10`, `1e3` and `5.0` mean.
std::optional<std::int64_t> meant_integer(std::string_view text) {
    // Up to so many digits a double holds what was written.
    constexpr std::size_t longest = 15;
    const std::size_t first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return std::nullopt;
    text = text.substr(first, text.find_last_not_of(' ') - first + 1);
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    if (text.empty() || text.size() > longest ||
        digits.find(text.front()) == std::string_view::npos) {
        return std::nullopt;
    }
    std::int64_t number = 0;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
        const auto [stop, error] =
            std::from_chars(text.data(), text.data() + text.size(), number, 16);
        if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
    } else {
        double value = 0;
        const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        constexpr auto most = static_cast<double>(limits::json_integer);
        if (error != std::errc{} || stop != text.data() + text.size() || value > most) {
            return std::nullopt;
        }
        number = static_cast<std::int64_t>(value);
        if (static_cast<double>(number) != value) return std::nullopt;
    }
    return negative ? -number : number;
}

// ---- What is wrong with one ----

// `shown`: the value, as messages show it.
ValueProblem dash_problem(const std::string& shown) {
    return {shown + " begins with \"-\", which this argument does not allow", {}};
}

// With spaces for what a text of several lines may have besides.
std::string in_one_line(std::string text) {
    std::ranges::replace_if(text, [](char c) { return c == '\n' || c == '\t'; }, ' ');
    return text;
}

std::optional<ValueProblem> string_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                           const std::string& text) {
    const std::string shown = show(spec, text);
    const auto forbidden = forbidden_character(spec.multiline ? in_one_line(text) : text);
    if (forbidden) {
        return ValueProblem{shown + " contains " + *forbidden + ", which no argument may contain",
                            {}};
    }
    // What can't be empty must not be (the default); "minLength": 0 allows it.
    const std::size_t least = spec.min_length.value_or(1);
    if (text.empty() && least > 0) {
        return ValueProblem{"must not be empty", advice_for(spec, ArgumentType::string)};
    }
    if (!spec.values.empty() && std::ranges::find(spec.values, text) == spec.values.end()) {
        return ValueProblem{shown + " is not " + one_of(spec.values), {}};
    }
    if (text.starts_with('-') && !spec.allow_leading_dash) return dash_problem(shown);
    if (text.size() < least) {
        return ValueProblem{shown + " is " + counted(text.size(), "byte") + " long, at least " +
                                std::to_string(least) + " are needed",
                            {}};
    }
    const std::size_t most = spec.max_length.value_or(static_cast<std::uint32_t>(most_bytes(spec)));
    if (text.size() > most) {
        return ValueProblem{shown + " is " + counted(text.size(), "byte") + " long, at most " +
                                std::to_string(most) + (most == 1 ? " is allowed" : " are allowed"),
                            {}};
    }
    if (pattern != nullptr && !re2::RE2::FullMatch(text, *pattern)) {
        return ValueProblem{shown + " does not match " + printable(pattern->pattern()), {}};
    }
    return std::nullopt;
}

std::optional<ValueProblem> integer_problem(const ArgumentSpec& spec, std::int64_t number) {
    const std::string shown = show_scalar(spec, Scalar(number));
    const std::string advice = advice_for(spec, ArgumentType::integer);
    if (number < 0 && !spec.minimum && !spec.allow_leading_dash) {
        return ValueProblem{dash_problem(shown).what, advice};
    }
    if (spec.minimum && number < *spec.minimum) {
        return ValueProblem{shown + " is less than " + std::to_string(*spec.minimum), advice};
    }
    if (spec.maximum && number > *spec.maximum) {
        return ValueProblem{shown + " is more than " + std::to_string(*spec.maximum), advice};
    }
    return std::nullopt;
}

// Text where an integer is wanted.
ValueProblem not_an_integer(const ArgumentSpec& spec, const std::string& text) {
    const std::string shown = show(spec, text);
    if (is_plain_integer(text)) {
        std::int64_t number = 0;
        const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc{} || number > limits::json_integer ||
            number < -limits::json_integer) {
            return {shown + " is beyond 2^53", "give one" + whole_range(spec)};
        }
        if (auto problem = integer_problem(spec, number)) return *std::move(problem);
        return {shown + " is a string, not an integer", "write it without quotes"};
    }
    const auto meant = meant_integer(text);
    const bool says_it = meant && !spec.secret && !integer_problem(spec, *meant);
    return {shown + " is not an integer",
            says_it ? "write " + std::to_string(*meant) : advice_for(spec, ArgumentType::integer)};
}

std::optional<ValueProblem> scalar_problem(const ArgumentSpec& spec, ArgumentType type,
                                           const re2::RE2* pattern, const Scalar& value) {
    const auto* const text = std::get_if<std::string>(&value);
    const auto* const number = std::get_if<std::int64_t>(&value);
    const auto* const flag = std::get_if<bool>(&value);
    if (type == ArgumentType::string) {
        if (text != nullptr) return string_problem(spec, pattern, *text);
        const bool would_do =
            (number != nullptr && !string_problem(spec, pattern, std::to_string(*number))) ||
            (flag != nullptr && !string_problem(spec, pattern, *flag ? "true" : "false"));
        return ValueProblem{show_scalar(spec, value) + " is not a string",
                            would_do ? "write it in double quotes" : advice_for(spec, type)};
    }
    if (type == ArgumentType::integer) {
        if (number != nullptr) return integer_problem(spec, *number);
        if (text != nullptr) return not_an_integer(spec, *text);
    } else {
        if (flag != nullptr) return std::nullopt;
        if (text != nullptr && (*text == "true" || *text == "false")) {
            return ValueProblem{show_scalar(spec, value) + " is a string, not a boolean",
                                "write it without quotes"};
        }
    }
    std::string advice = advice_for(spec, type);
    const auto* const odd = std::get_if<Unsupported>(&value);
    if (odd != nullptr && odd->what == Unusable::fraction && type == ArgumentType::integer) {
        advice += ", in digits only";
    }
    return ValueProblem{show_scalar(spec, value) + " is not " + type_name(type), std::move(advice)};
}

// The first element that is wrong, and the numbers of some others.
std::optional<ValueProblem> element_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                            const std::vector<Scalar>& list) {
    constexpr std::size_t most = 10;
    std::optional<ValueProblem> first;
    std::string others;
    std::size_t count = 0;
    for (std::size_t i = 0; i < list.size(); ++i) {
        auto problem = scalar_problem(spec, spec.items, pattern, list[i]);
        if (!problem) continue;
        const std::string number = std::to_string(i + 1);
        if (!first) {
            first = ValueProblem{"element " + number + ": " + problem->what,
                                 std::move(problem->advice)};
        } else if (++count <= most) {
            others += (count > 1 ? ", " : "") + number;
        }
    }
    if (!first || count == 0) return first;
    if (count > most) others += " and " + std::to_string(count - most) + " more";
    const std::string also = (count == 1 ? "element " : "elements ") + others +
                             (count == 1 ? " is" : " are") + " wrong too";
    first->advice += (first->advice.empty() ? "" : "; ") + also;
    return first;
}

std::optional<ValueProblem> list_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                         const std::vector<Scalar>& list) {
    const std::size_t least = spec.min_items.value_or(1);
    if (list.empty() && least > 0) {
        return ValueProblem{"must not be empty", "give " + expectation(spec)};
    }
    if (list.size() < least) {
        return ValueProblem{"has " + counted(list.size(), "element") + ", at least " +
                                std::to_string(least) + " are needed",
                            {}};
    }
    const std::size_t most = spec.max_items.value_or(limits::json_members);
    if (list.size() > most) {
        return ValueProblem{"has " + counted(list.size(), "element") + ", at most " +
                                std::to_string(most) + (most == 1 ? " is allowed" : " are allowed"),
                            {}};
    }
    return element_problem(spec, pattern, list);
}

// A list is no scalar: `Unsupported` until list_problem() has looked.
Scalar to_scalar(const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
    if (const auto* flag = std::get_if<bool>(&value)) return *flag;
    if (const auto* odd = std::get_if<Unsupported>(&value)) return *odd;
    return Unsupported{Unusable::list};
}

}  // namespace

std::optional<ValueProblem> value_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                          const Value& value) {
    const auto* const list = std::get_if<std::vector<Scalar>>(&value);
    if (spec.type == ArgumentType::list) {
        if (list != nullptr) return list_problem(spec, pattern, *list);
        return ValueProblem{show_scalar(spec, to_scalar(value)) + " is not a list",
                            "give " + expectation(spec)};
    }
    if (list == nullptr) return scalar_problem(spec, spec.type, pattern, to_scalar(value));
    return ValueProblem{"takes one value, not a list of " + std::to_string(list->size()),
                        advice_for(spec, spec.type)};
}

std::string expectation(const ArgumentSpec& spec) {
    if (spec.type != ArgumentType::list) return described(spec, spec.type, type_name(spec.type));
    return "a list" + amount(spec.min_items, spec.max_items, 1, "element") + ", each element " +
           described(spec, spec.items, type_name(spec.items));
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
