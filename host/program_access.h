// Whether somebody else than root may execute a program, as the kernel will see it at execve(2).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace postern {

// Judged by owner, group and mode of the program and of each directory above it; a script must be
// readable as well, for its interpreter. `groups`: all that the process will have. Empty: nothing
// stands in the way, or that can't be told (access control lists, what is not there). Else the end
// of a sentence: "may not execute PATH (owned by uid 0, mode 0700)".
std::string program_access_problem(const std::string& path, uid_t uid,
                                   const std::vector<gid_t>& groups);

}  // namespace postern
