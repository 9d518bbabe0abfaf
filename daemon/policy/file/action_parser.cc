#include "daemon/policy/file/action_parser.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "daemon/policy/file/argument_declaration.h"
#include "daemon/policy/file/command_reader.h"
#include "daemon/policy/file/document.h"
#include "daemon/policy/file/environment.h"
#include "daemon/policy/file/other_words.h"
#include "daemon/policy/file/rules.h"
#include "daemon/policy/file/run_as.h"
#include "daemon/policy/file/sandbox.h"
#include "daemon/policy/spare.h"

namespace postern::policy {
namespace {

constexpr std::chrono::microseconds longest_timeout = std::chrono::days(30);

// As the limit storedOutput may be.
constexpr std::uint64_t most_stored = std::uint64_t{1} << 40;

constexpr std::array<Key, 23> top_keys = {{
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
    {"spare", {}},
}};

// With these the modes of files alone do not say what a job may execute.
constexpr std::array<std::string_view, 5> access_properties = {"AmbientCapabilities", "Bind",
                                                               "Extension", "Root", "Temporary"};

class Parser {
  public:
    Parser(Document& document, const LoadOptions& options)
        : document_(document), options_(options), root_(document.root()) {}

    // Empty: none is named.
    [[nodiscard]] const std::string& program() const { return action_.program; }

    Result<Action> parse(std::string_view name) {
        report_properties();
        if (document_.check_keys(root_, top_keys, other_words_of_actions)) {
            action_.description.name = name;
            action_.file = document_.file();
            read_texts();
            read_arguments();
            command_.read();
            read_input();
            read_output();
            read_stderr();
            read_stored_output();
            read_sandbox();
            read_rules_and_user();
            read_sudo_compatible();
            read_environment(document_, action_.sudo_compatible, environment_);
            action_.environment.assign(environment_.begin(), environment_.end());
            check_program();
            read_working_directory();
            read_timeout();
            read_on_disconnect();
            read_datagram();
            read_spare();
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
        return document_.required_member(root_, key, example);
    }

    // Of systemd, beside the keys of actions.
    void report_properties() {
        if (!root_.value->is_object()) return;
        for (const auto& [name, value] : root_.value->items()) {
            const auto node = member(name);
            if (!node || !is_sandbox_property(name)) continue;
            document_.report_key(
                *node, R"(belongs in "sandbox"; write "sandbox": {)" + as_json(name) + ": ...}");
        }
    }

    void read_texts() {
        // For editors; which schema it is makes no difference here.
        if (const auto schema = member("$schema")) static_cast<void>(document_.text(*schema));
        if (const auto node = required("summary", R"("summary": "what it does")")) {
            if (const auto text = document_.text(*node)) {
                if (text->empty())
                    document_.report(*node, "is empty; describe what the action does");
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
                *node, R"(must be an object, not a list; write {"NAME": {"type": "string"}})");
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

    // What the caller gives for standard input.
    void read_input() {
        const auto node = member("input");
        if (!node) return;
        const auto text = choice(*node, {"text", "direct"}, R"(use "text" or "direct")");
        if (!text) return;
        if (member("stdin")) {
            document_.report_key(*node,
                                 "conflicts with \"stdin\", which already defines "
                                 "standard input; remove one of them");
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

    void read_stderr() {
        const auto node = member("stderr");
        if (!node) return;
        const auto text = choice(*node, {"stdout"},
                                 R"(use "stdout" to merge both into one stream in )"
                                 "the order of writing, or remove it");
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
            document_.report_key(
                *node,
                "needs systemd, and this daemon starts its jobs itself; remove it, "
                "or start the daemon as a service of systemd");
            return;
        }
        Sandbox sandbox = policy::read_sandbox(document_, *node);
        action_.sandbox = std::move(sandbox.properties);
        dynamic_user_ = sandbox.dynamic_user;
        for (const char* const key : {"user", "group"}) {
            const auto named = dynamic_user_ ? member(key) : std::nullopt;
            if (named) {
                document_.report_key(
                    *named, "conflicts with DynamicUser in the sandbox; remove one of them");
            }
        }
    }

    void read_rules_and_user() {
        if (const auto node = member("group"); node && node->value->is_array()) {
            document_.report_key(*node, R"(takes one group; list the others in "groups")");
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
        account_ = run_as->account.name;
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

    // When the environment is known: its PATH may count.
    void check_program() {
        const auto path = environment_.find("PATH");
        command_.check_program(options_.owner,
                               path == environment_.end() ? default_search_path : path->second);
        // systemd chooses the user, or it sees other files or has more rights than its modes say.
        const auto changes_access = [](const UnitProperty& property) {
            return std::ranges::any_of(access_properties, [&property](std::string_view beginning) {
                return property.key.starts_with(beginning);
            });
        };
        if (!account_ || dynamic_user_ || std::ranges::any_of(action_.sandbox, changes_access)) {
            return;
        }
        command_.check_access(*account_);
    }

    void read_working_directory() {
        const auto node = member("workingDirectory");
        if (!node) return;
        const auto text = document_.text(*node);
        if (!text) return;
        if (!text->starts_with('/')) {
            document_.report(
                *node, in_quotes(*text) +
                           " is not an absolute path; write the directory's path starting with /");
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
            document_.report(node, "must be a duration, not " + kind_of(*node.value) +
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
                "conflicts with \"onDisconnect\": \"kill\", because a datagram has no "
                "connection that could end; remove one of them");
        }
        const auto names_group = [](const Rule& rule) { return rule.subject.group.has_value(); };
        if (action_.description.datagram && !action_.allow.empty() &&
            std::ranges::all_of(action_.allow, names_group)) {
            document_.warn(*node,
                           "every rule in \"allow\" names a group, and of a datagram's sender only "
                           "the primary group is known: users who have the group besides are "
                           "denied; name them by \"user\"");
        }
    }

    void read_spare() {
        const auto node = member("spare");
        if (!node) return;
        const auto count = document_.integer(*node);
        if (!count) return;
        if (*count < 0 || *count > most_spares) {
            document_.report(*node, std::to_string(*count) +
                                        " is out of range; give a number from 0 to " +
                                        std::to_string(most_spares));
            return;
        }
        action_.spare = static_cast<std::uint32_t>(*count);
        if (*count == 0) return;
        if (!options_.systemd) {
            document_.warn(*node,
                           "has no effect, because this daemon starts its jobs itself; remove it");
        } else if (const auto why = why_no_spare(action_, "")) {
            document_.warn(*node, "has no effect, because an action with " + in_quotes(*why) +
                                      " can't have spares; remove one of them");
        }
    }

    Document& document_;
    const LoadOptions& options_;
    Node root_;
    Action action_;
    std::map<std::string, Node, std::less<>> argument_nodes_;
    CommandReader command_{document_, argument_nodes_, action_};
    Environment environment_;
    std::optional<std::string> account_;  // whom the job runs as; absent: not known
    bool dynamic_user_ = false;
};

}  // namespace

Result<Action> parse_action(std::string_view name, std::string_view file, std::string_view text,
                            const LoadOptions& options, std::string* program) {
    POSTERN_TRY(Document document, Document::parse(file, text));
    Parser parser(document, options);
    Result<Action> action = parser.parse(name);
    if (program != nullptr && !action) *program = parser.program();
    return action;
}

}  // namespace postern::policy
