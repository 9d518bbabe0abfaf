#include "ctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/utf8.h"
#include "base/version.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/text.h"

namespace postern::ctl {
namespace {

constexpr std::string_view common_options =
    R"(  --socket PATH  the daemon's socket; else $POSTERN_SOCKET, else /run/postern/postern.sock
  --user         your own guard, at $XDG_RUNTIME_DIR/postern/postern.sock
  --json         JSON out, one object a line
  -h, --help     this text, or with a verb more of it
  --version      the version
)";

constexpr std::string_view examples = R"(
Examples:
  posternctl list
  posternctl describe web.restart
  posternctl run web.restart service=nginx

Exit codes: the job's own; 128+N: signal N ended the job; 2: usage; 122: arguments not valid;
123: a limit is reached, try later; 124: timed out; 125: the daemon can't be reached or broke off;
126: not permitted, or no such action; 127: the program could not be started; 130: Ctrl-C.
)";

constexpr std::string_view usage_line =
    "Usage: posternctl [--socket PATH | --user] [--json] VERB [...]\n";

constexpr std::string_view datagram_option =
    R"(  --datagram     one packet each way instead of a connection, at the socket for packets:
                 --socket PATH, else $POSTERN_DATAGRAM, else /run/postern/postern.dgram; with
                 --user $XDG_RUNTIME_DIR/postern/postern.dgram
)";

// "run, describe, check, whoami, ping"
std::string datagram_verbs() {
    std::string names;
    for (const auto& verb : verbs()) {
        if (verb.run_by_packets == nullptr) continue;
        names += (names.empty() ? "" : ", ") + std::string(verb.name);
    }
    return names;
}

std::string verb_table() {
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto& verb : verbs()) {
        rows.emplace_back("  " + std::string(verb.name), std::string(verb.summary));
    }
    return "Verbs:\n" + two_columns(rows, 0);
}

std::string general_help() {
    return std::string(usage_line) +
           "\nRuns the operations that the administrator of this machine declared.\n\n" +
           verb_table() + "\nOptions, before or after the verb:\n" + std::string(common_options) +
           "Of " + datagram_verbs() + ":\n" + std::string(datagram_option) + std::string(examples);
}

std::string verb_usage(const Verb& verb) {
    auto usage = "Usage: posternctl " + std::string(verb.name);
    if (!verb.synopsis.empty()) usage += " " + std::string(verb.synopsis);
    return usage + "\n";
}

std::string verb_help(const Verb& verb) {
    auto what = std::string(verb.summary);
    what.front() = static_cast<char>(what.front() - 'a' + 'A');
    const bool packets = verb.run_by_packets != nullptr;
    return verb_usage(verb) + "\n" + what + ".\n\n" + std::string(verb.help) +
           (packets ? "\nOptions:\n" + std::string(datagram_option) : std::string{}) +
           "\nOptions of every verb:\n" + std::string(common_options);
}

Stop misuse(const std::string& what, const Verb* verb) {
    const auto help = verb == nullptr ? std::string("posternctl --help")
                                      : "posternctl " + std::string(verb->name) + " --help";
    const auto usage = verb == nullptr ? std::string(usage_line) : verb_usage(*verb);
    return {exit_code::usage, {}, "posternctl: " + what + "\n" + usage + "More: " + help + "\n"};
}

struct Options {
    SocketChoice socket;
    bool json = false;
    bool more = false;
    bool lines = false;
    bool all = false;
    bool datagram = false;
};

void add_common(CLI::App& app, Options& options) {
    app.set_help_flag("-h,--help");
    app.add_option("--socket", options.socket.path);
    app.add_flag("--user", options.socket.user);
    app.add_flag("--json", options.json);
    app.add_flag("--datagram", options.datagram);
    app.set_version_flag("--version", std::string("posternctl ") + version);
    // Words that are no option are counted and judged here, with better messages, and are not split
    // at brackets and commas as the library would.
    app.allow_extras();
}

// Words that begin with "-" and were not taken as an option.
const std::string* unknown_option(const std::vector<std::string>& words) {
    const auto found = std::ranges::find_if(
        words, [](const std::string& word) { return word.size() > 1 && word.front() == '-'; });
    return found == words.end() ? nullptr : &*found;
}

