#include "daemon/policy/file/loader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "base/utf8.h"
#include "daemon/digest/sha256.h"
#include "daemon/policy/file/action_parser.h"
#include "daemon/policy/file/people_reader.h"
#include "host/directory.h"
#include "host/safe_file.h"

namespace postern::policy {
namespace {

constexpr std::string_view suffix = ".json";

bool is_action_name(std::string_view name) {
    const auto is_alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    if (name.empty() || name.size() > limits::action_name_bytes || !is_alphanumeric(name.front())) {
        return false;
    }
    return std::ranges::all_of(
        name, [&](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

// What is wrong with the name of an action's file, without ".json".
std::string name_problem(std::string_view name) {
    return in_quotes(name) +
           " is not a valid name for an action; use letters, digits, \".\", \"_\" and "
           "\"-\", a letter or digit first, at most 64";
}

// Names that end in ".json", ascending.
Result<std::vector<std::string>> list_names(const UniqueFd& folder, const std::string& path) {
    const auto failed = [&path](int error) {
        return fail(path + " can't be read: " + std::generic_category().message(error));
    };
    UniqueFd copy = duplicate(folder.get());
    if (!copy) return failed(errno);
    const Directory stream(fdopendir(copy.get()));
    if (!stream) return failed(errno);
    static_cast<void>(copy.release());  // closedir() closes it

    std::vector<std::string> names;
    while (true) {
        errno = 0;
        const dirent* const entry = readdir(stream.get());
        if (entry == nullptr && errno != 0) return failed(errno);
        if (entry == nullptr) break;
        std::string name = static_cast<const char*>(entry->d_name);
        if (name.ends_with(suffix)) names.push_back(std::move(name));
    }
    std::ranges::sort(names);
    return names;
}

// Whether the name is a link to /dev/null: then it only masks. Whoever can make one in a safe
// folder may mask.
bool is_null_link(const UniqueFd& folder, const std::string& name) {
    constexpr std::string_view null_device = "/dev/null";
    std::array<char, null_device.size() + 1> target{};
    const ssize_t size = readlinkat(folder.get(), name.c_str(), target.data(), target.size());
    return size >= 0 &&
           std::string_view(target.data(), static_cast<std::size_t>(size)) == null_device;
}

class Loader {
  public:
    explicit Loader(const LoadOptions& options) : options_(options) {}

    Result<Snapshot> load() {
        for (const std::string& path : options_.folders) {
            if (auto listed = list(path); !listed) return Unexpected(Error(listed.error()));
        }
        if (winners_.size() > limits::actions) {
            return fail("there are " + std::to_string(winners_.size()) +
                        " action files, more than the limit of " + std::to_string(limits::actions) +
                        "; remove some");
        }
        for (const auto& [name, source] : winners_) load_one(name, source);
        std::ranges::sort(snapshot_.bad,
                          [](const BadFile& a, const BadFile& b) { return a.file < b.file; });
        snapshot_.people = read_people(options_, snapshot_);
        return std::move(snapshot_);
    }

  private:
    struct Source {
        const UniqueFd* folder = nullptr;
        std::string path;  // of the file
        std::string
            unsafe_folder;  // not empty: a later folder that could have masked it is not safe
    };

    Status list(const std::string& path) {
        Result<UniqueFd, OpenError> folder = open_safe_folder(path, options_.owner);
        if (!folder) {
            switch (folder.error().kind) {
                case OpenError::Kind::missing:
                    return {};
                case OpenError::Kind::failed:
                    return fail(folder.error().message);
                case OpenError::Kind::unsafe:
                    break;
            }
            for (auto& [name, source] : winners_) {
                if (source.unsafe_folder.empty()) source.unsafe_folder = path;
            }
            snapshot_.bad.push_back(
                {"", path,
                 path + ": is not safe, no action of it is in force: " + folder.error().message});
            return {};
        }
        folders_.push_back(std::make_unique<UniqueFd>(std::move(folder).value()));
        const UniqueFd& open = *folders_.back();
        POSTERN_TRY(std::vector<std::string> names, list_names(open, path));
        for (const std::string& name : names) {
            std::string file = path;
            if (!file.ends_with('/')) file += '/';
            file += name;
            winners_[name] = {&open, std::move(file), {}};
        }
        return {};
    }

    void add_bad(const std::string& name, const Source& source, const std::string& what) {
        snapshot_.bad.push_back({printable(name), printable(source.path), what});
    }

    void load_one(const std::string& file_name, const Source& source) {
        const std::string name = file_name.substr(0, file_name.size() - suffix.size());
        const std::string shown = printable(source.path);
        if (!is_action_name(name)) {
            return add_bad(name, source, shown + ": " + name_problem(name));
        }
        if (!source.unsafe_folder.empty()) {
            return add_bad(name, source,
                           shown + ": is off, since " + source.unsafe_folder +
                               " could mask it and is not safe; correct that folder");
        }
        if (is_null_link(*source.folder, file_name)) return;
        const Result<UniqueFd, OpenError> file =
            open_safe_in(source.folder->get(), file_name, source.path, options_.owner);
        if (!file) return add_bad(name, source, shown + ": " + file.error().problem);
        const Result<std::string> text = read_unchanged(file->get(), limits::action_file_bytes);
        if (!text) return add_bad(name, source, shown + ": " + text.error().message);
        if (text->empty()) return;  // it only masks
        Result<Action> action = parse_action(name, source.path, *text, options_);
        if (!action) return add_bad(name, source, action.error().message);
        for (const auto* const rules : {&action->allow, &action->deny}) {
            for (const Rule& rule : *rules) {
                if (rule.subject.unit) snapshot_.units.insert(*rule.subject.unit);
            }
        }
        action->version = sha256(*text);
        snapshot_.actions.emplace(name, std::move(action).value());
    }

    const LoadOptions& options_;
    std::vector<std::unique_ptr<UniqueFd>> folders_;
    // By file name: the last folder that has it.
    std::map<std::string, Source> winners_;
    Snapshot snapshot_;
};

}  // namespace

Result<Snapshot> load(const LoadOptions& options) {
    return Loader(options).load();
}

Result<std::string> read_any(const std::string& path) {
    const std::string shown = printable(path);
    // Not blocking: it may be anything, a pipe too.
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    const auto failed = [&shown](int error) {
        return fail(shown + ": can't be read: " + std::generic_category().message(error));
    };
    struct stat status{};
    if (!file || fstat(file.get(), &status) < 0) return failed(errno);
    if (!S_ISREG(status.st_mode)) return fail(shown + ": is not a regular file; name a file");
    const Result<std::string> text = read_unchanged(file.get(), limits::action_file_bytes);
    if (!text) return fail(shown + ": " + text.error().message);
    return *text;
}

Result<std::optional<Action>> lint(const std::string& path, const LoadOptions& options) {
    const std::string shown = printable(path);
    const std::string_view file_name = std::string_view(path).substr(path.rfind('/') + 1);
    if (!file_name.ends_with(suffix)) {
        return fail(shown +
                    ": the name does not end in .json, so it would be passed over; rename it");
    }
    const std::string_view name = file_name.substr(0, file_name.size() - suffix.size());
    if (!is_action_name(name)) return fail(shown + ": " + name_problem(name));
    POSTERN_TRY(const std::string text, read_any(path));
    if (text.empty()) return std::optional<Action>();
    POSTERN_TRY(Action action, parse_action(name, shown, text, options));
    return std::optional<Action>(std::move(action));
}

}  // namespace postern::policy
