// Action files -> Snapshot. Reads files and asks NSS for names, so it may block: the guard calls it
// beside its loop.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "daemon/policy/file/load_options.h"
#include "daemon/policy/snapshot.h"

namespace postern::policy {

// Every *.json file of the folders, but for names that begin with a dot. Links are followed, hard
// links are files like any other (host/safe_file.h). A bad file takes its own action off, also
// where an earlier folder has a good one of that name, and is in Snapshot::bad. A folder that is
// not safe takes off its own actions and those of the folders before it, since whoever can write to
// it could unmask them. The Error is for what makes the whole set unknown: a folder that can't be
// read, or more than limits::actions files.
Result<Snapshot> load(const LoadOptions& options);

// What load() would make of this file if it lay in a folder of action files: the rules about the
// file's own name are kept, those about its owner, mode and folder are not. Absent: it is empty,
// and only masks an action of its name. The error as of parse_action() (action_parser.h).
Result<std::optional<Action>> lint(const std::string& path, const LoadOptions& options);

// The text of a file that is to be judged by its text alone, at most limits::action_file_bytes. The
// error is FILE: what.
Result<std::string> read_any(const std::string& path);

}  // namespace postern::policy
