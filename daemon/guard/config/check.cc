#include "daemon/guard/config/check.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "base/counted.h"
#include "base/duration.h"
#include "base/utf8.h"
#include "daemon/guard/config/action_text.h"
#include "daemon/guard/config/configuration_text.h"
#include "daemon/guard/config/unit_warnings.h"
#include "daemon/policy/file/folder_listing.h"
#include "daemon/policy/file/installed.h"
#include "daemon/policy/file/loader.h"
#include "daemon/policy/file/people_reader.h"

namespace postern {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string dump_ordered(const OrderedJson& json) {
    return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

OrderedJson to_json(const policy::Action& action) {
    OrderedJson rules = OrderedJson::array();
    for (const auto* list : {&action.allow, &action.deny}) {
        for (const policy::Rule& rule : *list) {
            rules.push_back({{"rule", rule.text}, {"place", rule.place}});
        }
    }
    return {{"action", action.description.name},
            {"summary", action.description.summary},
            {"file", action.file},
            {"program", action.program},
            {"exec", exec_of(action)},
            {"uid", action.uid},
            {"user", action.account.empty() ? name_of_user(action.uid) : action.account},
            {"gid", action.gid},
            {"group", name_of_group(action.gid)},
            {"groups", action.groups},
            {"timeoutMicroseconds", action.timeout.count()},
            {"sudoCompatible", action.sudo_compatible},
            {"rules", rules},
            {"warnings", action.warnings}};
}

void print(const policy::Action& action) {
    std::printf("%s: %s\n  file %s\n  runs %s\n  as %s, at most %s\n",
                action.description.name.c_str(), printable(action.description.summary).c_str(),
                printable(action.file).c_str(), command_text(action).c_str(),
                identity_text(action).c_str(), show_duration(action.timeout).c_str());
    for (const auto* list : {&action.allow, &action.deny}) {
        for (const policy::Rule& rule : *list) {
            std::printf("  %s (%s)\n", printable(rule.text).c_str(), printable(rule.place).c_str());
        }
    }
    if (action.sudo_compatible) std::printf("  sets SUDO_UID, SUDO_GID and SUDO_USER\n");
    if (action.allow.empty()) std::printf("  nobody may run it\n");
}

// Nothing is bad for them: they say what is not safe, and what a rule can't do.
void print_warnings(const std::vector<std::string>& warnings) {
    for (const std::string& warning : warnings) {
        std::fprintf(stderr, "warning: %s\n", printable(warning).c_str());
    }
}

std::vector<std::string> warnings_of(const policy::People& people) {
    std::vector<std::string> warnings = people.warnings;
    warnings.insert(warnings.end(), people.kept_out.begin(), people.kept_out.end());
    return warnings;
}

// Whether it is what posternd.service reads.
bool is_of_the_unit(const Configuration& configuration, uid_t uid) {
    const std::string file = default_configuration_file(uid);
    return uid == 0 && std::ranges::any_of(configuration.files, [&file](const auto& read) {
               return read == file || read.starts_with(file + ".d/");
           });
}

// What no action comes from, though somebody may have meant it to.
void print_not_read(const policy::Snapshot& snapshot) {
    for (const policy::PassedOver& file : snapshot.passed_over) {
        std::fprintf(stderr, "warning: %s\n", file.message.c_str());
    }
    for (const policy::MissingFolder& folder : snapshot.missing) {
        if (!folder.message.empty()) std::fprintf(stderr, "warning: %s\n", folder.message.c_str());
    }
}

void add_not_read(const policy::Snapshot& snapshot, OrderedJson& all) {
    if (!snapshot.passed_over.empty()) {
        OrderedJson& list = all["passedOver"] = OrderedJson::array();
        for (const policy::PassedOver& file : snapshot.passed_over) {
            list.push_back({{"file", file.file}, {"message", file.message}});
        }
    }
    for (const policy::MissingFolder& folder : snapshot.missing) {
        if (!folder.message.empty()) all["missing"].push_back(folder.path);
    }
}

OrderedJson disabled_json(const std::vector<policy::DisabledAction>& disabled) {
    OrderedJson list = OrderedJson::array();
    for (const policy::DisabledAction& one : disabled) {
        list.push_back({{"action", one.action}, {"file", one.file}});
    }
    return list;
}

// "2 files are good, 1 is bad"
std::string good_and_bad(std::size_t good, std::size_t bad) {
    if (good == 0) return counted_is(bad, "file") + " bad";
    std::string text = counted_is(good, "file") + " good";
    if (bad > 0) text += ", " + std::to_string(bad) + (bad == 1 ? " is" : " are") + " bad";
    return text;
}

// The daemon's own file has a name of its own, but for a folder of actions, where it is an
// action's; the files beside it are in a directory of that name.
bool is_configuration(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
    if (folder.ends_with(".json.d")) return true;
    return path.substr(slash + 1) == "posternd.json" && !folder.ends_with("actions.d");
}

class Linter {
  public:
    Linter(uid_t owner, bool json) : json_(json) {
        options_.owner = owner;
        options_.systemd = true;
        options_.sockets = callers_sockets(Configuration());
        options_.folders = default_configuration(owner).actions;
        configuration_ = default_configuration_file(owner);
    }

