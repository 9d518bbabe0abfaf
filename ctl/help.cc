#include "ctl/help.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "ctl/text/text.h"
#include "ctl/verbs/all_options.h"
#include "ctl/verbs/verbs.h"

namespace postern::ctl {
namespace {

constexpr std::string_view examples = R"(
Examples:
  posternctl list
  posternctl describe web.restart
  posternctl run web.restart service=nginx

Exit codes: the job's own; 128+N: signal N ended the job; 1: lint or reload found a problem;
2: usage; 122: arguments not valid; 123: a limit is reached or the disk is full, try later;
124: timed out; 125: the daemon can't be reached, the connection broke, or output is missing;
126: not permitted, or no such action or job; 127: the program could not be started; 130: Ctrl-C.
)";

// Where the second column begins, in all tables of options alike.
constexpr std::size_t option_column = 17;

// "  -h, --help     show this help, or the help of a verb"
std::string lines_of_option(const Option& option) {
    std::string text = "  ";
    if (option.letter != 0) text += std::string{'-', option.letter} + ", ";
    text += "--" + std::string(option.name);
    if (!option.value.empty()) text += " " + std::string(option.value);
    text += std::string(text.size() < option_column ? option_column - text.size() : 2, ' ');
    for (const char byte : option.help) {
        text += byte;
        if (byte == '\n') text += std::string(option_column, ' ');
    }
    return text + '\n';
}

std::string option_table(std::span<const Option> options) {
    std::string text;
    for (const auto& option : options) text += lines_of_option(option);
    return text;
}

// Options that the same verbs take stand together, under these verbs' names.
std::string own_option_tables() {
    std::vector<std::pair<std::string, std::string>> tables;
    for (const auto& option : own_options()) {
        auto who = verbs_with(option.name);
        auto table = std::ranges::find(tables, who, &std::pair<std::string, std::string>::first);
        if (table == tables.end()) table = tables.emplace(tables.end(), std::move(who), "");
        table->second += lines_of_option(option);
    }
    std::string text;
    for (const auto& [who, lines] : tables)
        text.append("Options of ").append(who).append(":\n").append(lines);
    return text;
}

std::string verb_table() {
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto* verb : verbs()) {
        rows.emplace_back("  " + std::string(verb->name), std::string(verb->summary));
    }
    return "Verbs:\n" + two_columns(rows, 0);
}

}  // namespace

std::string general_help() {
    return usage_line(nullptr) +
           "\nRuns the operations that the administrator of this machine declared.\n\n" +
           verb_table() + "\nOptions, before or after the verb:\n" + option_table(common_options) +
           own_option_tables() + std::string(examples);
}

std::string verb_help(const Verb& verb) {
    auto what = std::string(verb.summary);
    what.front() = static_cast<char>(what.front() - 'a' + 'A');
    return usage_line(&verb) + "\n" + what + ".\n\n" + std::string(verb.help) +
           (verb.options.empty() ? std::string{} : "\nOptions:\n" + option_table(verb.options)) +
           "\nOptions of every verb:\n" + option_table(common_options);
}

std::string short_usage() {
    return usage_line(nullptr) + verb_table() + "More: posternctl --help\n";
}

std::string usage_line(const Verb* verb) {
    if (verb == nullptr) return "Usage: posternctl [--socket PATH | --user] [--json] VERB [...]\n";
    auto usage = "Usage: posternctl " + std::string(verb->name);
    if (!verb->synopsis.empty()) usage += " " + std::string(verb->synopsis);
    return usage + "\n";
}

}  // namespace postern::ctl
