// The guard's own helper programs: found and opened once, when it starts, so that an upgrade in
// between can't mix versions.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern {

// Opens a program of ours: beside posternd itself (a build tree), else in the installed folder.
// O_PATH, close-on-exec, numbered 10 or higher, so that it is not in the way of what a child finds
// at low numbers. Errors name the paths that were tried.
Result<UniqueFd> open_helper(const std::string& name);

// Starts it with /dev/null as 0, 1 and 2 and `channel` as 3, no environment, default signals.
// The child is the guard's own until it drops what it has; it does so itself.
Result<pid_t> spawn_session(int program, const std::vector<std::string>& arguments, int channel);

}  // namespace postern