    // A file, or a folder of them.
    void look_at(const std::string& path) {
        const auto listing = policy::list_any_folder(path);
        if (!listing) return add_bad(path, listing.error().message);
        const std::optional<policy::FolderListing>& found = *listing;
        if (!found) return look_at_file(path);
        for (const std::string& name : found->files) look_at_file(policy::path_in(path, name));
        snapshot_.passed_over.insert(snapshot_.passed_over.end(), found->passed_over.begin(),
                                     found->passed_over.end());
        if (found->files.empty()) {
            add_bad(path, printable(path) +
                              ": no file in it ends in .json; name a directory of action files");
        }
    }

    // Prints what is said of all of them. The exit code.
    int finish() {
        const std::vector<std::string> warnings =
            warnings_of(policy::read_people(options_, snapshot_));
        if (json_) {
            // One line, as all that posternctl prints with --json.
            OrderedJson all = {{"good", good_}, {"bad", bad_}};
            if (!warnings.empty()) all["warnings"] = warnings;
            add_not_read(snapshot_, all);
            std::printf("%s\n",
                        all.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).c_str());
        } else {
            print_not_read(snapshot_);
            print_warnings(warnings);
            std::printf("%s\n", good_and_bad(good_.size(), bad_.size()).c_str());
        }
        return bad_.empty() ? 0 : 1;
    }

  private:
    void add_bad(const std::string& path, const std::string& error) {
        if (!json_) std::fprintf(stderr, "%s\n", error.c_str());
        bad_.push_back({{"file", printable(path)}, {"error", error}});
    }

    void look_at_file(const std::string& file) {
        if (is_configuration(file)) {
            Configuration configuration;
            if (const Status read = lint_configuration(file, configuration); !read) {
                return add_bad(file, read.error().message);
            }
            const std::string folder = configuration_.substr(0, configuration_.rfind('/'));
            if (!is_believed(file, {folder, configuration_ + ".d"})) return;
            OrderedJson entry = {{"file", printable(file)}, {"configuration", true}};
            add_good(std::move(entry), options_.owner == 0 ? unit_warnings(configuration)
                                                           : std::vector<std::string>());
            return;
        }
        auto action = policy::lint(file, options_);
        if (!action) return add_bad(file, action.error().message);
        if (!is_believed(file, options_.folders)) return;
        OrderedJson entry = {{"file", printable(file)}};
        if (auto& found = *action) {
            entry["action"] = found->description.name;
            add_good(std::move(entry), found->warnings);
            snapshot_.actions.insert_or_assign(file, *std::move(found));
        } else {
            add_good(std::move(entry),
                     {printable(file) + ": is empty, which disables the action of its name; if "
                                        "you did not mean that, remove it"});
        }
    }

    void add_good(OrderedJson entry, const std::vector<std::string>& warnings) {
        if (!warnings.empty()) entry["warnings"] = warnings;
        if (!json_) print_warnings(warnings);
        good_.push_back(std::move(entry));
    }

