#include "daemon/guard/config/configuration.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include "base/strict_json.h"
#include "base/utf8.h"
#include "host/safe_file.h"

namespace postern {
namespace {

using Json = nlohmann::json;

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

Status take_text(const Json& value, std::string& target) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
        return fail("must be a text that is not empty");
    }
    target = value.get<std::string>();
    return {};
}

Status take_path(const Json& value, std::string& target) {
    POSTERN_TRY(take_text(value, target));
    if (target.front() != '/') return fail("must be an absolute path");
    return {};
}

Status take_paths(const Json& value, std::vector<std::string>& target) {
    if (!value.is_array() || value.empty()) return fail("must be a list of absolute paths");
    target.clear();
    for (const Json& element : value) {
        if (auto taken = take_path(element, target.emplace_back()); !taken) return taken;
    }
    return {};
}

struct Key {
    std::string_view name;
    Status (*take)(const Json& value, Configuration& configuration);
};

constexpr std::array<Key, 12> keys = {{
    {"sockets", [](const Json& v, Configuration& c) { return take_paths(v, c.sockets); }},
    {"datagramSockets", [](const Json& v, Configuration& c) { return take_paths(v, c.datagrams); }},
    {"adminSocket",
     [](const Json& v, Configuration& c) { return take_path(v, c.admin_socket.emplace()); }},
    {"socketMode",
     [](const Json& v, Configuration& c) -> Status {
         std::string text;
         POSTERN_TRY(take_text(v, text));
         POSTERN_TRY(auto mode, parse_mode(text));
         c.socket_mode = mode;
         return {};
     }},
    {"socketGroup",
     [](const Json& v, Configuration& c) { return take_text(v, c.socket_group.emplace()); }},
    {"actions", [](const Json& v, Configuration& c) { return take_paths(v, c.actions); }},
    {"state", [](const Json& v, Configuration& c) { return take_path(v, c.state); }},
    {"audit", [](const Json& v, Configuration& c) { return take_path(v, c.audit.emplace()); }},
    {"logLevel", [](const Json& v, Configuration& c) { return take_text(v, c.log_level); }},
    {"jobs",
     [](const Json& v, Configuration& c) -> Status {
         std::string text;
         POSTERN_TRY(take_text(v, text));
         POSTERN_TRY(auto jobs, parse_supervision(text));
         c.jobs = jobs;
         return {};
     }},
    {"outputUser", [](const Json& v, Configuration& c) { return take_text(v, c.output_user); }},
    {"sessionUser", [](const Json& v, Configuration& c) { return take_text(v, c.session_user); }},
}};

// The limits: numbers as they are, durations and sizes as text ("30s", "64MiB").
Result<void, JsonError> take_limits(const LocatedJson& file, const Json& given, Limits& limits) {
    std::map<std::string, std::string> spellings;  // of the limits that were given
    for (const auto& [key, value] : given.items()) {
        const auto pointer = [](const std::string& of) {
            return pointer_step("limits") + pointer_step(of);
        };
        const std::size_t at = file.key_offsets.at(pointer(key));
        const auto name = limit_name(key);
        if (!name) return Unexpected(JsonError{name.error().message, at});
        const auto [other, first] = spellings.emplace(*name, key);
        if (!first) {
            return Unexpected(JsonError{"limits: " + in_quotes(other->second) + " and " +
                                            in_quotes(key) + " are the same limit; give only " +
                                            *name,
                                        std::max(at, file.key_offsets.at(pointer(other->second)))});
        }
        const auto set =
            set_limit(limits, key, value.is_string() ? value.get<std::string>() : value.dump());
        if (!set) return Unexpected(JsonError{set.error().message, file.offsets.at(pointer(key))});
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
    auto file = open_safe(path, owner, Use::read);
    if (!file) {
        if (optional && file.error().kind == OpenError::Kind::missing) return {};
        return fail("configuration: " + file.error().message);
    }
    auto text = read_unchanged(file->get(), limits::action_file_bytes);
    if (!text) return fail("configuration " + printable(path) + ": " + text.error().message);
    const auto at = [&](std::size_t offset, const std::string& message) {
        const LineColumn place = line_column(*text, offset);
        return fail(printable(path) + ":" + std::to_string(place.line) + ":" +
                    std::to_string(place.column) + ": " + message);
    };
    JsonLimits json_limits;
    json_limits.comments = true;
    auto parsed = parse_located_json(*text, json_limits);
    if (!parsed) return at(parsed.error().offset, parsed.error().message);
    if (!parsed->value.is_object()) return at(0, "must be an object, { ... }");

    for (const auto& [name, value] : parsed->value.items()) {
        const std::string pointer = pointer_step(name);
        if (name == "limits") {
            if (!value.is_object())
                return at(parsed->offsets[pointer], "limits: must be an object");
            if (auto taken = take_limits(*parsed, value, configuration.limits); !taken)
                return at(taken.error().offset, taken.error().message);
            continue;
        }
        std::string known;
        const Key* key = nullptr;
        for (const Key& candidate : keys) {
            if (candidate.name == name) key = &candidate;
            known += std::string(candidate.name) + ", ";
        }
        if (key == nullptr) {
            return at(parsed->key_offsets[pointer],
                      "unknown key " + in_quotes(name) + "; there are " + known + "limits");
        }
        if (auto taken = key->take(value, configuration); !taken) {
            return at(parsed->offsets[pointer], name + ": " + taken.error().message);
        }
    }
    return {};
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
