#include "daemon/policy/arguments.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>
#include <variant>

#include "base/utf8.h"
#include "daemon/policy/value_check.h"

namespace postern::policy {
namespace {

// A value's texts; a list has as many as elements.
using Texts = std::vector<std::string>;
// By argument; one without a value is not in it.
using Bound = std::map<std::string, Texts, std::less<>>;

std::string text_of(const Scalar& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    return {};
}

Texts texts_of(const Value& value) {
    Texts texts;
    if (const auto* list = std::get_if<std::vector<Scalar>>(&value)) {
        for (const Scalar& element : *list) texts.push_back(text_of(element));
    } else if (const auto* text = std::get_if<std::string>(&value)) {
        texts.push_back(*text);
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        texts.push_back(std::to_string(*number));
    } else if (const auto* flag = std::get_if<bool>(&value)) {
        texts.emplace_back(*flag ? "true" : "false");
    }
    return texts;
}

// For records: a list so that its elements can be told apart.
std::string show(const ArgumentSpec& spec, const Texts& texts) {
    if (spec.secret) return "(secret)";
    if (spec.type != ArgumentType::list) return texts.front();
    std::string shown = "[";
    for (const std::string& text : texts) {
        if (shown.size() > 1) shown += ", ";
        shown += '"';
        for (const char c : text) {
            if (c == '"' || c == '\\') shown += '\\';
            shown += c;
        }
        shown += '"';
    }
    return shown + ']';
}

std::string names_of(const std::vector<ArgumentSpec>& specs) {
    std::string names;
    for (const ArgumentSpec& spec : specs) {
        if (!names.empty()) names += ", ";
        names += spec.name;
    }
    return names;
}

Unexpected<ArgumentError> refuse(const std::string& argument, const std::string& what) {
    const std::string name = printable(std::string_view(argument).substr(0, 64));
    return Unexpected(ArgumentError{name, name + ": " + what});
}

std::optional<ArgumentError> find_stranger(const Action& action, const Arguments& arguments) {
    const std::vector<ArgumentSpec>& specs = action.description.arguments;
    for (auto given = arguments.begin(); given != arguments.end(); ++given) {
        const bool known = std::ranges::any_of(
            specs, [&](const ArgumentSpec& spec) { return spec.name == given->name; });
        if (!known) {
            return refuse(given->name, "there is no such argument; " +
                                           (specs.empty() ? "this action takes none"
                                                          : "this action takes " + names_of(specs)))
                .error();
        }
        const bool twice = std::any_of(arguments.begin(), given, [&](const NamedValue& other) {
            return other.name == given->name;
        });
        if (twice) return refuse(given->name, "is given twice").error();
    }
    return std::nullopt;
}

Result<Bound, ArgumentError> check_all(const Action& action, const Arguments& arguments) {
    if (auto stranger = find_stranger(action, arguments)) return Unexpected(*std::move(stranger));
    Bound bound;
    for (const ArgumentSpec& spec : action.description.arguments) {
        const auto given = std::ranges::find_if(
            arguments, [&](const NamedValue& value) { return value.name == spec.name; });
        if (given == arguments.end()) {
            if (spec.required) return refuse(spec.name, "is missing; give " + expectation(spec));
            if (spec.fallback) bound.emplace(spec.name, texts_of(*spec.fallback));
            continue;
        }
        const auto pattern = action.patterns.find(spec.name);
        const re2::RE2* const compiled =
            pattern == action.patterns.end() ? nullptr : pattern->second.get();
        // A pattern that is declared and not there would let everything pass.
        if (spec.pattern && compiled == nullptr) return refuse(spec.name, "can't be checked");
        if (const auto problem = value_problem(spec, compiled, given->value)) {
            return refuse(spec.name, *problem);
        }
        bound.emplace(spec.name, texts_of(given->value));
    }
    return bound;
}

// An element's texts: one, or as many as a list has, or none where an argument has no value.
Texts fill(const Template& element, const Bound& bound) {
    const bool alone = element.size() == 1 && element.front().placeholder;
    std::string text;
    for (const Piece& piece : element) {
        if (!piece.placeholder) {
            text += piece.text;
            continue;
        }
        const auto found = bound.find(piece.text);
        if (found == bound.end()) return {};
        if (alone) return found->second;
        for (const std::string& part : found->second) text += part;
    }
    return {text};
}

}  // namespace

Result<Command, ArgumentError> bind_arguments(const Action& action, const Arguments& arguments,
                                              const std::optional<std::string>& input) {
    POSTERN_TRY(auto bound, check_all(action, arguments));
    if (input && action.description.input == Input::none) {
        return refuse("input", "this action takes no standard input");
    }

    Command command;
    command.argv.push_back(action.program);
    for (const Template& element : action.command) {
        for (std::string& text : fill(element, bound)) command.argv.push_back(std::move(text));
    }
    if (action.stdin_text) {
        std::string text;
        for (const Piece& piece : *action.stdin_text) {
            for (const std::string& part : fill({piece}, bound)) text += part;
        }
        command.stdin_text = std::move(text);
    }
    if (input) command.stdin_text = input;
    for (const ArgumentSpec& spec : action.description.arguments) {
        const auto found = bound.find(spec.name);
        if (found != bound.end()) command.shown.emplace_back(spec.name, show(spec, found->second));
    }
    return command;
}

}  // namespace postern::policy
