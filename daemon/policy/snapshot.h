// What is in force: the immutable set of actions that one load of the action files made.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/policy/people.h"
#include "daemon/policy/unit_property.h"
#include "model/action.h"

namespace re2 {
class RE2;
}

namespace postern::policy {

// Conditions on a caller; all that are set must hold. `everyone` stands alone.
struct Subject {
    bool everyone = false;
    std::optional<uid_t> user;
    std::optional<gid_t> group;
    std::optional<std::string> unit = std::nullopt;  // of the system's systemd: "ci-runner.service"
    bool operator==(const Subject&) const = default;
};

struct Rule {
    Subject subject;
    std::string text;   // as the administrator wrote it, e.g. `allow group "deploy"`
    std::string place;  // FILE:LINE
    bool operator==(const Rule&) const = default;
};

// A piece of text: as it is, or the name of an argument whose value stands there.
struct Piece {
    bool placeholder = false;
    std::string text;
};

// One element of a command, or the whole of "stdin". In a command an element that has a placeholder
// is left out where that argument has no value; a placeholder of a list stands alone in its element
// and fills as many elements as the list has.
using Template = std::vector<Piece>;

// The compiled patterns of an action's arguments, by argument; safe to use from several threads.
using Patterns = std::map<std::string, std::shared_ptr<const re2::RE2>, std::less<>>;

struct Action {
    ActionDescription description;
    Patterns patterns;
    std::string file;                    // absolute path it was read from
    std::string version;                 // SHA-256 of its text
    std::string program;                 // exec[0]: absolute, no placeholder
    std::vector<Template> command;       // exec[1...]
    std::optional<Template> stdin_text;  // absent: /dev/null
    std::vector<Rule> allow;
    std::vector<Rule> deny;
    // Whom the job runs as; the groups are complete (the gid included), ascending, each once.
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;
    // The user's account, where another one is what systemd would take the uid for; else empty.
    std::string account;
    // Those of them that the user itself does not have, who could take them from the job; root's
    // jobs lend nothing.
    std::vector<gid_t> lent;
    // HOME, USER, LOGNAME, SHELL come from the account, PATH and LANG are fixed, then what the file
    // declares; complete but for the POSTERN_* variables, sorted by name, each name once.
    std::vector<std::pair<std::string, std::string>> environment;
    bool sudo_compatible = false;  // the job has SUDO_UID, SUDO_GID and SUDO_USER too
    std::string working_directory = "/";
    bool merge_stderr = false;  // "stderr": "stdout"
    // Bytes to be kept of each stream. Absent: as the limit storedOutput says.
    std::optional<std::uint64_t> stored_output;
    std::vector<UnitProperty> sandbox;
    // How many units are to wait for it, always. Absent: as spare.h says.
    std::optional<std::uint32_t> spare = std::nullopt;
    std::chrono::microseconds timeout{};
    // Of the file, which is in force all the same. FILE:LINE:COLUMN: what.
    std::vector<std::string> warnings;
};

// Whether a variable of this name says who called, so that no file may set it.
constexpr bool is_set_by_guard(std::string_view name, bool sudo_compatible) {
    return name.starts_with("POSTERN_") || (sudo_compatible && name.starts_with("SUDO_"));
}

// What is not in force, and why.
struct BadFile {
    // Empty where a whole folder is at fault.
    std::string action;
    std::string file;
    // FILE:LINE:COLUMN: what; what to do. Without line and column where not the text but the file
    // itself is at fault.
    std::string message;
    // After what it may be another file without having been changed itself.
    enum class Until : std::uint8_t { changed, looked_up, closed };
    Until until = Until::changed;
    // With Until::looked_up: the program that it names, which may be what is wrong.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string program = {};
    bool operator==(const BadFile&) const = default;
};

// A name in a folder of actions that nothing is read from, though somebody may have meant it to be.
struct PassedOver {
    std::string file;
    std::string message;  // FILE: is ignored, because ...; what to do
    bool operator==(const PassedOver&) const = default;
};

// An empty file, or a link to /dev/null: there is no action of its name, whatever other folders
// have.
struct DisabledAction {
    std::string action;
    std::string file;
    bool operator==(const DisabledAction&) const = default;
};

// A folder of actions that does not exist: it counts as empty.
struct MissingFolder {
    std::string path;
    std::string message;  // empty: it may be absent without a word
    bool operator==(const MissingFolder&) const = default;
};

struct Snapshot {
    std::map<std::string, Action, std::less<>> actions;
    std::vector<BadFile> bad;                  // by file
    std::vector<PassedOver> passed_over;       // by file, some of each folder
    std::vector<DisabledAction> disabled;      // by action
    std::vector<MissingFolder> missing;        // in the order of LoadOptions::folders
    std::vector<std::string> unsafe;           // folders from which nothing is loaded therefore
    std::set<std::string, std::less<>> units;  // those that some rule names
    People people;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace postern::policy
