#include "ctl/command_line.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "base/version.h"
#include "ctl/help.h"
#include "ctl/text/exit_codes.h"
#include "ctl/verbs/verbs.h"
#include "tests/unit/file_text.h"

namespace postern::ctl {

// For messages of the cases below.
void PrintTo(const Verb& verb, std::ostream* out) {
    *out << verb.name;
}

namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using Words = std::vector<std::string>;

SocketEnvironment environment() {
    return {.postern_socket = {},
            .postern_datagram = {},
            .xdg_runtime_dir = "/run/user/7",
            .tmpdir = {}};
}

std::variant<Task, Stop> parse(const Words& words) {
    return parse_command_line(words, environment());
}

// As a person would read it in the report of a failure.
std::string shown(const Words& words) {
    std::string text = "posternctl";
    for (const auto& word : words) text += " <" + word + ">";
    return text;
}

std::string what_of(const std::variant<Task, Stop>& parsed) {
    const auto* stop = std::get_if<Stop>(&parsed);
    return stop == nullptr ? "a task" : stop->out + stop->err;
}

const Verb* verb_named(std::string_view name) {
    for (const auto* verb : verbs()) {
        if (verb->name == name) return verb;
    }
    return nullptr;
}

// ---- What is understood ----

struct Right {
    Words line;
    std::string verb;
    Words words;  // after the verb
    std::string socket = system_socket;
    std::vector<std::string> options = {};  // their names, as they came
};

const std::vector<Right> rights = {
    {{"list"}, "list", {}},
    {{"run", "a"}, "run", {"a"}},
    {{"run", "a", "b=c", "d=e"}, "run", {"a", "b=c", "d=e"}},
    // Options before and after the verb, and among its words.
    {{"--json", "list"}, "list", {}, system_socket, {"json"}},
    {{"list", "--json"}, "list", {}, system_socket, {"json"}},
    {{"run", "a", "--json", "b=c"}, "run", {"a", "b=c"}, system_socket, {"json"}},
    {{"run", "a", "b=c", "--json"}, "run", {"a", "b=c"}, system_socket, {"json"}},
    {{"--json", "run", "--json", "a", "--json"},
     "run",
     {"a"},
     system_socket,
     {"json", "json", "json"}},
    {{"--more", "call", "a.b"}, "call", {"a.b"}, system_socket, {"more"}},
    {{"call", "a.b", "{}", "--more"}, "call", {"a.b", "{}"}, system_socket, {"more"}},
    {{"call", "--lines"}, "call", {}, system_socket, {"lines"}},
    {{"jobs", "--all"}, "jobs", {}, system_admin_socket, {"all"}},
    {{"--all", "jobs"}, "jobs", {}, system_admin_socket, {"all"}},
    {{"jobs"}, "jobs", {}},
    {{"jobs", "--state", "running", "--limit=5", "--since", "2h", "--action", "a"},
     "jobs",
     {},
     system_socket,
     {"state", "limit", "since", "action"}},
    {{"show", "3f1c"}, "show", {"3f1c"}},
    {{"show", "--all", "3f1c"}, "show", {"3f1c"}, system_admin_socket, {"all"}},
    {{"logs", "--all", "3f1c"}, "logs", {"3f1c"}, system_admin_socket, {"all"}},
    {{"attach", "3f1c", "--all"}, "attach", {"3f1c"}, system_admin_socket, {"all"}},
    {{"--all", "wait", "3f1c", "3f1d"}, "wait", {"3f1c", "3f1d"}, system_admin_socket, {"all"}},
    {{"cancel", "3f1c", "--all"}, "cancel", {"3f1c"}, system_admin_socket, {"all"}},
    {{"attach", "3f1c", "--all", "--user"},
     "attach",
     {"3f1c"},
     "/run/user/7/postern-admin/admin.sock",
     {"all", "user"}},
    {{"attach", "3f1c", "--all", "--socket", "/s"}, "attach", {"3f1c"}, "/s", {"all", "socket"}},
    // Values of options.
    {{"--socket", "/s", "list"}, "list", {}, "/s", {"socket"}},
    {{"--socket=/s", "list"}, "list", {}, "/s", {"socket"}},
    {{"list", "--socket", "/s"}, "list", {}, "/s", {"socket"}},
    {{"list", "--socket=/s=t"}, "list", {}, "/s=t", {"socket"}},
    {{"run", "--socket", "/list", "list"}, "run", {"list"}, "/list", {"socket"}},
    // "--" ends options; what follows keeps its order, and a second one is a word.
    {{"run", "--", "a", "--json"}, "run", {"a", "--json"}},
    {{"run", "a", "--", "-b=c", "--", "d=e"}, "run", {"a", "-b=c", "--", "d=e"}},
    {{"run", "a", "x=1", "--json", "--", "--y=2", "-h", "z=3"},
     "run",
     {"a", "x=1", "--y=2", "-h", "z=3"},
     system_socket,
     {"json"}},
    {{"list", "--"}, "list", {}},
    // Words that are no options, however odd.
    {{"run", "a", "n=-5", "e==", "o=--json", "s= "},
     "run",
     {"a", "n=-5", "e==", "o=--json", "s= "}},
    {{"run", "", "", "-"}, "run", {"", "", "-"}},
    {{"run", "[a,b]", "{}", "\n", "\xff\xfe", "\x01", "\u00e4=\u00f6", "?", ":"},
     "run",
     {"[a,b]", "{}", "\n", "\xff\xfe", "\x01", "\u00e4=\u00f6", "?", ":"}},
    {{"run", "run", "list"}, "run", {"run", "list"}},
    // Which socket.
    {{"--user", "list"}, "list", {}, "/run/user/7/postern/postern.sock", {"user"}},
    {{"ping", "--datagram"}, "ping", {}, system_datagram_socket, {"datagram"}},
    {{"--datagram", "--user", "run", "a"},
     "run",
     {"a"},
     "/run/user/7/postern/postern.dgram",
     {"datagram", "user"}},
    {{"notify", "a", "b:=1"}, "notify", {"a", "b:=1"}, system_datagram_socket},
    {{"status"}, "status", {}, system_admin_socket},
    {{"--user", "log-level", "info"},
     "log-level",
     {"info"},
     "/run/user/7/postern-admin/admin.sock",
     {"user"}},
    {{"lint", "--user", "a.json"}, "lint", {"a.json"}, "", {"user"}},
};

TEST(CtlCommandLine, UnderstandsOptionsWhereverTheyStand) {
    for (const auto& right : rights) {
        SCOPED_TRACE(shown(right.line));
        const auto parsed = parse(right.line);
        const auto* task = std::get_if<Task>(&parsed);
        ASSERT_NE(task, nullptr) << what_of(parsed);
        EXPECT_EQ(task->verb->name, right.verb);
        EXPECT_THAT(task->invocation.words, ElementsAreArray(right.words));
        EXPECT_EQ(task->invocation.target.socket, right.socket);
        std::vector<std::string> names;
        for (const auto& option : task->invocation.options) names.emplace_back(option.name);
        EXPECT_THAT(names, ElementsAreArray(right.options));
        const auto has = [&](const char* name) {
            return std::ranges::find(right.options, name) != right.options.end();
        };
        EXPECT_EQ(task->invocation.target.json, has("json"));
        EXPECT_EQ(task->invocation.target.datagram, has("datagram") || right.verb == "notify");
    }
}

TEST(CtlCommandLine, IsTheSameWhateverTheEnvironmentSaysOfOptions) {
    ASSERT_EQ(setenv("POSIXLY_CORRECT", "1", 1), 0);
    const auto parsed = parse({"run", "a", "--json", "b=c"});
    ASSERT_EQ(unsetenv("POSIXLY_CORRECT"), 0);
    const auto* task = std::get_if<Task>(&parsed);
    ASSERT_NE(task, nullptr) << what_of(parsed);
    EXPECT_TRUE(task->invocation.target.json);
    EXPECT_THAT(task->invocation.words, ElementsAreArray({"a", "b=c"}));
}

TEST(CtlCommandLine, NamesTheSocketThatCanNotBe) {
    for (const auto& [words, said] : std::vector<std::pair<Words, std::string>>{
             {{"--socket=", "list"}, "--socket: the path of the socket is empty"},
             {{"--socket", "", "list"}, "--socket: the path of the socket is empty"},
             {{"--socket", "--json", "list"},
              "--socket: --json: not an absolute path; the path of a socket begins with /"},
         }) {
        const auto parsed = parse(words);
        const auto* stop = std::get_if<Stop>(&parsed);
        ASSERT_NE(stop, nullptr) << shown(words);
        EXPECT_EQ(stop->code, exit_code::broken);
        EXPECT_EQ(stop->err, "posternctl: " + said + "\n");
    }
}

// ---- What is not ----

struct Wrong {
    Words line;
    std::string said;
    std::string verb = {};  // whose usage is shown; empty: the general one
};

const std::string after_dashes = " (write -- before a word that begins with -)";

const std::vector<Wrong> wrongs = {
    // Verbs.
    {{"--json"}, "a verb is required"},
    {{"--"}, "a verb is required"},
    {{"nonsense"}, "unknown verb \"nonsense\""},
    {{"lst"}, "unknown verb \"lst\"; did you mean list?"},
    {{"statsu", "--json"}, "unknown verb \"statsu\"; did you mean status?"},
    {{"loglevel", "info"}, "unknown verb \"loglevel\"; did you mean log-level?"},
    {{"List"}, "unknown verb \"List\"; did you mean list?"},
    {{"start", "hello"}, "unknown verb \"start\"; did you mean run?"},
    {{"exec"}, "unknown verb \"exec\"; did you mean run?"},
    {{"stop", "5fab"}, "unknown verb \"stop\"; did you mean cancel?"},
    {{"kill"}, "unknown verb \"kill\"; did you mean cancel?"},
    {{"help", "nonsense"}, "unknown verb \"nonsense\""},
    {{"help", "lst"}, "unknown verb \"lst\"; did you mean list?"},
    {{"--", "help"}, "unknown verb \"help\""},
    {{""}, "unknown verb \"\""},
    {{"-"}, "unknown verb \"-\""},
    {{"--", "list"}, "unknown verb \"list\""},
    {{"nonsense", "run", "a"}, "unknown verb \"nonsense\""},
    {{"lo\ng"}, "unknown verb \"lo\\u000ag\""},
    // Unknown options. What is wrong first is said first.
    {{"--nonsense"}, "unknown option \"--nonsense\""},
    {{"--nonsense", "word"}, "unknown option \"--nonsense\""},
    {{"word", "--nonsense"}, "unknown verb \"word\""},
    {{"--nonsense", "--other", "list"}, "unknown option \"--nonsense\"", "list"},
    {{"run", "a", "--nonsense"}, "run: unknown option \"--nonsense\"" + after_dashes, "run"},
    {{"run", "a", "--b=c"}, "run: unknown option \"--b=c\"" + after_dashes, "run"},
    {{"run", "a", "-5"}, "run: unknown option \"-5\"" + after_dashes, "run"},
    {{"run", "a", "-xyz", "b=c"}, "run: unknown option \"-xyz\"" + after_dashes, "run"},
    {{"run", "a", "-\u00e4"}, "run: unknown option \"-\u00e4\"" + after_dashes, "run"},
    {{"run", "a", "-?"}, "run: unknown option \"-?\"" + after_dashes, "run"},
    {{"run", "a", "-:"}, "run: unknown option \"-:\"" + after_dashes, "run"},
    {{"list", "--=x"}, "list: unknown option \"--=x\"" + after_dashes, "list"},
    {{"-json", "list"}, "unknown option \"-json\"", "list"},
    // No abbreviation, with or without what it would need.
    {{"--jso", "list"}, "unknown option \"--jso\"", "list"},
    {{"--hel"}, "unknown option \"--hel\""},
    {{"--socke", "/s", "list"}, "unknown option \"--socke\"", "list"},
    {{"--socke=/s", "list"}, "unknown option \"--socke=/s\"", "list"},
    {{"list", "--sock"}, "list: unknown option \"--sock\"" + after_dashes, "list"},
    {{"list", "--u=x"}, "list: unknown option \"--u=x\"" + after_dashes, "list"},
    // Values.
    {{"--socket"}, "--socket: PATH is required"},
    {{"list", "--socket"}, "list: --socket: PATH is required", "list"},
    {{"--json=yes", "list"}, "--json takes no value", "list"},
    {{"list", "--json="}, "list: --json takes no value", "list"},
    {{"--socket", "/s", "list", "--socket=/t"},
     "list: --socket is given twice, as \"/s\" and as \"/t\"; give one of them",
     "list"},
    {{"--user", "--socket", "/s", "list"},
     "--user and --socket name two different sockets",
     "list"},
    {{"lint", "--socket", "/s", "a"},
     "lint: --socket does not apply here; no daemon is asked",
     "lint"},
    // Options of other verbs.
    {{"list", "--more"}, "list: --more does not apply here; it is for call", "list"},
    {{"--all", "status"},
     "status: --all does not apply here; it is for attach, logs, wait, jobs, show and cancel",
     "status"},
    {{"notify", "a", "--datagram"},
     "notify: --datagram does not apply here; it is for run, describe, check, whoami and ping",
     "notify"},
    // Words, and options that do not go with them.
    {{"call", "--lines", "a.b"},
     "--lines reads whole calls from standard input; give no METHOD, JSON or --more with it",
     "call"},
    {{"call", "--lines", "--more"},
     "--lines reads whole calls from standard input; give no METHOD, JSON or --more with it",
     "call"},
    {{"call", "--more"}, "call: METHOD is required", "call"},
    {{"jobs", "--limit", "-1"},
     "jobs: --limit: \"-1\" is not a number of jobs; give 1 or more, or 0 for all",
     "jobs"},
    {{"jobs", "--limit", "10x"},
     "jobs: --limit: \"10x\" is not a number of jobs; give 1 or more, or 0 for all",
     "jobs"},
    {{"jobs", "--state", "lost"},
     "jobs: --state: \"lost\" is not a state; give starting, running, ended or failed",
     "jobs"},
    {{"jobs", "--failed", "--state", "running"},
     "jobs: --state and --failed can't be combined; give one of them",
     "jobs"},
    {{"log-level", "verbose"},
     "log-level: \"verbose\" is not a log level; give debug, info, warning, error or critical",
     "log-level"},
    {{"log-level", "warn"},
     "log-level: \"warn\" is not a log level; give debug, info, warning, error or critical",
     "log-level"},
    {{"cancel", "--all"}, "cancel: JOB is required", "cancel"},
    {{"jobs", "--since", "yesterday"},
     "jobs: --since: \"yesterday\" is not a point in time; write for example 10m, 2h or 1d (an "
     "age), 2026-11-01 or \"2026-11-01 12:00\"",
     "jobs"},
    {{"ping", "--", "--json"}, "ping: one word too many: \"--json\"", "ping"},
    {{"list", ""}, "list: one word too many: \"\"", "list"},
};

void expect_misuse(const Words& words, const std::string& said, std::string_view verb) {
    SCOPED_TRACE(shown(words));
    const auto parsed = parse(words);
    const auto* stop = std::get_if<Stop>(&parsed);
    ASSERT_NE(stop, nullptr);
    EXPECT_EQ(stop->code, exit_code::usage);
    EXPECT_THAT(stop->out, IsEmpty());
    const auto* row = verb.empty() ? nullptr : verb_named(verb);
    const auto help = "posternctl " + std::string(verb) + (verb.empty() ? "" : " ") + "--help";
    EXPECT_EQ(stop->err, "posternctl: " + said + "\n" + usage_line(row) + "More: " + help + "\n");
}

TEST(CtlCommandLine, SaysWhatIsWrong) {
    for (const auto& wrong : wrongs) expect_misuse(wrong.line, wrong.said, wrong.verb);
}

TEST(CtlCommandLine, CountsTheWordsOfEveryVerb) {
    for (const auto* verb : verbs()) {
        SCOPED_TRACE(verb->name);
        const std::string name(verb->name);
        // What is of a list is held against it.
        const auto word = [&](std::size_t i) {
            return verb->listed.empty() ? "w" + std::to_string(i)
                                        : std::string(verb->listed.front());
        };
        const auto line = [&](std::size_t count) {
            Words words = {name};
            for (std::size_t i = 0; i < count; ++i) words.emplace_back(word(i));
            return words;
        };
        // What these want depends on their options.
        const std::size_t least = name == "call" || name == "cancel" ? 1 : verb->least_words;
        if (least > 0) {
            const auto what = std::string(verb->synopsis.substr(0, verb->synopsis.find(' ')));
            expect_misuse(line(least - 1), name + ": " + what + " is required", name);
        }
        EXPECT_TRUE(std::holds_alternative<Task>(parse(line(least))))
            << what_of(parse(line(least)));
        const std::size_t most = verb->most_words == any_number ? 50 : verb->most_words;
        EXPECT_TRUE(std::holds_alternative<Task>(parse(line(most)))) << what_of(parse(line(most)));
        if (verb->most_words == any_number) continue;
        expect_misuse(line(most + 1), name + ": one word too many: \"" + word(most) + "\"", name);
    }
}

TEST(CtlCommandLine, SaysLittleToThoseWhoTypeNothing) {
    const auto parsed = parse({});
    const auto* stop = std::get_if<Stop>(&parsed);
    ASSERT_NE(stop, nullptr);
    EXPECT_EQ(stop->code, exit_code::usage);
    EXPECT_THAT(stop->out, IsEmpty());
    EXPECT_THAT(stop->err, StartsWith("Usage: posternctl "));
}

// ---- Help ----

TEST(CtlCommandLine, HelpsWhateverElseIsWrong) {
    const auto run = verb_help(*verb_named("run"));
    for (const auto& [words, text] : std::vector<std::pair<Words, std::string>>{
             {{"--help"}, general_help()},
             {{"-h"}, general_help()},
             {{"--json", "-h", "--user"}, general_help()},
             {{"--nonsense", "--help"}, general_help()},
             {{"run", "--help"}, run},
             {{"--help", "run"}, run},
             {{"-h", "run", "a"}, run},
             {{"run", "a", "b", "-h"}, run},
             {{"run", "--nonsense", "--help", "--socket"}, run},
             {{"--all", "run", "--help"}, run},
             {{"run", "--version", "--help"}, run},
             {{"jobs", "--help"}, verb_help(*verb_named("jobs"))},
             {{"help"}, general_help()},
             {{"--json", "help"}, general_help()},
             {{"help", "--help"}, general_help()},
             {{"help", "run"}, run},
             {{"help", "run", "a"}, run},
             {{"help", "run", "--json"}, run},
         }) {
        SCOPED_TRACE(shown(words));
        const auto parsed = parse(words);
        const auto* stop = std::get_if<Stop>(&parsed);
        ASSERT_NE(stop, nullptr);
        EXPECT_EQ(stop->code, exit_code::success);
        EXPECT_EQ(stop->out, text);
        EXPECT_THAT(stop->err, IsEmpty());
    }
    const auto parsed = parse({"run", "--", "--help"});
    EXPECT_TRUE(std::holds_alternative<Task>(parsed));
}

TEST(CtlCommandLine, KnowsNoHelpForWhatIsNoVerb) {
    for (const Words& words :
         {Words{"nonsense", "--help"}, Words{"--help", "nonsense"}, Words{"-h", "nonsense", "list"},
          Words{"--help", "--", "nonsense"}, Words{"--version", "nonsense"}}) {
        expect_misuse(words, "unknown verb \"nonsense\"", "");
    }
    expect_misuse({"pin", "--help"}, "unknown verb \"pin\"; did you mean ping?", "");
}

TEST(CtlCommandLine, TellsItsVersion) {
    for (const Words& words : {Words{"--version"}, Words{"run", "--version"}}) {
        const auto parsed = parse(words);
        const auto* stop = std::get_if<Stop>(&parsed);
        ASSERT_NE(stop, nullptr);
        EXPECT_EQ(stop->code, exit_code::success);
        EXPECT_EQ(stop->out, std::string("posternctl ") + version + "\n");
    }
}

TEST(CtlHelp, FitsATerminal) {
    auto texts = std::vector<std::string>{general_help()};
    for (const auto* verb : verbs()) texts.push_back(verb_help(*verb));
    for (const auto& text : texts) {
        for (const auto& line : lines_of(text)) EXPECT_LE(line.size(), 100U) << line;
        EXPECT_THAT(text, Not(HasSubstr("\n\n\n")));
    }
}

TEST(CtlHelp, ShowsEveryOptionWhereItBelongs) {
    for (const auto* verb : verbs()) {
        SCOPED_TRACE(verb->name);
        const auto help = verb_help(*verb);
        for (const auto& option : common_options) {
            EXPECT_THAT(help, HasSubstr("--" + std::string(option.name)));
        }
        EXPECT_EQ(help.find("\nOptions:\n") == std::string::npos, verb->options.empty());
        for (const auto& option : verb->options) {
            auto line = std::string("\n  ");
            if (option.letter != 0) line += std::string{'-', option.letter} + ", ";
            line += "--" + std::string(option.name) + " ";
            EXPECT_THAT(help, HasSubstr(line));
            EXPECT_THAT(general_help(), HasSubstr(line));
        }
    }
    EXPECT_THAT(general_help(), HasSubstr("\n  --version      the version\nOptions of run:\n"));
    EXPECT_THAT(general_help(), HasSubstr("\nOptions of run, describe, check, whoami and ping:\n"
                                          "  --datagram     one datagram each way instead of a "
                                          "connection, at the datagram socket:\n"
                                          "                 --socket PATH, else "));
    EXPECT_THAT(general_help(), HasSubstr("\n  -h, --help     show this help, "));
}

}  // namespace
}  // namespace postern::ctl
