// The text of one action file -> Action.
#pragma once

#include <string_view>

#include "base/result.h"
#include "daemon/policy/file/load_options.h"
#include "daemon/policy/snapshot.h"

namespace postern::policy {

// One file's text, without the rules about the file itself: for tests and for an offline check. The
// program that it names is checked, users and groups are resolved. The error is
// FILE:LINE:COLUMN: what; what to do. `program`: there it puts the program that a bad file names.
Result<Action> parse_action(std::string_view name, std::string_view file, std::string_view text,
                            const LoadOptions& options, std::string* program = nullptr);

}  // namespace postern::policy
