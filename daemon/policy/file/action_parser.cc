#include "daemon/policy/file/action_parser.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "daemon/policy/file/argument_declaration.h"
#include "daemon/policy/file/command_line.h"
#include "daemon/policy/file/document.h"
#include "daemon/policy/file/other_words.h"
#include "daemon/policy/file/rules.h"
#include "daemon/policy/file/run_as.h"
#include "daemon/policy/file/sandbox.h"
#include "daemon/policy/template.h"
#include "host/safe_program.h"

namespace postern::policy {
namespace {

constexpr std::chrono::microseconds longest_timeout = std::chrono::days(30);

// As the limit storedOutput may be.
constexpr std::uint64_t most_stored = std::uint64_t{1} << 40;

constexpr std::string_view default_search_path =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr std::array<Key, 22> top_keys = {{
    {"summary", {}},      {"description", {}},
    {"exec", {}},         {"stdin", {}},
    {"input", {}},        {"output", {}},
    {"arguments", {}},    {"allow", {}},
    {"deny", {}},         {"user", {}},
    {"group", {}},        {"groups", {}},
    {"environment", {}},  {"workingDirectory", {}},
    {"timeout", {}},      {"onDisconnect", {}},
    {"datagram", {}},     {"stderr", {}},
    {"storedOutput", {}}, {"sandbox", {}},
    {"$schema", {}},      {"sudoCompatible", {}},
}};

bool is_environment_name(std::string_view name) {
    const auto is_letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    if (name.empty() || !is_letter(name.front())) return false;
    return std::ranges::all_of(name,
                               [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

class Parser {
  public:
    Parser(Document& document, const LoadOptions& options)
        : document_(document), options_(options), root_(document.root()) {}

    Result<Action> parse(std::string_view name) {
        report_properties();
        if (document_.check_keys(root_, top_keys, other_words_of_actions)) {
            action_.description.name = name;
            action_.file = document_.file();
            read_texts();
            read_arguments();
            read_exec();
            read_stdin();
            check_use();
            read_input();
            read_output();
            read_stderr();
            read_stored_output();
            read_sandbox();
            read_rules_and_user();
            read_sudo_compatible();
            read_environment();
            check_program();
            read_working_directory();
            read_timeout();
            read_on_disconnect();
            read_datagram();
        }
        if (auto error = document_.first_error()) return Unexpected(*std::move(error));
        action_.warnings = document_.warnings();
        return std::move(action_);
    }

  private:
    [[nodiscard]] std::optional<Node> member(std::string_view key) const {
        return document_.member(root_, key);
    }

    std::optional<Node> required(std::string_view key, std::string_view example) {
        auto node = member(key);
        if (!node) document_.report_required(root_, key, example);
        return node;
    }

    // Of systemd, beside the keys of actions.
    void report_properties() {
        if (!root_.value->is_object()) return;
        for (const auto& [name, value] : root_.value->items()) {
            if (!is_sandbox_property(name)) continue;
            document_.report_key(*member(name), R"(belongs in "sandbox"; write "sandbox": {)" +
                                                    as_json(name) + ": ...}");
        }
    }

    void read_texts() {
        // For editors; which schema it is makes no difference here.
        if (const auto schema = member("$schema")) static_cast<void>(document_.text(*schema));
        if (const auto node = required("summary", R"("summary": "what it does")")) {
            if (const auto text = document_.text(*node)) {
                if (text->empty()) document_.report(*node, "is empty; say what the action does");
                if (text->size() > limits::action_summary_bytes) {
                    document_.report(*node, "is longer than " +
                                                std::to_string(limits::action_summary_bytes) +
                                                " bytes; move the details to \"description\"");
                }
                if (const auto forbidden = forbidden_character(*text)) {
                    document_.report(*node, "contains " + *forbidden + "; remove it");
                }
                action_.description.summary = *text;
            }
        }
        const auto node = member("description");
        if (!node) return;
        const auto text = document_.text(*node);
        if (!text) return;
        std::string in_one_line = *text;
        std::ranges::replace(in_one_line, '\n', ' ');
        std::ranges::replace(in_one_line, '\t', ' ');
        if (const auto forbidden = forbidden_character(in_one_line)) {
            document_.report(*node, "contains " + *forbidden + "; remove it");
        }
        action_.description.description = *text;
    }

    void read_arguments() {
        const auto node = member("arguments");
        if (!node) return;
        if (node->value->is_array()) {
            document_.report(
                *node, "must be an object, not a list; write {\"NAME\": {\"type\": \"string\"}}");
            return;
        }
        const auto members = document_.members(*node);
        if (!members) return;
        for (const auto& [name, value] : *members) {
            argument_nodes_.emplace(name, value);
            auto declaration = read_argument(document_, name, value);
            if (!declaration) continue;
            if (declaration->pattern) {
                action_.patterns.emplace(name, std::move(declaration->pattern));
            }
            action_.description.arguments.push_back(std::move(declaration->spec));
        }
    }

    [[nodiscard]] const ArgumentSpec* argument(std::string_view name) const {
        const auto& specs = action_.description.arguments;
        const auto found = std::ranges::find_if(
            specs, [&](const ArgumentSpec& spec) { return spec.name == name; });
        return found == specs.end() ? nullptr : &*found;
    }

    // A text with placeholders; which arguments may stand where is asked by the caller.
    std::optional<Template> read_template(const Node& node) {
        const auto text = document_.text(node);
        if (!text) return std::nullopt;
        Result<Template> pieces = parse_template(*text);
        if (!pieces) {
            document_.report(node, pieces.error().message);
            return std::nullopt;
        }
        for (const Piece& piece : *pieces) {
            if (!piece.placeholder) continue;
            used_.insert(piece.text);
            if (!argument_nodes_.contains(piece.text)) {
                document_.report(node, "there is no argument " + in_quotes(piece.text) +
                                           "; declare it in \"arguments\" or correct the name");
            }
        }
        return std::move(pieces).value();
    }

    void read_exec() {
        const auto node = required("exec", R"("exec": ["/path/to/program", "argument"])");
        if (!node) return;
        if (node->value->is_string()) return report_line(*node);
        if (node->value->is_object()) {
            document_.report(*node,
                             "must be a list of words, not an object; write "
                             R"(["/path/to/program", "argument"])");
            return;
        }
        const auto elements = document_.elements(*node);
        if (!elements) return;
        if (elements->empty()) {
            document_.report(*node, "is empty; name the program as the first element");
            return;
        }
        exec_nodes_ = *elements;
        read_program(elements->front());
        for (std::size_t i = 1; i < elements->size(); ++i) read_element(elements->at(i));
    }

    // A command as a shell has it.
    void report_line(const Node& node) {
        const auto words = command_words(node.value->get<std::string>(), default_search_path);
        document_.report(
            node, "must be a list of words, not a string; " +
                      (words ? "write [" + *words + ']'
                             : std::string("no shell reads it, so make a script of it and write "
                                           "[\"/path/to/script\"]")));
    }

    void read_program(const Node& node) {
        const auto pieces = read_template(node);
        if (!pieces) return;
        if (pieces->size() != 1 || pieces->front().placeholder) {
            document_.report(node, pieces->empty()
                                       ? "is empty; write the program's path from / on"
                                       : "the program can't depend on an argument; write its path "
                                         "from / on");
            return;
        }
        action_.program = pieces->front().text;
        if (!action_.program.starts_with('/')) {
            const auto words = command_words(action_.program, default_search_path);
            const bool found = words && words->starts_with("\"/");
            document_.report(node,
                             in_quotes(action_.program) + " is not absolute; write " +
                                 (found ? *words : std::string("the program's path from / on")));
            return;
        }
        program_node_ = node;
    }

    // When the environment is known: its PATH may count.
    void check_program() {
        if (!program_node_) return;
        const auto path = environment_.find("PATH");
        const auto opened =
            open_safe_program(action_.program, options_.owner,
                              path == environment_.end() ? default_search_path : path->second);
        if (opened) {
            const std::string problem = format_problem(*opened, action_.program);
            if (!problem.empty()) document_.warn(*program_node_, problem);
            return;
        }
        // "/usr/bin/systemctl restart nginx"
        const std::string first = action_.program.substr(0, action_.program.find(' '));
        const auto words = command_words(action_.program, default_search_path);
        if (first.size() < action_.program.size() && words && find_program(first, {})) {
            document_.report(*program_node_,
                             "there is a program " + first +
                                 ", and each word is an element of its own; write " + *words);
            return;
        }
        document_.report(*program_node_, opened.error().message);
    }

    void read_element(const Node& node) {
        auto pieces = read_template(node);
        if (!pieces) return;
        for (std::size_t i = 1; i < pieces->size(); ++i) {
            if (!pieces->at(i).placeholder || !pieces->at(i - 1).text.ends_with('$')) continue;
            document_.warn(node, "the \"$\" before {" + pieces->at(i).text +
                                     "} is given to the program too; remove it where a variable "
                                     "of a shell was meant");
        }
        for (const Piece& piece : *pieces) {
            const ArgumentSpec* const spec = piece.placeholder ? argument(piece.text) : nullptr;
            if (spec == nullptr) continue;
            if (spec->type == ArgumentType::list && pieces->size() > 1) {
                document_.report(
                    node, "a list fills elements of its own; write \"{" + piece.text + "}\" alone");
            }
            if (spec->multiline) {
                document_.report(node, "the argument " + in_quotes(piece.text) +
                                           " is multiline and can't stand on a command line; use "
                                           "it in \"stdin\"");
            }
            if (spec->secret) {
                document_.report(node, "the argument " + in_quotes(piece.text) +
                                           " is secret, and a command line can be read by "
                                           "everyone; hand it over in \"stdin\"");
            }
        }
        action_.command.push_back(*std::move(pieces));
    }

    // What the caller gives for standard input.
    // A text that is one of these.
    std::optional<std::string> choice(const Node& node,
                                      std::initializer_list<std::string_view> known,
                                      const std::string& advice) {
        if (!node.value->is_string()) {
            document_.report(node, "must be a string, not " + kind_of(*node.value) + "; " + advice);
            return std::nullopt;
        }
        auto text = document_.text(node);
        if (text && std::ranges::find(known, *text) == known.end()) {
            document_.report(node, in_quotes(*text) + " is not known; " + advice);
        }
        return text;
    }

    void read_input() {
        const auto node = member("input");
        if (!node) return;
        const auto text = choice(*node, {"text", "direct"}, R"(use "text" or "direct")");
        if (!text) return;
        if (member("stdin")) {
            document_.report_key(*node,
                                 "contradicts \"stdin\", which says what standard input is; remove "
                                 "one of them");
        }
        action_.description.input = *text == "direct" ? Input::direct : Input::text;
    }

    void read_output() {
        const auto node = member("output");
        if (!node) return;
        const auto text = choice(*node, {"direct"},
                                 R"(use "direct" to have standard output go straight to the )"
                                 "caller, or remove it");
        if (!text) return;
        action_.description.direct_output = true;
    }

    void read_stdin() {
        const auto node = member("stdin");
        if (!node) return;
        auto pieces = read_template(*node);
        if (!pieces) return;
        for (const Piece& piece : *pieces) {
            const ArgumentSpec* const spec = piece.placeholder ? argument(piece.text) : nullptr;
            if (spec != nullptr && spec->type == ArgumentType::list) {
                document_.report(*node, "a list can only fill elements of \"exec\"; use " +
                                            in_quotes(piece.text) + " there");
            }
        }
        action_.stdin_text = std::move(pieces);
    }

    // Whether it is used in the manner of a shell or another tool's template.
    bool report_other_placeholder(const std::string& name) {
        std::vector<Node> texts = exec_nodes_;
        if (const auto node = member("stdin")) texts.push_back(*node);
        for (const Node& node : texts) {
            if (!node.value->is_string()) continue;
            const auto& text = node.value->get_ref<const std::string&>();
            for (const std::string& other : {"{{ " + name + " }}", "{{" + name + "}}",
                                             '%' + name + '%', '<' + name + '>', '$' + name}) {
                if (text.find(other) == std::string::npos) continue;
                document_.report(
                    node, in_quotes(other) + " is not a placeholder here; write {" + name + '}');
                return true;
            }
        }
        return false;
    }

    void check_use() {
        for (const auto& [name, node] : argument_nodes_) {
            if (used_.contains(name) || report_other_placeholder(name)) continue;
            document_.report_key(node, "is not used; write {" + printable(name) +
                                           R"(} in "exec" or "stdin", or remove it)");
        }
    }

    void read_stderr() {
        const auto node = member("stderr");
        if (!node) return;
        const auto text = choice(*node, {"stdout"},
                                 R"(use "stdout" to put both into one stream in their order, or )"
                                 "remove it");
        if (!text) return;
        action_.merge_stderr = true;
    }

    void read_stored_output() {
        const auto node = member("storedOutput");
        if (!node) return;
        std::optional<std::uint64_t> bytes;
        if (node->value->is_string()) {
            const auto text = document_.text(*node);
            if (!text) return;
            const auto size = parse_size(*text);
            if (!size) {
                document_.report(*node, size.error().message);
                return;
            }
            bytes = *size;
        } else if (const auto count = document_.integer(*node)) {
            bytes = *count < 0 ? most_stored + 1 : static_cast<std::uint64_t>(*count);
        }
        if (bytes && *bytes > most_stored) {
            document_.report(*node,
                             "is out of range; use a size from 0 to " + show_size(most_stored));
        }
        action_.stored_output = bytes;
    }

    void read_sandbox() {
        const auto node = member("sandbox");
        if (!node) return;
        if (!options_.systemd) {
            document_.report_key(*node,
                                 "needs systemd, and this guard starts its jobs itself; remove it, "
                                 "or start the guard as a service of systemd");
            return;
        }
        Sandbox sandbox = policy::read_sandbox(document_, *node);
        action_.sandbox = std::move(sandbox.properties);
        dynamic_user_ = sandbox.dynamic_user;
        for (const char* const key : {"user", "group"}) {
            const auto named = dynamic_user_ ? member(key) : std::nullopt;
            if (named) {
                document_.report_key(*named,
                                     "contradicts DynamicUser of the sandbox; remove one of them");
            }
        }
    }

    void read_rules_and_user() {
        if (const auto node = member("group"); node && node->value->is_array()) {
            document_.report_key(*node, R"(is one group; write more of them in "groups")");
        }
        if (const auto node = required("allow", R"("allow": [{"group": "NAME"}])")) {
            action_.allow = read_rules(document_, *node, "allow");
        }
        if (const auto node = member("deny")) {
            action_.deny = read_rules(document_, *node, "deny");
        }
        const auto run_as = read_run_as(document_, options_);
        if (!run_as) return;
        action_.uid = run_as->account.uid;
        action_.gid = run_as->gid;
        action_.groups = run_as->groups;
        if (run_as->by_name) action_.account = run_as->account.name;
        environment_ = {
            {"HOME", run_as->account.home},
            {"LANG", "C.UTF-8"},
            {"LOGNAME", run_as->account.name},
            {"PATH", std::string(default_search_path)},
            {"SHELL", run_as->account.shell.empty() ? "/bin/sh" : run_as->account.shell},
            {"USER", run_as->account.name},
        };
        if (dynamic_user_) {
            // systemd knows them when it has chosen the user.
            for (const char* const name : {"HOME", "LOGNAME", "SHELL", "USER"}) {
                environment_.erase(name);
            }
        }
        // Of an ordinary user's guard the groups were checked to be its own.
        if (options_.owner == 0) {
            action_.lent = read_lent_groups(document_, *run_as, action_.allow);
        }
    }

    void read_sudo_compatible() {
        const auto node = member("sudoCompatible");
        if (node) action_.sudo_compatible = document_.boolean(*node).value_or(false);
    }

    void read_environment() {
        if (const auto node = member("environment")) {
            if (node->value->is_array()) {
                document_.report(*node,
                                 "must be an object, not a list; write {\"NAME\": \"value\"}");
                return;
            }
            const auto members = document_.members(*node);
            if (!members) return;
            for (const auto& [name, value] : *members) {
                if (!is_environment_name(name)) {
                    document_.report_key(
                        value,
                        "is not a valid name for a variable; use letters, digits and "
                        "\"_\", not a digit first");
                } else if (name.starts_with("POSTERN_")) {
                    document_.report_key(value,
                                         "POSTERN_ variables are set by the guard; use "
                                         "another name");
                } else if (is_set_by_guard(name, action_.sudo_compatible)) {
                    document_.report_key(value,
                                         "SUDO_ variables are set by the guard because of "
                                         "\"sudoCompatible\": true; remove one of them");
                }
                if (auto text = document_.text(value)) environment_[name] = *std::move(text);
            }
        }
        action_.environment.assign(environment_.begin(), environment_.end());
    }

    void read_working_directory() {
        const auto node = member("workingDirectory");
        if (!node) return;
        const auto text = document_.text(*node);
        if (!text) return;
        if (!text->starts_with('/')) {
            document_.report(
                *node, in_quotes(*text) + " is not absolute; write the directory's path from / on");
        }
        action_.working_directory = *text;
    }

    std::optional<std::chrono::microseconds> read_duration(const Node& node) {
        if (node.value->is_number_integer()) {
            // Far beyond what is refused, and far from what can't be counted in microseconds.
            constexpr std::int64_t enough = std::chrono::seconds(std::chrono::days(365)).count();
            return std::chrono::seconds(
                std::clamp(node.value->get<std::int64_t>(), -enough, enough));
        }
        if (!node.value->is_string()) {
            document_.report(node, "must be a span of time, not " + kind_of(*node.value) +
                                       "; write for example \"30s\" or a number of seconds");
            return std::nullopt;
        }
        const auto text = document_.text(node);
        if (!text) return std::nullopt;
        const auto duration = parse_duration(*text);
        if (duration) return *duration;
        document_.report(node, duration.error().message);
        return std::nullopt;
    }

    void read_timeout() {
        action_.timeout = options_.default_timeout;
        if (const auto node = member("timeout")) {
            if (const auto duration = read_duration(*node)) {
                if (*duration <= std::chrono::seconds(0) || *duration > longest_timeout) {
                    document_.report(*node, "is out of range; use more than 0 and at most 30d");
                }
                action_.timeout = *duration;
            }
        }
        action_.description.timeout = action_.timeout;
    }

    void read_on_disconnect() {
        const auto node = member("onDisconnect");
        if (!node) return;
        const auto text = choice(*node, {"keep", "kill"}, R"(use "keep" or "kill")");
        if (!text) return;
        action_.description.kill_on_disconnect = *text == "kill";
    }

    void read_datagram() {
        const auto node = member("datagram");
        if (!node) return;
        action_.description.datagram = document_.boolean(*node).value_or(false);
        if (action_.description.datagram && action_.description.kill_on_disconnect) {
            document_.report_key(
                *node,
                "contradicts \"onDisconnect\": \"kill\", because a datagram has no "
                "connection that could end; remove one of them");
        }
    }

    Document& document_;
    const LoadOptions& options_;
    Node root_;
    std::optional<Node> program_node_;
    std::vector<Node> exec_nodes_;
    Action action_;
    std::map<std::string, Node, std::less<>> argument_nodes_;
    std::set<std::string, std::less<>> used_;
    std::map<std::string, std::string> environment_;
    bool dynamic_user_ = false;
};

}  // namespace

Result<Action> parse_action(std::string_view name, std::string_view file, std::string_view text,
                            const LoadOptions& options) {
    POSTERN_TRY(Document document, Document::parse(file, text));
    return Parser(document, options).parse(name);
}

}  // namespace postern::policy
