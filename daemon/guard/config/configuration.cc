#include "daemon/guard/config/configuration.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/limits.h"
#include "base/utf8.h"
#include "daemon/policy/file/document.h"
#include "daemon/policy/file/loader.h"
#include "host/safe_file.h"

namespace postern {
namespace {

using policy::Document;
using policy::Node;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// The user's folder of one kind (XDG Base Directory Specification); only absolute ones count.
std::string user_folder(const char* variable, const char* below_home) {
    std::string folder = environment(variable);
    if (!folder.empty() && folder.front() == '/') return folder;
    const std::string home = environment("HOME");
    return home.empty() || home.front() != '/' ? "" : home + "/" + below_home;
}

// What is not as it must be is reported to the document, and changes nothing.

void take_text(Document& file, const Node& node, std::string& target) {
    const auto text = file.text(node);
    if (!text) return;
    if (text->empty()) return file.report(node, "is empty; give a value, or remove it");
    target = *text;
}

void take_path(Document& file, const Node& node, std::string& target) {
    const auto path = file.text(node);
    if (!path) return;
    if (!path->starts_with('/')) {
        return file.report(node, in_quotes(*path) + " is not an absolute path; start it with /");
    }
    target = *path;
}

void take_paths(Document& file, const Node& node, std::vector<std::string>& target) {
    const auto elements = file.elements(node);
    if (!elements) return;
    if (elements->empty()) return file.report(node, "is empty; give a path, or remove it");
    target.clear();
    for (const Node& element : *elements) take_path(file, element, target.emplace_back());
}

// A text that `parse` makes something of.
template <typename Value>
void take_parsed(Document& file, const Node& node, Result<Value> (*parse)(const std::string&),
                 Value& target) {
    const auto text = file.text(node);
    if (!text) return;
    const auto parsed = parse(*text);
    if (!parsed) return file.report(node, parsed.error().message);
    target = *parsed;
}

// The limits: numbers as they are, durations and sizes as text ("30s", "64MiB").
void take_limits(Document& file, const Node& node, Configuration& configuration) {
    const auto members = file.members(node);
    if (!members) return;
    // An older spelling is known where it is given, and is not offered.
    std::vector<policy::Key> known;
    const auto names = show_limits({});
    known.reserve(names.size() + members->size());
    for (const auto& [name, value] : names) known.push_back({name, {}});
    for (const auto& [name, value] : *members) {
        if (limit_name(name)) known.push_back({name, {}});
    }
    file.check_keys(node, known);
    std::map<std::string, std::string> spellings;  // of the limits that were given
    for (const auto& [key, value] : *members) {
        const auto name = limit_name(key);
        if (!name) continue;
        const auto [other, first] = spellings.emplace(*name, key);
        if (!first) {
            file.report_key(
                value, "is the same limit as " + in_quotes(other->second) + "; give only " + *name);
            continue;
        }
        const auto set = set_known_limit(
            configuration.limits, key,
            value.value->is_string() ? value.value->get<std::string>() : value.value->dump());
        if (!set) file.report(value, set.error().message);
    }
}

struct Setting {
    std::string_view name;
    void (*take)(Document& file, const Node& node, Configuration& configuration);
};

constexpr std::array<Setting, 13> settings = {{
    {"sockets", [](Document& f, const Node& n, Configuration& c) { take_paths(f, n, c.sockets); }},
    {"datagramSockets",
     [](Document& f, const Node& n, Configuration& c) { take_paths(f, n, c.datagrams); }},
    {"adminSocket", [](Document& f, const Node& n,
                       Configuration& c) { take_path(f, n, c.admin_socket.emplace()); }},
    {"socketMode", [](Document& f, const Node& n,
                      Configuration& c) { take_parsed(f, n, parse_mode, c.socket_mode); }},
    {"socketGroup", [](Document& f, const Node& n,
                       Configuration& c) { take_text(f, n, c.socket_group.emplace()); }},
    {"actions", [](Document& f, const Node& n, Configuration& c) { take_paths(f, n, c.actions); }},
    {"state", [](Document& f, const Node& n, Configuration& c) { take_path(f, n, c.state); }},
    {"audit",
     [](Document& f, const Node& n, Configuration& c) { take_path(f, n, c.audit.emplace()); }},
    {"logLevel",
     [](Document& f, const Node& n, Configuration& c) { take_text(f, n, c.log_level); }},
    {"jobs", [](Document& f, const Node& n,
                Configuration& c) { take_parsed(f, n, parse_supervision, c.jobs); }},
    {"outputUser",
     [](Document& f, const Node& n, Configuration& c) { take_text(f, n, c.output_user); }},
    {"sessionUser",
     [](Document& f, const Node& n, Configuration& c) { take_text(f, n, c.session_user); }},
    {"limits", take_limits},
}};

// Limits beside "limits".
void report_limits_outside(Document& file, const Node& root) {
    if (!root.value->is_object()) return;
    for (const auto& [name, value] : root.value->items()) {
        // "jobs" says who supervises them.
        const auto is_setting = [&key = name](const Setting& setting) {
            return setting.name == key;
        };
        const auto limit = limit_name(name);
        const auto node = file.member(root, name);
        if (!limit || !node || std::ranges::any_of(settings, is_setting)) continue;
        file.report_key(*node,
                        "is a limit; write \"limits\": {" + policy::as_json(*limit) + ": ...}");
    }
}

constexpr auto other_words = std::to_array<policy::OtherWord>({
    {"listen", R"(write "sockets": ["/path"])"},
    {"socketpath", R"(write "sockets": ["/path"])"},
    {"bind", R"(write "sockets": ["/path"])"},
    {"port", "remove it: the daemon uses only Unix sockets"},
    {"host", "remove it: the daemon uses only Unix sockets"},
    {"address", "remove it: the daemon uses only Unix sockets"},
    {"datagram", R"(write "datagramSockets": ["/path"])"},
    {"mode", R"(write "socketMode": "0660")"},
    {"group", R"(write "socketGroup": "NAME")"},
    {"actionsdir", R"(write "actions": ["/path"])"},
    {"actionsdirectory", R"(write "actions": ["/path"])"},
    {"statedir", R"(write "state": "/path")"},
    {"statedirectory", R"(write "state": "/path")"},
    {"auditlog", R"(write "audit": "/path")"},
    {"log", R"(write "logLevel": "info")"},
    {"loglvl", R"(write "logLevel": "info")"},
    {"verbose", R"(write "logLevel": "debug")"},
    {"debug", R"(write "logLevel": "debug")"},
    {"user", R"(write "sessionUser": "NAME")"},
    {"exec", "this is the daemon's own file; each action has a file of its own in actions.d"},
    {"allow", "this is the daemon's own file; each action has a file of its own in actions.d"},
});

Status read_text(std::string_view path, std::string_view text, Configuration& configuration) {
    POSTERN_TRY(Document file, Document::parse(path, text));
    const Node root = file.root();
    report_limits_outside(file, root);
    std::vector<policy::Key> keys;
    keys.reserve(settings.size());
    for (const Setting& setting : settings) keys.push_back({setting.name, {}});
    if (file.check_keys(root, keys, other_words)) {
        for (const Setting& setting : settings) {
            const auto node = file.member(root, setting.name);
            if (node) setting.take(file, *node, configuration);
        }
    }
    if (auto error = file.first_error()) return Unexpected(*std::move(error));
    return {};
}

}  // namespace

Configuration default_configuration(uid_t uid) {
    Configuration configuration;
    // Of the unit's RuntimeDirectory= (systemd.exec(5)), which outlives the guard; the first, where
    // there are several.
    const std::string runtime = environment("RUNTIME_DIRECTORY");
    configuration.runtime = runtime.substr(0, runtime.find(':'));
    // A unit's guard: then postern-output has a unit too, beside it.
    if (!configuration.runtime.empty()) {
        configuration.output_runtime =
            configuration.runtime.substr(0, configuration.runtime.rfind('/')) + "/postern-output";
    }
    if (uid == 0) {
        configuration.actions = {"/usr/lib/postern/actions.d", "/etc/postern/actions.d"};
        configuration.state = "/var/lib/postern";
        return configuration;
    }
    const std::string config = user_folder("XDG_CONFIG_HOME", ".config");
    const std::string state = user_folder("XDG_STATE_HOME", ".local/state");
    if (!config.empty()) configuration.actions = {config + "/postern/actions.d"};
    if (!state.empty()) configuration.state = state + "/postern";
    return configuration;
}

std::string default_configuration_file(uid_t uid) {
    if (uid == 0) return "/etc/postern/posternd.json";
    const std::string config = user_folder("XDG_CONFIG_HOME", ".config");
    return config.empty() ? "" : config + "/postern/posternd.json";
}

Status read_configuration(const std::string& path, bool optional, uid_t owner,
                          Configuration& configuration) {
    auto file = open_safe(path, owner, Use::read);
    if (!file) {
        if (optional && file.error().kind == OpenError::Kind::missing) return {};
        return fail("configuration: " + file.error().message);
    }
    auto text = read_unchanged(file->get(), limits::action_file_bytes);
    if (!text) return fail("configuration " + printable(path) + ": " + text.error().message);
    return read_text(printable(path), *text, configuration);
}

Status lint_configuration(const std::string& path, Configuration& configuration) {
    POSTERN_TRY(const std::string text, policy::read_any(path));
    return read_text(printable(path), text, configuration);
}

Result<mode_t> parse_mode(const std::string& text) {
    const auto wrong = [&] {
        return fail(in_quotes(text) +
                    " is not a mode; give an octal one of at most 0777, for example 0660");
    };
    mode_t mode = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '7' || mode > 0777) return wrong();
        mode = mode * 8 + static_cast<mode_t>(digit - '0');
    }
    if (text.empty() || mode > 0777) return wrong();
    return mode;
}

}  // namespace postern
