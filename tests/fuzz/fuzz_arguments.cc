// Values against what an action's arguments must be: what is bound stays in its element.
//
// The input is lines, see tests/fuzz/seeds/fuzz_arguments/:
//     #NAME KIND      an argument; KIND as in read_kind()
//     ={a} and {b}    an element of the command
//     !NAME=VALUE     a value: sTEXT, iNUMBER, b, u (none that an argument can be), [VALUE|VALUE...
#include <re2/re2.h>
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/limits.h"
#include "base/utf8.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/template.h"
#include "tests/fuzz/check.h"

namespace {

using namespace postern;
using fuzz::check;
using policy::Action;
using policy::Piece;
using policy::Template;

using Texts = std::vector<std::string>;

std::string_view take(std::string_view& rest, char separator) {
    const std::string_view part = rest.substr(0, rest.find(separator));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return part;
}

std::int64_t number_of(std::string_view text) {
    std::int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

// s, i, b: string, integer, boolean; l: a list of those. "-": may begin with one; "?": optional;
// x: secret; e: an enum; p: a pattern. <N and >N: bounds of length or value, (N and )N: of
// elements.
void read_kind(std::string_view kind, ArgumentSpec& spec) {
    ArgumentType type = ArgumentType::string;
    bool list = false;
    for (std::size_t i = 0; i < kind.size(); ++i) {
        const std::string_view rest = kind.substr(i + 1);
        const std::int64_t bound = number_of(rest);
        const auto size = static_cast<std::uint32_t>(std::clamp<std::int64_t>(bound, 0, 300));
        switch (kind[i]) {
            case 'i':
                type = ArgumentType::integer;
                break;
            case 'b':
                type = ArgumentType::boolean;
                break;
            case 'l':
                list = true;
                break;
            case '-':
                spec.allow_leading_dash = true;
                break;
            case '?':
                spec.required = false;
                break;
            case 'x':
                spec.secret = true;
                break;
            case 'e':
                spec.values = {"one", "-two", "", "x y"};
                break;
            case 'p':
                spec.pattern = "[a-z-]*";
                break;
            case '<':
                spec.min_length = size;
                spec.minimum = bound;
                break;
            case '>':
                spec.max_length = size;
                spec.maximum = bound;
                break;
            case '(':
                spec.min_items = size;
                break;
            case ')':
                spec.max_items = size;
                break;
            default:
                break;
        }
    }
    spec.type = list ? ArgumentType::list : type;
    spec.items = type;
}

Scalar read_scalar(std::string_view text) {
    if (text.starts_with('s')) return std::string(text.substr(1));
    if (text.starts_with('i')) return number_of(text.substr(1));
    if (text.starts_with('b')) return text.size() > 1;
    return Unsupported{};
}

Value read_value(std::string_view text) {
    if (text.starts_with('[')) {
        text.remove_prefix(1);
        std::vector<Scalar> list;
        while (!text.empty()) list.push_back(read_scalar(take(text, '|')));
        return list;
    }
    return std::visit([](const auto& scalar) { return Value(scalar); }, read_scalar(text));
}

const ArgumentSpec* find(const Action& action, std::string_view name) {
    const auto& specs = action.description.arguments;
    const auto found = std::ranges::find(specs, name, &ArgumentSpec::name);
    return found == specs.end() ? nullptr : &*found;
}

// What the loader admits: placeholders are arguments, one of a list stands alone.
bool admitted(const Action& action, const Template& element) {
    return std::ranges::all_of(element, [&](const Piece& piece) {
        if (!piece.placeholder) return true;
        const ArgumentSpec* const spec = find(action, piece.text);
        return spec != nullptr && (spec->type != ArgumentType::list || element.size() == 1);
    });
}

struct FuzzedArguments {
    Action action;
    Arguments given;
};

FuzzedArguments read(std::string_view lines) {
    static const auto pattern = std::make_shared<const re2::RE2>("[a-z-]*");
    FuzzedArguments input;
    Action& action = input.action;
    action.program = "/usr/bin/true";
    Texts elements;
    while (!lines.empty()) {
        std::string_view line = take(lines, '\n');
        if (line.empty()) continue;
        const char what = line.front();
        line.remove_prefix(1);
        if (what == '=') elements.emplace_back(line);
        if (what == '#') {
            ArgumentSpec spec;
            spec.name = take(line, ' ');
            read_kind(line, spec);
            if (!policy::is_argument_name(spec.name) || find(action, spec.name) != nullptr)
                continue;
            if (spec.pattern) action.patterns.emplace(spec.name, pattern);
            action.description.arguments.push_back(std::move(spec));
        }
        if (what == '!') {
            const std::string_view name = take(line, '=');
            input.given.push_back({std::string(name), read_value(line)});
        }
    }
    for (const std::string& text : elements) {
        auto element = policy::parse_template(text);
        if (!forbidden_character(text) && element && admitted(action, *element)) {
            action.command.push_back(std::move(*element));
        }
    }
    return input;
}

std::string text_of(const Scalar& scalar) {
    if (const auto* text = std::get_if<std::string>(&scalar)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&scalar)) return std::to_string(*number);
    return std::get<bool>(scalar) ? "true" : "false";
}

// One text that was let through, against its declaration.
std::string check_scalar(const ArgumentSpec& spec, const Scalar& scalar) {
    const std::string text = text_of(scalar);
    check(!forbidden_character(text));
    const bool number = std::holds_alternative<std::int64_t>(scalar);
    if (text.starts_with('-')) check(spec.allow_leading_dash || (number && spec.minimum));
    switch (spec.items) {
        case ArgumentType::string:
            check(std::holds_alternative<std::string>(scalar));
            check(text.size() >= spec.min_length.value_or(1));
            check(text.size() <= spec.max_length.value_or(limits::json_string_bytes));
            check(spec.values.empty() || std::ranges::count(spec.values, text) == 1);
            check(!spec.pattern ||
                  text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos);
            break;
        case ArgumentType::integer:
            check(number);
            check(!spec.minimum || std::get<std::int64_t>(scalar) >= *spec.minimum);
            check(!spec.maximum || std::get<std::int64_t>(scalar) <= *spec.maximum);
            break;
        default:
            check(std::holds_alternative<bool>(scalar));
    }
    return text;
}

Texts check_value(const ArgumentSpec& spec, const Value& value) {
    if (const auto* list = std::get_if<std::vector<Scalar>>(&value)) {
        check(spec.type == ArgumentType::list);
        check(list->size() >= spec.min_items.value_or(1));
        check(list->size() <= spec.max_items.value_or(limits::json_members));
        Texts texts;
        for (const Scalar& scalar : *list) texts.push_back(check_scalar(spec, scalar));
        return texts;
    }
    check(spec.type == spec.items);
    return {std::visit(
        [&](const auto& scalar) -> std::string {
            if constexpr (std::is_same_v<std::decay_t<decltype(scalar)>, std::vector<Scalar>>) {
                return {};
            } else {
                return check_scalar(spec, Scalar(scalar));
            }
        },
        value)};
}

void check_command(const FuzzedArguments& input, const policy::Command& command) {
    std::map<std::string, Texts, std::less<>> texts;
    for (const NamedValue& value : input.given) {
        const ArgumentSpec* const spec = find(input.action, value.name);
        check(spec != nullptr);
        check(texts.emplace(value.name, check_value(*spec, value.value)).second);
    }
    for (const ArgumentSpec& spec : input.action.description.arguments) {
        check(!spec.required || texts.contains(spec.name));
    }

    // Each element of the file is one of the command's, with the values as they are; that of a list
    // as many as it has; one without its value is left out.
    Texts expected = {input.action.program};
    for (const Template& element : input.action.command) {
        Texts filled = {""};
        for (const Piece& piece : element) {
            if (!piece.placeholder) {
                filled.front() += piece.text;
            } else if (!texts.contains(piece.text)) {
                filled.clear();
                break;
            } else if (find(input.action, piece.text)->type == ArgumentType::list) {
                filled = texts.find(piece.text)->second;
            } else {
                filled.front() += texts.find(piece.text)->second.front();
            }
        }
        expected.insert(expected.end(), filled.begin(), filled.end());
    }
    check(command.argv == expected);
    check(std::ranges::none_of(command.argv, [](const std::string& element) {
        return forbidden_character(element).has_value();
    }));

    check(command.shown.size() == texts.size());
    for (const auto& [name, shown] : command.shown) {
        check((shown == "(secret)") == find(input.action, name)->secret || shown == "(secret)");
        check(!forbidden_character(shown));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const FuzzedArguments input = read(std::string_view(reinterpret_cast<const char*>(data), size));
    const auto command = policy::bind_arguments(input.action, input.given);
    if (command) {
        check_command(input, *command);
    } else {
        const policy::ArgumentError& error = command.error();
        check(error.message.starts_with(error.argument + ": "));
        // One line for each that is wrong.
        for (const auto line : std::views::split(error.message, '\n')) {
            check(!line.empty());
            check(!forbidden_character(std::string_view(line.begin(), line.end())));
        }
    }
    return 0;
}