    // Where the daemon reads the file from one of these already, whose it is counts as well.
    bool is_believed(const std::string& file, const std::vector<std::string>& folders) {
        const bool installed = std::ranges::any_of(
            folders, [&file](const auto& folder) { return policy::lies_in(file, folder); });
        const Status safe = installed ? policy::check_installed(file, options_.owner) : Status();
        if (!safe) add_bad(file, safe.error().message);
        return safe.has_value();
    }

    policy::LoadOptions options_;
    std::string configuration_;  // the daemon's own file; empty: it has none
    bool json_;
    OrderedJson good_ = OrderedJson::array();
    OrderedJson bad_ = OrderedJson::array();
    policy::Snapshot snapshot_;  // of the good ones, and what was passed over
};

}  // namespace

int check(const Configuration& configuration, uid_t uid, bool json) {
    policy::LoadOptions options;
    options.folders = configuration.actions;
    options.owner = uid;
    options.default_timeout = configuration.limits.timeout;
    options.sockets = callers_sockets(configuration);
    const auto systemd = systemd_socket(configuration.jobs, uid);
    options.systemd = systemd && !systemd->empty();
    auto snapshot = policy::load(options);
    if (!snapshot) {
        if (json) std::printf("%s\n", dump_ordered({{"error", snapshot.error().message}}).c_str());
        std::fprintf(stderr, "posternd: %s\n", snapshot.error().message.c_str());
        return 1;
    }
    const Configuration defaults = default_configuration(uid);
    std::vector<std::string> warnings = warnings_of(snapshot->people);
    if (is_of_the_unit(configuration, uid)) {
        const std::vector<std::string> more = unit_warnings(configuration);
        warnings.insert(warnings.begin(), more.begin(), more.end());
    }
    if (json) {
        OrderedJson actions = OrderedJson::array();
        for (const auto& [name, action] : snapshot->actions) actions.push_back(to_json(action));
        OrderedJson bad = OrderedJson::array();
        for (const auto& file : snapshot->bad) {
            bad.push_back({{"action", file.action}, {"file", file.file}, {"error", file.message}});
        }
        OrderedJson limits = OrderedJson::object();
        for (const auto& [name, value] : show_limits(configuration.limits)) limits[name] = value;
        OrderedJson all = {{"configuration", configuration_json(configuration, defaults)},
                           {"folders", configuration.actions},
                           {"actions", actions},
                           {"bad", bad},
                           {"limits", limits}};
        if (!warnings.empty()) all["warnings"] = warnings;
        if (!snapshot->disabled.empty()) all["disabled"] = disabled_json(snapshot->disabled);
        add_not_read(*snapshot, all);
        for (const std::string& file : configuration.ignored) {
            all["configuration"]["ignored"].push_back(file);
        }
        std::printf("%s\n", dump_ordered(all).c_str());
    } else {
        std::fputs(configuration_text(configuration, defaults).c_str(), stdout);
        print_warnings(configuration.ignored);
        for (const auto& [name, action] : snapshot->actions) print(action);
        for (const policy::DisabledAction& one : snapshot->disabled) {
            std::printf("%s: disabled by %s, which is empty\n", one.action.c_str(),
                        one.file.c_str());
        }
        for (const auto& [name, action] : snapshot->actions) print_warnings(action.warnings);
        for (const auto& file : snapshot->bad) {
            std::fprintf(stderr, "%s\n", file.message.c_str());
        }
        print_not_read(*snapshot);
        print_warnings(warnings);
        std::printf("%s loaded, %s bad\n", counted_is(snapshot->actions.size(), "action").c_str(),
                    counted_is(snapshot->bad.size(), "file").c_str());
    }
    return snapshot->bad.empty() ? 0 : 1;
}

int lint(const std::vector<std::string>& paths, uid_t owner, bool json) {
    Linter linter(owner, json);
    for (const std::string& path : paths) linter.look_at(path);
    return linter.finish();
}

}  // namespace postern
