// Which processes this one has started.
#pragma once

#include <sys/types.h>

#include <vector>

namespace postern::jobs {

// The children of this process that live, but for its keeper of output: a manager's launchers, and
// its jobs. (A manager that another test destroyed left its dead to init.)
std::vector<pid_t> children();

}  // namespace postern::jobs
