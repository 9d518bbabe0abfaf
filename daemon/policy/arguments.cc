#include "daemon/policy/arguments.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>
#include <variant>

#include "base/nearest_word.h"
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

// What is wrong with the arguments of one call: all of it, as far as a message of some length can
// say it.
class Problems {
  public:
    void add(const std::string& argument, const std::string& what) {
        const std::string name = printable(std::string_view(argument).substr(0, 64));
        if (error_.message.empty()) error_.argument = name;
        if (error_.message.size() >= enough_bytes) {
            ++unsaid_;
            return;
        }
        if (!error_.message.empty()) error_.message += '\n';
        error_.message += name + ": " + what;
    }
    // Nothing was wrong: absent.
    std::optional<ArgumentError> take() && {
        if (error_.message.empty()) return std::nullopt;
        if (unsaid_ > 0) {
            error_.message +=
                "\nand " + std::to_string(unsaid_) +
                (unsaid_ == 1 ? " more argument is wrong" : " more arguments are wrong");
        }
        return std::move(error_);
    }

  private:
    // No line is added to so many.
    static constexpr std::size_t enough_bytes = 4096;

    ArgumentError error_;
    std::size_t unsaid_ = 0;
};

// Those that the action does not have, and those that are there twice.
void find_strangers(const Action& action, const Arguments& arguments, Problems& problems) {
    const std::vector<ArgumentSpec>& specs = action.description.arguments;
    std::vector<std::string_view> names;
    names.reserve(specs.size());
    for (const ArgumentSpec& spec : specs) names.push_back(spec.name);
    for (auto given = arguments.begin(); given != arguments.end(); ++given) {
        const bool twice = std::any_of(arguments.begin(), given, [&](const NamedValue& other) {
            return other.name == given->name;
        });
        const bool known = std::ranges::find(names, given->name) != names.end();
        if (twice) {
            problems.add(given->name, "is given twice");
        } else if (!known) {
            const std::string_view meant = nearest_word(given->name, names);
            problems.add(given->name,
                         "there is no such argument; " +
                             (specs.empty()   ? "this action takes no arguments"
                              : meant.empty() ? "this action takes " + names_of(specs)
                                              : "did you mean " + std::string(meant) + "?"));
        }
    }
}

// The arguments of the action, in the order of its file.
Bound check_values(const Action& action, const Arguments& arguments, Problems& problems) {
    Bound bound;
    for (const ArgumentSpec& spec : action.description.arguments) {
        const auto given = std::ranges::find_if(
            arguments, [&](const NamedValue& value) { return value.name == spec.name; });
        if (given == arguments.end()) {
            if (spec.required) problems.add(spec.name, "is required; give " + expectation(spec));
            if (spec.fallback) bound.emplace(spec.name, texts_of(*spec.fallback));
            continue;
        }
        const auto pattern = action.patterns.find(spec.name);
        const re2::RE2* const compiled =
            pattern == action.patterns.end() ? nullptr : pattern->second.get();
        // A pattern that is declared and not there would let everything pass.
        if (spec.pattern && compiled == nullptr) {
            problems.add(spec.name, "can't be checked");
        } else if (const auto problem = value_problem(spec, compiled, given->value)) {
            const auto* const odd = std::get_if<Unsupported>(&given->value);
            const bool could_be_left_out =
                !spec.required && odd != nullptr && odd->what == Unusable::null;
            problems.add(spec.name,
                         problem->text() + (could_be_left_out ? ", or leave it out" : ""));
        } else {
            bound.emplace(spec.name, texts_of(given->value));
        }
    }
    return bound;
}

Result<Bound, ArgumentError> check_all(const Action& action, const Arguments& arguments,
                                       bool has_input) {
    Problems problems;
    find_strangers(action, arguments, problems);
    Bound bound = check_values(action, arguments, problems);
    if (has_input && action.description.input == Input::none) {
        problems.add("input", "this action takes no standard input; leave it out");
    }
    if (auto wrong = std::move(problems).take()) return Unexpected(*std::move(wrong));
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
    POSTERN_TRY(auto bound, check_all(action, arguments, input.has_value()));

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
        if (found == bound.end()) continue;
        command.shown.emplace_back(spec.name, show(spec, found->second));
        if (spec.type == ArgumentType::list && !spec.secret) command.lists.push_back(spec.name);
    }
    return command;
}

}  // namespace postern::policy
