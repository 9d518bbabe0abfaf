#include "ctl/completion/candidates.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "ctl/text/text.h"
#include "ctl/verbs/verbs.h"
#include "protocol/interfaces.h"

namespace postern::ctl {
namespace {

using List = std::vector<Candidate>;

std::string first_line(std::string_view text) {
    return std::string(text.substr(0, text.find('\n')));
}

// Where the line has such an option already it would be one too many.
bool is_one_too_many(const Option& option, const TypedLine& line) {
    return !option.repeats && line.invocation.given(option);
}

List options_of(const TypedLine& line) {
    List list;
    const auto add = [&](std::span<const Option> table) {
        for (const auto& option : table) {
            if (is_one_too_many(option, line)) continue;
            list.push_back({"--" + std::string(option.name), first_line(option.help)});
        }
    };
    if (line.verb != nullptr) add(line.verb->options);
    add(common_options);
    return list;
}

List all_verbs() {
    List list;
    for (const auto* verb : verbs()) {
        list.push_back({std::string(verb->name), std::string(verb->summary)});
    }
    return list;
}

// "method Get(job: string) -> ..." in the text of an interface.
List all_methods() {
    constexpr std::string_view begin = "\nmethod ";
    List list;
    for (const auto& interface : protocol::interfaces()) {
        auto text = interface.text;
        for (auto at = text.find(begin); at != std::string_view::npos; at = text.find(begin)) {
            text.remove_prefix(at + begin.size());
            const auto name = text.substr(0, text.find_first_of(" ("));
            list.push_back({std::string(interface.name) + "." + std::string(name), {}});
        }
    }
    return list;
}

// ---- Arguments ----

bool takes_json(const TypedLine& line, const ArgumentSpec& spec) {
    return line.verb == &verb_notify && spec.type != ArgumentType::string;
}

// "size=", or for notify "size:=" where it is not text.
std::string named(const TypedLine& line, const ArgumentSpec& spec) {
    return spec.name + (takes_json(line, spec) ? ":=" : "=");
}

// posternctl would read another name.
bool has_name(const TypedLine& line, const ArgumentSpec& spec) {
    return !spec.name.empty() && spec.name.find('=') == std::string::npos &&
           !(line.verb == &verb_notify && spec.name.ends_with(':'));
}

bool is_given(const TypedLine& line, const ArgumentSpec& spec) {
    const auto names_it = [&](const std::string& word) {
        return word.starts_with(spec.name + "=") || word.starts_with(spec.name + ":=");
    };
    const auto of_file = [&](const GivenOption& option) {
        return option.name == "file" && names_it(option.value);
    };
    return std::ranges::any_of(line.invocation.words, names_it) ||
           std::ranges::any_of(line.invocation.options, of_file);
}

List argument_names(const TypedLine& line, const ActionDescription& action) {
    List list;
    for (const auto& spec : action.arguments) {
        const bool again = spec.type == ArgumentType::list && !takes_json(line, spec);
        if (!has_name(line, spec) || (is_given(line, spec) && !again)) continue;
        list.push_back({named(line, spec), spec.summary});
    }
    return list;
}

List argument_values(const TypedLine& line, const ActionDescription& action) {
    static const std::vector<std::string> truths = {"true", "false"};
    for (const auto& spec : action.arguments) {
        const auto before = named(line, spec);
        if (!has_name(line, spec) || !line.word.starts_with(before)) continue;
        const bool list = spec.type == ArgumentType::list;
        if (list && takes_json(line, spec)) return {};
        const auto type = list ? spec.items : spec.type;
        List values;
        for (const auto& value : type == ArgumentType::boolean ? truths : spec.values) {
            if (!value.empty()) values.push_back({before + value, {}});
        }
        return values;
    }
    return {};
}

Candidates call_words(const TypedLine& line, Knowledge& knowledge) {
    const auto& words = line.invocation.words;
    if (words.empty()) return {knowledge.actions()};
    const auto action = knowledge.action(words.front());
    if (!action) return {};
    const bool has_sign = line.word.find('=') != std::string::npos;
    return {has_sign ? argument_values(line, *action) : argument_names(line, *action)};
}

// ---- All together ----

// For the values of an option, behind "--state=" if that is in the same word.
List behind(const TypedLine& line, List list) {
    const auto before = line.word.substr(0, line.value_from);
    for (auto& candidate : list) candidate.text.insert(0, before);
    return list;
}

// The argument of --file, before its path.
Candidates file_names(const TypedLine& line, Knowledge& knowledge) {
    const auto& words = line.invocation.words;
    const auto action = words.empty() ? std::nullopt : knowledge.action(words.front());
    if (!action) return {};
    return {behind(line, argument_names(line, *action))};
}

Candidates path_from(const TypedLine& line, std::size_t bytes) {
    return {{}, characters(std::string_view(line.word).substr(0, bytes))};
}

List listed_words(std::span<const std::string_view> words) {
    List list;
    for (const auto word : words) list.push_back({std::string(word), {}});
    return list;
}

List job_ids(const TypedLine& line, Knowledge& knowledge) {
    auto jobs = knowledge.jobs();
    std::erase_if(jobs, [&](const Candidate& job) {
        return std::ranges::find(line.invocation.words, job.text) != line.invocation.words.end();
    });
    return jobs;
}

Candidates of_kind(Completes what, std::span<const std::string_view> listed, const TypedLine& line,
                   Knowledge& knowledge) {
    switch (what) {
        case Completes::nothing:
            return {};
        case Completes::listed:
            return {behind(line, listed_words(listed))};
        case Completes::files:
            return path_from(line, line.value_from);
        case Completes::named_files: {
            const auto sign = line.value().find('=');
            if (sign == std::string_view::npos) return file_names(line, knowledge);
            return path_from(line, line.value_from + sign + 1);
        }
        case Completes::users: {
            List list;
            for (auto& user : knowledge.users()) list.push_back({std::move(user), {}});
            return {behind(line, std::move(list))};
        }
        case Completes::actions:
            return {behind(line, knowledge.actions())};
        case Completes::calls:
            return call_words(line, knowledge);
        case Completes::jobs:
            return {job_ids(line, knowledge)};
        case Completes::methods:
            return line.invocation.words.empty() ? Candidates{all_methods()} : Candidates{};
    }
    return {};
}

Candidates all_candidates(const TypedLine& line, Knowledge& knowledge) {
    if (line.lost) return {};
    if (line.option != nullptr) {
        return of_kind(line.option->completes, line.option->listed, line, knowledge);
    }
    if (!line.options_ended && line.word.starts_with('-')) return {options_of(line)};
    if (line.verb == nullptr) return {all_verbs()};
    if (line.invocation.words.size() >= line.verb->most_words) return {};
    return of_kind(line.verb->completes, line.verb->listed, line, knowledge);
}

}  // namespace

Candidates candidates_for(const TypedLine& line, Knowledge& knowledge) {
    auto candidates = all_candidates(line, knowledge);
    // Options of ours are meant when a dash is typed; a name that begins with one is not.
    const bool dashes = line.options_ended || line.option != nullptr || line.word.starts_with('-');
    std::erase_if(candidates.list, [&](const Candidate& candidate) {
        return candidate.text.empty() || forbidden_character(candidate.text).has_value() ||
               (!dashes && candidate.text.starts_with('-'));
    });
    constexpr std::size_t most_characters = 80;
    for (auto& candidate : candidates.list) {
        candidate.description = shortened(printable(candidate.description), most_characters);
    }
    return candidates;
}

}  // namespace postern::ctl
