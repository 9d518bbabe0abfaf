#include "daemon/guard/config/configuration.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/limits.h"
#include "base/log_levels.h"
#include "base/utf8.h"
#include "daemon/policy/file/document.h"
#include "daemon/policy/file/folder_listing.h"
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

// FILE:LINE
std::string place_of(const Document& file, const Node& node) {
    return file.file() + ':' + std::to_string(file.line(node));
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

Result<std::string> parse_log_level(const std::string& text) {
    if (std::ranges::find(log_levels, text) != log_levels.end()) return text;
    std::string names;
    for (const std::string_view level : log_levels) {
        names += (names.empty() ? "" : ", ") + std::string(level);
    }
    return fail(in_quotes(text) + " is not a log level; use one of " + names);
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
        if (value.value->is_string() && limit_is_count(*name)) {
            static_cast<void>(file.integer(value));  // reports it
            continue;
        }
        const auto set = set_known_limit(
            configuration.limits, key,
            value.value->is_string() ? value.value->get<std::string>() : value.value->dump());
        if (!set) file.report(value, set.error().message);
        configuration.origins["limits." + *name] = place_of(file, value);
    }
}

using Texts = std::vector<std::string>;

Texts one_text(const std::string& value) {
    return value.empty() ? Texts() : Texts{value};
}

Texts optional_text(const std::optional<std::string>& value) {
    return value ? Texts{*value} : Texts();
}

std::string mode_text(mode_t mode) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode));
    return text.data();
}

struct Setting {
    std::string_view name;
    void (*take)(Document& file, const Node& node, Configuration& configuration);
    Texts (*show)(const Configuration& configuration);  // null: there is none, or `limits` show it
    bool list = false;
};

constexpr std::array<Setting, 14> settings = {{
    {"sockets", [](Document& f, const Node& n, Configuration& c) { take_paths(f, n, c.sockets); },
     [](const Configuration& c) { return c.sockets; }, true},
    {"datagramSockets",
     [](Document& f, const Node& n, Configuration& c) { take_paths(f, n, c.datagrams); },
     [](const Configuration& c) { return c.datagrams; }, true},
    {"adminSocket",
     [](Document& f, const Node& n, Configuration& c) {
         take_path(f, n, c.admin_socket.emplace());
     },
     [](const Configuration& c) { return optional_text(c.admin_socket); }},
    {"socketMode",
     [](Document& f, const Node& n, Configuration& c) {
         take_parsed(f, n, parse_mode, c.socket_mode);
     },
     [](const Configuration& c) { return Texts{mode_text(c.socket_mode)}; }},
    {"socketGroup",
     [](Document& f, const Node& n, Configuration& c) {
         take_text(f, n, c.socket_group.emplace());
     },
     [](const Configuration& c) { return optional_text(c.socket_group); }},
    {"actions", [](Document& f, const Node& n, Configuration& c) { take_paths(f, n, c.actions); },
     [](const Configuration& c) { return c.actions; }, true},
    {"state", [](Document& f, const Node& n, Configuration& c) { take_path(f, n, c.state); },
     [](const Configuration& c) { return one_text(c.state); }},
    {"audit",
     [](Document& f, const Node& n, Configuration& c) { take_path(f, n, c.audit.emplace()); },
     [](const Configuration& c) { return optional_text(c.audit); }},
    {"logLevel",
     [](Document& f, const Node& n, Configuration& c) {
         take_parsed(f, n, parse_log_level, c.log_level);
     },
     [](const Configuration& c) { return one_text(c.log_level); }},
    {"jobs",
     [](Document& f, const Node& n, Configuration& c) {
         take_parsed(f, n, parse_supervision, c.jobs);
     },
     [](const Configuration& c) { return Texts{show_supervision(c.jobs)}; }},
    {"outputUser",
     [](Document& f, const Node& n, Configuration& c) { take_text(f, n, c.output_user); },
     [](const Configuration& c) { return one_text(c.output_user); }},
    {"sessionUser",
     [](Document& f, const Node& n, Configuration& c) { take_text(f, n, c.session_user); },
     [](const Configuration& c) { return one_text(c.session_user); }},
    {"limits", take_limits, nullptr},
    // For editors; which schema it is makes no difference here.
    {"$schema",
     [](Document& f, const Node& n, Configuration& /*c*/) { static_cast<void>(f.text(n)); },
     nullptr},
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
    {"schema", R"(write "$schema")"},
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
            if (!node) continue;
            setting.take(file, *node, configuration);
            if (setting.show == nullptr) continue;
            configuration.origins[std::string(setting.name)] = place_of(file, *node);
        }
    }
    if (auto error = file.first_error()) return Unexpected(*std::move(error));
    return {};
}

Status read_open(const UniqueFd& file, const std::string& path, Configuration& configuration) {
    const auto text = read_unchanged(file.get(), limits::action_file_bytes);
    if (!text) return fail("configuration " + printable(path) + ": " + text.error().message);
    POSTERN_TRY(read_text(printable(path), *text, configuration));
    configuration.files.push_back(path);
    return {};
}

Status read_drop_ins(const std::string& path, uid_t owner, Configuration& configuration) {
    const auto folder = open_safe_folder(path, owner);
    if (!folder) {
        if (folder.error().kind == OpenError::Kind::missing) return {};
        return fail("configuration: " + folder.error().message);
    }
    POSTERN_TRY(const policy::FolderListing listing, policy::list_folder(*folder, path));
    for (const policy::PassedOver& other : listing.passed_over) {
        configuration.ignored.push_back(other.message);
    }
    for (const std::string& name : listing.files) {
        const std::string drop_in = policy::path_in(path, name);
        const auto file = open_safe_in(folder->get(), name, drop_in, owner);
        if (!file && file.error().kind == OpenError::Kind::missing) continue;
        if (!file) return fail("configuration: " + file.error().message);
        if (!*file) continue;  // a link to /dev/null
        POSTERN_TRY(read_open(*file, drop_in, configuration));
    }
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
    const auto file = open_safe(path, owner, Use::read);
    if (file) {
        POSTERN_TRY(read_open(*file, path, configuration));
    } else if (!optional || file.error().kind != OpenError::Kind::missing) {
        return fail("configuration: " + file.error().message);
    }
    return read_drop_ins(path + ".d", owner, configuration);
}

Status lint_configuration(const std::string& path, Configuration& configuration) {
    POSTERN_TRY(const std::string text, policy::read_any(path));
    return read_text(printable(path), text, configuration);
}

std::vector<std::string> callers_sockets(const Configuration& configuration) {
    if (!configuration.sockets.empty()) return configuration.sockets;
    return {"/run/postern/postern.sock"};
}

std::vector<ShownSetting> show_settings(const Configuration& configuration) {
    std::vector<ShownSetting> shown;
    for (const Setting& setting : settings) {
        if (setting.show == nullptr) continue;
        shown.push_back({std::string(setting.name), setting.show(configuration), setting.list});
    }
    for (const auto& [name, value] : show_limits(configuration.limits)) {
        shown.push_back({"limits." + name, {value}, false});
    }
    return shown;
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
