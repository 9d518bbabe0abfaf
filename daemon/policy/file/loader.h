// Action files -> Snapshot. Reads files and asks NSS for names, so it may block: the guard calls it
// beside its loop.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/policy/snapshot.h"
#include "host/accounts.h"

namespace postern::policy {

struct LoadOptions {
    // Absolute folders of action files; a file in a later one wins over one of the same name in an
    // earlier. A folder that does not exist counts as empty.
    std::vector<std::string> folders;
    // Who may own the files besides root: the guard's own uid. Not 0: every job runs as this user.
    uid_t owner = 0;
    // Then also the groups of every job: those of the process, which it can't change.
    gid_t gid = ::getegid();
    std::vector<gid_t> groups = process_groups();
    // Whether systemd supervises jobs: else there is no sandbox for them.
    bool systemd = false;
    // Timeout of an action that names none.
    std::uint64_t default_timeout_usec = 3'600'000'000;
};

// Every *.json file of the folders. A bad file takes its own action off, also where an earlier
// folder has a good one of that name, and is in Snapshot::bad. A folder that is not safe takes off
// its own actions and those of the folders before it, since whoever can write to it could unmask
// them. The Error is for what makes the whole set unknown: a folder that can't be read, or more
// than limits::actions files.
Result<Snapshot> load(const LoadOptions& options);

// One file's text, without the rules about the file itself: for tests and for an offline check. The
// program that it names is checked, users and groups are resolved. The error is
// FILE:LINE:COLUMN: what; what to do.
Result<Action> parse_action(std::string_view name, std::string_view file, std::string_view text,
                            const LoadOptions& options);

// What load() would make of this file if it lay in a folder of action files: the rules about the
// file's own name are kept, those about its owner, mode and folder are not. Absent: it is empty,
// and only masks an action of its name. The error as of parse_action().
Result<std::optional<Action>> lint(const std::string& path, const LoadOptions& options);

}  // namespace postern::policy