std::variant<Task, Stop> task_of(const Verb& verb, const Options& options,
                                 std::vector<std::string> words,
                                 const SocketEnvironment& environment) {
    if (options.socket.user && options.socket.path) {
        return misuse("--user and --socket name two different sockets", &verb);
    }
    if (verb.is_call && options.lines && (!words.empty() || options.more)) {
        return misuse("--lines takes whole calls from standard input, and nothing beside it",
                      &verb);
    }
    if (verb.needs_all && !options.all) {
        return misuse(std::string(verb.name) + ": --all is missing: those of all users", &verb);
    }
    if (options.datagram && verb.run_by_packets == nullptr) {
        return misuse(
            std::string(verb.name) + ": --datagram has no meaning, it is for " + datagram_verbs(),
            &verb);
    }
    const std::size_t least = verb.is_call && !options.lines ? 1 : verb.least_words;
    if (words.size() < least) {
        const auto what = verb.synopsis.substr(0, verb.synopsis.find(' '));
        return misuse(std::string(verb.name) + ": " + std::string(what) + " is missing", &verb);
    }
    if (words.size() > verb.most_words) {
        return misuse(
            std::string(verb.name) + ": one word too many: " + in_quotes(words[verb.most_words]),
            &verb);
    }
    if (verb.offline) {
        if (options.socket.path) {
            return misuse(std::string(verb.name) + ": --socket has no meaning, it asks no daemon",
                          &verb);
        }
        return Task{&verb, Invocation{{.socket = {}, .json = options.json},
                                      options.socket.user,
                                      std::move(words)}};
    }
    SocketChoice choice = options.socket;
    choice.administrator = verb.administrator;
    choice.datagram = options.datagram || verb.packets_only;
    auto path = socket_path(choice, environment);
    if (!path) {
        return Stop{exit_code::broken, {}, "posternctl: " + path.error().message + "\n"};
    }
    return Task{&verb, Invocation{{std::move(*path), options.datagram, options.json},
                                  options.socket.user,
                                  std::move(words),
                                  options.more,
                                  options.lines}};
}

}  // namespace

std::variant<Task, Stop> parse_command_line(std::span<const std::string> words,
                                            const SocketEnvironment& environment) {
    if (words.empty()) {
        return Stop{exit_code::usage,
                    {},
                    std::string(usage_line) + verb_table() + "More: posternctl --help\n"};
    }
    // What follows "--" is words, whatever it looks like.
    const auto mark = std::ranges::find(words, "--");
    std::vector<std::string> rest(mark == words.end() ? mark : mark + 1, words.end());

    Options options;
    CLI::App app;
    add_common(app, options);
    app.require_subcommand(0, 1);
    const Verb* chosen = nullptr;
    CLI::App* chosen_app = nullptr;
    for (const auto& verb : verbs()) {
        auto* sub = app.add_subcommand(std::string(verb.name));
        add_common(*sub, options);
        if (verb.is_call) {
            sub->add_flag("--more", options.more);
            sub->add_flag("--lines", options.lines);
        }
        if (verb.needs_all) sub->add_flag("--all", options.all);
        sub->preparse_callback([&chosen, &chosen_app, &verb, sub](std::size_t) {
            chosen = &verb;
            chosen_app = sub;
        });
    }

    // The library wants them last first.
    std::vector<std::string> reversed(std::make_reverse_iterator(mark),
                                      std::make_reverse_iterator(words.begin()));
    try {
        app.parse(reversed);
    } catch (const CLI::CallForHelp&) {
        return Stop{
            exit_code::success, chosen == nullptr ? general_help() : verb_help(*chosen), {}};
    } catch (const CLI::CallForVersion&) {
        return Stop{exit_code::success, std::string("posternctl ") + version + "\n", {}};
    } catch (const CLI::ParseError& error) {
        return misuse(printable(error.what()), chosen);
    }

    auto before = app.remaining();
    if (const auto* option = unknown_option(before)) {
        return misuse("unknown option " + in_quotes(*option), chosen);
    }
    if (!before.empty() || chosen == nullptr) {
        const auto* wrong = !before.empty() ? &before.front()
                            : !rest.empty() ? &rest.front()
                                            : nullptr;
        if (wrong == nullptr) return misuse("a verb is missing", nullptr);
        return misuse("unknown verb " + in_quotes(*wrong), nullptr);
    }
    auto verb_words = chosen_app->remaining();
    if (const auto* option = unknown_option(verb_words)) {
        return misuse(std::string(chosen->name) + ": unknown option " + in_quotes(*option) +
                          " (a word that begins with - goes after --)",
                      chosen);
    }
    verb_words.insert(verb_words.end(), rest.begin(), rest.end());
    return task_of(*chosen, options, std::move(verb_words), environment);
}

}  // namespace postern::ctl
