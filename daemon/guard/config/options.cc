#include "daemon/guard/config/options.h"

#include <CLI/CLI.hpp>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "base/version.h"

namespace postern {
namespace {

constexpr int usage_error = 2;

// By option: the key in the file that it takes precedence over. (--limit names its own.)
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> settings_of_options = {{
    {"--socket", "sockets"},
    {"--datagram", "datagramSockets"},
    {"--admin-socket", "adminSocket"},
    {"--socket-mode", "socketMode"},
    {"--socket-group", "socketGroup"},
    {"--actions", "actions"},
    {"--state", "state"},
    {"--audit", "audit"},
    {"--log-level", "logLevel"},
    {"--session-user", "sessionUser"},
    {"--output-user", "outputUser"},
    {"--jobs", "jobs"},
}};

Print usage(const std::string& message) {
    return {"posternd: " + message + "\nTry: posternd --help\n", usage_error};
}

// What is wrong with the paths, whether they come from options or from the configuration file.
// Empty: nothing. (What is wrong with a socket's alone is said where it is bound.)
std::string object_to_paths(const Configuration& configuration) {
    std::vector<std::pair<std::string, std::string>> sockets;
    sockets.reserve(configuration.sockets.size() + configuration.datagrams.size() + 1);
    for (const auto& path : configuration.sockets) sockets.emplace_back("--socket", path);
    for (const auto& path : configuration.datagrams) sockets.emplace_back("--datagram", path);
    if (configuration.admin_socket) {
        sockets.emplace_back("--admin-socket", *configuration.admin_socket);
    }
    const auto not_absolute = [](const std::string& option, const std::string& path,
                                 const std::string& example) {
        return option + ": " + in_quotes(path) +
               " is not an absolute path; start it with /, for example " + example;
    };
    for (const auto& path : configuration.actions) {
        if (!path.starts_with('/')) {
            return not_absolute("--actions", path, "/etc/postern/actions.d");
        }
    }
    if (!configuration.state.empty() && !configuration.state.starts_with('/')) {
        return not_absolute("--state", configuration.state, "/var/lib/postern");
    }
    std::map<std::string, std::string> given;  // by path: by which option
    for (const auto& [option, path] : sockets) {
        const auto [other, first] =
            given.emplace(std::filesystem::path(path).lexically_normal().string(), option);
        if (first) continue;
        return other->second == option
                   ? option + ": " + in_quotes(path) + " is given twice; give each path once"
                   : in_quotes(path) + " is given for " + other->second + " and for " + option +
                         "; give each its own path";
    }
    return {};
}

}  // namespace

std::variant<Options, Print> parse_options(int argc, char** argv, uid_t uid) {
    CLI::App app{
        "posternd lets callers without privileges run the actions that the administrator\n"
        "declared, and nothing else. It takes its sockets from systemd, or binds its own.",
        "posternd"};
    std::vector<std::string> sockets;
    std::vector<std::string> datagrams;
    std::vector<std::string> actions;
    std::vector<std::string> limits;
    std::optional<std::string> admin_socket;
    std::optional<std::string> mode;
    std::optional<std::string> group;
    std::optional<std::string> state;
    std::optional<std::string> audit;
    std::optional<std::string> log_level;
    std::optional<std::string> session_user;
    std::optional<std::string> output_user;
    std::optional<std::string> jobs;
    std::optional<std::string> config;
    Options options;
    bool show_version = false;

    app.add_option("--socket", sockets, "Bind this Unix socket (repeatable)")->type_name("PATH");
    app.add_option("--datagram", datagrams,
                   "Bind this Unix socket for datagrams, one call each (repeatable)")
        ->type_name("PATH");
    app.add_option("--admin-socket", admin_socket,
                   "Bind this Unix socket for the administrator, mode 0600")
        ->type_name("PATH");
    app.add_option("--socket-mode", mode, "Mode of the sockets that are bound [0660]")
        ->type_name("MODE");
    app.add_option("--socket-group", group, "Group of the sockets that are bound")
        ->type_name("GROUP");
    app.add_option("--actions", actions,
                   "Directory of action files (repeatable; later ones take precedence)")
        ->type_name("DIR");
    app.add_option("--state", state, "Directory for jobs and their records")->type_name("DIR");
    app.add_option("--audit", audit, "Write the audit to this file instead of the journal")
        ->type_name("FILE");
    app.add_option("--log-level", log_level, "debug, info, warning, error or critical [info]")
        ->type_name("LEVEL");
    app.add_option("--session-user", session_user, "System user of the sessions [postern-session]")
        ->type_name("NAME");
    app.add_option("--output-user", output_user,
                   "System user of postern-output, if the daemon starts it [postern-output, or "
                   "that of the sessions]")
        ->type_name("NAME");
    app.add_option("--jobs", jobs,
                   "What supervises jobs: systemd, direct (the daemon itself), or auto [auto]")
        ->type_name("HOW");
    app.add_option("--config", config,
                   "Configuration file, read before the *.json files in FILE.d [" +
                       default_configuration_file(uid) + "]")
        ->type_name("FILE");
    app.add_option("--limit", limits, "Set a limit (repeatable), e.g. sessions=64 or timeout=10min")
        ->type_name("NAME=VALUE");
    app.add_flag("--check", options.check,
                 "Load everything, print what is loaded and which settings are not the defaults, "
                 "exit 1 if a file is bad");
    app.add_option("--lint", options.lint,
                   "Check files that are not installed yet, or directories of them; "
                   "exit 1 if one is bad")
        ->type_name("PATH ...");
    app.add_flag("--own", options.own,
                 "With --lint: check for a daemon that runs as you, not as root");
    app.add_flag("--json", options.json, "With --check and --lint: print JSON");
    app.add_flag("--version", show_version, "Print the version");
    app.footer(
        "SIGHUP loads the action files and opens the audit file again, SIGUSR1 only opens the "
        "audit file again. SIGTERM stops the daemon: jobs that systemd supervises continue, jobs "
        "that the daemon supervises itself are ended.\n\n"
        "Examples:\n"
        "  posternd --check\n"
        "  posternd --lint web.restart.json\n"
        "  posternd --socket /run/postern/postern.sock --socket-group postern\n"
        "See posternd(8), posternd.json(5) and postern-action(5).");
    for (CLI::Option* option : app.get_options()) {
        if (option->get_items_expected_max() > 1 && option->get_name() != "--lint")
            option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        return Print{app.help(), 0};
    } catch (const CLI::ParseError& error) {
        return usage(error.what());
    }
    if (show_version) return Print{std::string("posternd ") + version + "\n", 0};
    if (options.json && !options.check && options.lint.empty()) {
        return usage("--json needs --check or --lint");
    }
    if (options.own && options.lint.empty()) return usage("--own needs --lint");
    // Needs neither a configuration nor a place for the state.
    if (!options.lint.empty()) return options;

    Configuration& configuration = options.configuration;
    configuration = default_configuration(uid);
    const std::string file = config.value_or(default_configuration_file(uid));
    if (!file.empty()) {
        auto read = read_configuration(file, !config.has_value(), uid, configuration);
        if (!read) return Print{"posternd: " + read.error().message + "\n", 1};
    }
    if (!sockets.empty()) configuration.sockets = sockets;
    if (!datagrams.empty()) configuration.datagrams = datagrams;
    if (admin_socket) configuration.admin_socket = admin_socket;
    if (!actions.empty()) configuration.actions = actions;
    if (group) configuration.socket_group = group;
    if (state) configuration.state = *state;
    if (audit) configuration.audit = audit;
    if (log_level) configuration.log_level = *log_level;
    if (session_user) configuration.session_user = *session_user;
    if (output_user) configuration.output_user = *output_user;
    for (const auto& [option, key] : settings_of_options) {
        if (app.count(std::string(option)) > 0) {
            configuration.origins[std::string(key)] = option;
        }
    }
    if (jobs) {
        auto parsed = parse_supervision(*jobs);
        if (!parsed) return usage("--jobs: " + parsed.error().message);
        configuration.jobs = *parsed;
    }
    if (mode) {
        auto parsed = parse_mode(*mode);
        if (!parsed) return usage("--socket-mode: " + parsed.error().message);
        configuration.socket_mode = *parsed;
    }
    for (const std::string& limit : limits) {
        const std::size_t equals = limit.find('=');
        if (equals == std::string::npos) {
            return usage("--limit: " + in_quotes(limit) +
                         " is not NAME=VALUE; write for example sessions=64 or timeout=10min");
        }
        auto set =
            set_limit(configuration.limits, limit.substr(0, equals), limit.substr(equals + 1));
        if (!set) return usage("--limit: " + set.error().message);
        if (const auto name = limit_name(limit.substr(0, equals))) {
            configuration.origins["limits." + *name] = "--limit";
        }
    }
    if (const std::string wrong = object_to_paths(configuration); !wrong.empty()) {
        return usage(wrong);
    }
    if (configuration.audit && !configuration.audit->starts_with('/')) {
        // The daemon leaves its working directory.
        std::error_code failed;
        const auto path = std::filesystem::absolute(*configuration.audit, failed);
        if (failed) {
            return usage("--audit \"" + *configuration.audit +
                         "\": the working directory does not exist; give an absolute path");
        }
        configuration.audit = path.string();
    }
    if (configuration.state.empty()) {
        return usage("no directory for the state; give --state DIR, or set HOME");
    }
    return options;
}

}  // namespace postern
