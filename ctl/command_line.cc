#include "ctl/command_line.h"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/nearest_word.h"
#include "base/utf8.h"
#include "base/version.h"
#include "ctl/help.h"
#include "ctl/text/exit_codes.h"
#include "ctl/verbs/all_options.h"
#include "ctl/verbs/verbs.h"

namespace postern::ctl {
namespace {

// A command line, taken apart.
struct Line {
    std::vector<std::string> words;  // in their order: the verb and its words
    std::vector<std::string> rest;   // what followed "--"
    std::vector<GivenOption> options;
    // The first thing that is wrong with an option, and whether it came after the verb.
    std::string wrong;
    bool wrong_after_verb = false;

    [[nodiscard]] bool has(const Option& option) const {
        return std::ranges::find(options, option.name, &GivenOption::name) != options.end();
    }
};

std::string dashed(const Option& option) {
    return "--" + std::string(option.name);
}

// The tables as getopt_long(3) wants them.
class Options {
  public:
    Options() {
        for (const auto& option : rows_) {
            const bool flag = option.value.empty();
            names_.emplace_back(option.name);
            if (option.letter != 0) letters_ += option.letter + std::string(flag ? "" : ":");
        }
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            const int value = rows_[i].value.empty() ? no_argument : required_argument;
            long_.push_back({names_[i].c_str(), value, nullptr, any_long});
        }
        long_.push_back({});
    }

    [[nodiscard]] const char* letters() const { return letters_.c_str(); }
    [[nodiscard]] const ::option* long_options() const { return long_.data(); }

    // The row that a word means; nullptr: none. `letter`: where the word is of short options.
    //
    // Only a whole name counts, though getopt_long takes an abbreviation as well: a script that
    // uses one breaks on the day on which another option begins with the same letters.
    [[nodiscard]] const Option* row(std::string_view word, int letter) const {
        const bool is_long = word.starts_with("--");
        const auto name = is_long ? word.substr(2, word.find('=') - 2) : std::string_view{};
        const auto found = std::ranges::find_if(rows_, [&](const Option& option) {
            return is_long ? option.name == name : option.letter != 0 && option.letter == letter;
        });
        return found == rows_.end() ? nullptr : &*found;
    }

  private:
    static constexpr int any_long = 256;  // no letter, and none of getopt's own answers

    static std::vector<Option> all() {
        std::vector<Option> rows(common_options.begin(), common_options.end());
        for (const auto& option : own_options()) rows.push_back(option);
        return rows;
    }

    std::vector<Option> rows_ = all();
    std::vector<std::string> names_;
    // "-": words that are no options come in their order, and nothing is permuted; ":": a value
    // that is missing is told apart from an unknown option.
    std::string letters_ = "-:";
    std::vector<::option> long_;
};

constexpr int plain_word = 1;  // getopt's answer to "-"

// What is wrong with an option; empty: nothing, and it was added to the line.
std::string take_option(Line& line, const Option* option, const std::string& word, int answer) {
    if (option == nullptr) {
        const bool could_be_a_word = !line.words.empty();
        return "unknown option " + in_quotes(word) +
               (could_be_a_word ? " (write -- before a word that begins with -)" : "");
    }
    if (answer == ':') return dashed(*option) + ": " + std::string(option->value) + " is required";
    if (answer == '?') return dashed(*option) + " takes no value";
    // Which of two is meant is not guessed; a flag means the same twice.
    if (!option->value.empty() && !option->repeats && line.has(*option)) {
        const auto before = std::ranges::find(line.options, option->name, &GivenOption::name);
        if (before->value == optarg) return {};
        return dashed(*option) + " is given twice, as " + in_quotes(before->value) + " and as " +
               in_quotes(optarg) + "; give one of them";
    }
    line.options.push_back({option->name, option->value.empty() ? "" : optarg});
    return {};
}

Line take_apart(std::span<const std::string> words) {
    const Options options;
    Line line;
    // getopt takes them for writable, and the program's name for the first.
    std::vector<std::string> copies = {"posternctl"};
    copies.insert(copies.end(), words.begin(), words.end());
    std::vector<char*> argv;
    argv.reserve(copies.size() + 1);
    for (auto& copy : copies) argv.push_back(copy.data());
    argv.push_back(nullptr);

    optind = 0;  // from the start, whatever was parsed before
    opterr = 0;  // says nothing by itself
    for (;;) {
        // Of several letters in one word each is an answer, and optind stays until the last.
        const auto at = static_cast<std::size_t>(std::max(optind, 1));
        const int answer = getopt_long(static_cast<int>(copies.size()), argv.data(),
                                       options.letters(), options.long_options(), nullptr);
        if (answer == -1) break;
        const auto& word = copies[at];
        if (answer == plain_word) {
            line.words.push_back(word);
            continue;
        }
        const int letter = answer == '?' || answer == ':' ? optopt : answer;
        auto wrong = take_option(line, options.row(word, letter), word, answer);
        if (wrong.empty() || !line.wrong.empty()) continue;
        line.wrong = std::move(wrong);
        line.wrong_after_verb = !line.words.empty();
    }
    line.rest.assign(copies.begin() + optind, copies.end());
    return line;
}

const Verb* verb_named(std::string_view name) {
    const auto found =
        std::ranges::find_if(verbs(), [&](const Verb* verb) { return verb->name == name; });
    return found == verbs().end() ? nullptr : *found;
}

Stop misuse(const std::string& what, const Verb* verb) {
    const auto help = verb == nullptr ? std::string("posternctl --help")
                                      : "posternctl " + std::string(verb->name) + " --help";
    return {exit_code::usage,
            {},
            "posternctl: " + what + "\n" + usage_line(verb) + "More: " + help + "\n"};
}

Stop misuse_of(const Verb& verb, const std::string& what) {
    return misuse(std::string(verb.name) + ": " + what, &verb);
}

// What other programs call it.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> called_elsewhere = {
    {{"start", "run"}, {"exec", "run"}, {"stop", "cancel"}, {"kill", "cancel"}}};

