#include "daemon/policy/file/loader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "base/utf8.h"
#include "daemon/digest/sha256.h"
#include "daemon/policy/file/action_parser.h"
#include "daemon/policy/file/file_names.h"
#include "daemon/policy/file/folder_listing.h"
#include "daemon/policy/file/people_reader.h"
#include "host/safe_file.h"

namespace postern::policy {
namespace {

// What is wrong with the name of an action's file, without ".json".
std::string name_problem(std::string_view name) {
    return in_quotes(name) +
           " is not a valid name for an action; use letters, digits, \".\", \"_\" and "
           "\"-\", starting with a letter or digit, at most 64 characters";
}

// A lease for reading is given only where nobody has the file open for writing (fcntl(2)). It is
// given back at once; who opens the file for writing in between waits for that, and the signal that
// says so is one that does nothing. False as well where the file system, or another owner of the
// file, does not let us know.
bool is_open_for_writing(int file) {
    fcntl(file, F_SETSIG, SIGURG);
    if (fcntl(file, F_SETLEASE, F_RDLCK) < 0) return errno == EAGAIN;
    fcntl(file, F_SETLEASE, F_UNLCK);
    return false;
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
        std::ranges::sort(snapshot_.passed_over, {}, &PassedOver::file);
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
                    add_missing(path, folder.error().message);
                    return {};
                case OpenError::Kind::failed:
                    return fail(folder.error().message);
                case OpenError::Kind::unsafe:
                    break;
            }
            for (auto& [name, source] : winners_) {
                if (source.unsafe_folder.empty()) source.unsafe_folder = path;
            }
            snapshot_.unsafe.push_back(path);
            snapshot_.bad.push_back(
                {"", path,
                 path + ": is not safe, so no action from it is loaded: " + folder.error().message,
                 BadFile::Until::changed});
            return {};
        }
        folders_.push_back(std::make_unique<UniqueFd>(std::move(folder).value()));
        const UniqueFd& open = *folders_.back();
        POSTERN_TRY(const FolderListing listing, list_folder(open, path));
        for (const std::string& name : listing.files) {
            winners_[name] = {&open, path_in(path, name), {}};
        }
        snapshot_.passed_over.insert(snapshot_.passed_over.end(), listing.passed_over.begin(),
                                     listing.passed_over.end());
        return {};
    }

    // `what` names the component that is missing.
    void add_missing(const std::string& path, const std::string& what) {
        MissingFolder missing{path, {}};
        if (path != vendor_folder) {
            missing.message = printable(path) + ": no action is loaded from here, because " + what;
        }
        snapshot_.missing.push_back(std::move(missing));
    }

    void add_bad(const std::string& name, const Source& source, const std::string& what,
                 BadFile::Until until = BadFile::Until::changed) {
        snapshot_.bad.push_back({printable(name), printable(source.path), what, until});
    }

    void add_disabled(const std::string& name, const Source& source) {
        snapshot_.disabled.push_back({name, printable(source.path)});
    }

    void load_one(const std::string& file_name, const Source& source) {
        const std::string name = file_name.substr(0, file_name.size() - action_suffix.size());
        const std::string shown = printable(source.path);
        if (!is_action_name(name)) {
            return add_bad(name, source, shown + ": " + name_problem(name));
        }
        if (!source.unsafe_folder.empty()) {
            return add_bad(name, source,
                           shown + ": is disabled, because " + source.unsafe_folder +
                               " is not safe and could mask it; correct that directory");
        }
        const Result<UniqueFd, OpenError> file =
            open_safe_in(source.folder->get(), file_name, source.path, options_.owner);
        if (!file && file.error().kind == OpenError::Kind::missing) return;
        if (!file) return add_bad(name, source, shown + ": " + file.error().problem);
        // A link to /dev/null only masks.
        if (!*file) return add_disabled(name, source);
        if (is_open_for_writing(file->get())) {
            return add_bad(name, source,
                           shown +
                               ": is open for writing, so it may be half written; it "
                               "will be read once it is closed",
                           BadFile::Until::closed);
        }
        const Result<std::string> text = read_unchanged(file->get(), limits::action_file_bytes);
        if (!text) return add_bad(name, source, shown + ": " + text.error().message);
        if (text->empty()) return add_disabled(name, source);
        std::string program;
        Result<Action> action = parse_action(name, source.path, *text, options_, &program);
        if (!action) {
            const bool may_pass = action.error().may_pass;
            add_bad(name, source, action.error().message,
                    may_pass ? BadFile::Until::looked_up : BadFile::Until::changed);
            if (may_pass) snapshot_.bad.back().program = program;
            return;
        }
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
    if (!file_name.ends_with(action_suffix)) {
        return fail(shown + ": the name does not end in .json, so it would be ignored; rename it");
    }
    const std::string_view name = file_name.substr(0, file_name.size() - action_suffix.size());
    if (!is_action_name(name)) return fail(shown + ": " + name_problem(name));
    POSTERN_TRY(const std::string text, read_any(path));
    if (text.empty()) return std::optional<Action>();
    POSTERN_TRY(Action action, parse_action(name, shown, text, options));
    return std::optional<Action>(std::move(action));
}

}  // namespace postern::policy
