// posternd --check: loads everything as the guard would, and prints what is in force.
// posternd --lint: looks at files that are not installed yet, with the same loader.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "daemon/guard/config/configuration.h"

namespace postern {

// 0: all is well; 1: a file is bad, or nothing could be loaded.
int check(const Configuration& configuration, uid_t uid, bool json);

// For a guard of the user `owner`: files, and folders of them. 0: all files are good; 1: one is
// bad, or a folder has none.
int lint(const std::vector<std::string>& paths, uid_t owner, bool json);

}  // namespace postern