Stop unknown_verb(const std::string& word) {
    std::vector<std::string_view> names;
    for (const auto* verb : verbs()) names.push_back(verb->name);
    const auto* const elsewhere = std::ranges::find(
        called_elsewhere, word, &std::pair<std::string_view, std::string_view>::first);
    const auto nearest =
        elsewhere == called_elsewhere.end() ? nearest_word(word, names) : elsewhere->second;
    const bool suggests = !nearest.empty() && nearest != word;
    return misuse("unknown verb " + in_quotes(word) +
                      (suggests ? "; did you mean " + std::string(nearest) + "?" : ""),
                  nullptr);
}

// "help [VERB]", as many other programs have it.
Stop help_on(std::span<const std::string> words) {
    if (words.empty()) return Stop{exit_code::success, general_help(), {}};
    const auto* const verb = verb_named(words.front());
    if (verb == nullptr) return unknown_verb(words.front());
    return Stop{exit_code::success, verb_help(*verb), {}};
}

// An option that other verbs take.
std::optional<Stop> foreign_option(const Verb& verb, const Line& line) {
    for (const auto& given : line.options) {
        const auto has = [&](std::span<const Option> table) {
            return std::ranges::find(table, given.name, &Option::name) != table.end();
        };
        if (has(common_options) || has(verb.options)) continue;
        return misuse_of(verb, "--" + std::string(given.name) + " does not apply here; it is for " +
                                   verbs_with(given.name));
    }
    return std::nullopt;
}

std::optional<Stop> wrong_words(const Verb& verb, const std::vector<std::string>& words) {
    if (words.size() < verb.least_words) {
        const auto what = verb.synopsis.substr(0, verb.synopsis.find(' '));
        return misuse_of(verb, std::string(what) + " is required");
    }
    if (words.size() > verb.most_words) {
        return misuse_of(verb, "one word too many: " + in_quotes(words[verb.most_words]));
    }
    return std::nullopt;
}

std::variant<Task, Stop> task_of(const Verb& verb, Line line,
                                 const SocketEnvironment& environment) {
    if (auto stop = foreign_option(verb, line)) return std::move(*stop);
    Invocation invocation;
    invocation.words.assign(line.words.begin() + 1, line.words.end());
    invocation.words.insert(invocation.words.end(), line.rest.begin(), line.rest.end());
    invocation.options = std::move(line.options);
    const auto* path = invocation.value_of(option_socket);
    const bool user = invocation.given(option_user);
    if (user && path != nullptr) {
        return misuse("--user and --socket name two different sockets", &verb);
    }
    if (verb.objection != nullptr) {
        if (const auto what = verb.objection(invocation); !what.empty()) return misuse(what, &verb);
    }
    if (auto stop = wrong_words(verb, invocation.words)) return std::move(*stop);
    invocation.target.json = invocation.given(option_json);
    const Asks asks = verb.asks_with != nullptr ? verb.asks_with(invocation) : verb.asks;
    if (asks == Asks::nobody) {
        if (path == nullptr) return Task{&verb, std::move(invocation)};
        return misuse_of(verb, "--socket does not apply here; no daemon is asked");
    }
    invocation.target.datagram = asks == Asks::by_packets || invocation.given(option_datagram);
    auto socket = socket_path({.path = path == nullptr ? std::nullopt : std::optional(*path),
                               .user = user,
                               .administrator = asks == Asks::administrator,
                               .datagram = invocation.target.datagram},
                              environment);
    if (!socket) {
        return Stop{exit_code::broken, {}, "posternctl: " + socket.error().message + "\n"};
    }
    invocation.target.socket = std::move(*socket);
    invocation.target.administrator_socket =
        administrator_socket_of(invocation.target.socket, environment);
    return Task{&verb, std::move(invocation)};
}

}  // namespace

std::variant<Task, Stop> parse_command_line(std::span<const std::string> words,
                                            const SocketEnvironment& environment) {
    if (words.empty()) return Stop{exit_code::usage, {}, short_usage()};
    auto line = take_apart(words);
    const auto* verb = line.words.empty() ? nullptr : verb_named(line.words.front());

    // Who asks for help is helped, whatever else is wrong; but not about what is no verb. Else what
    // is wrong first is said first.
    const bool helps = line.has(option_help);
    const bool tells = helps || line.has(option_version);
    if (!line.wrong.empty() && !line.wrong_after_verb && !tells) return misuse(line.wrong, verb);
    if (verb == nullptr && !line.words.empty()) {
        if (line.words.front() == "help") return help_on(std::span(line.words).subspan(1));
        return unknown_verb(line.words.front());
    }
    if (verb == nullptr && !line.rest.empty()) return unknown_verb(line.rest.front());
    if (helps) {
        return Stop{exit_code::success, verb == nullptr ? general_help() : verb_help(*verb), {}};
    }
    if (tells) return Stop{exit_code::success, std::string("posternctl ") + version + "\n", {}};
    if (verb == nullptr) return misuse("a verb is required", nullptr);
    if (!line.wrong.empty()) return misuse_of(*verb, line.wrong);
    return task_of(*verb, std::move(line), environment);
}

}  // namespace postern::ctl
