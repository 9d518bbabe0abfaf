// The system calls that a session may make.
#pragma once

#include "base/result.h"

namespace postern::session {

// Puts the list in force for this process. Whatever is not on it ends the process by SIGSYS. Needs
// NoNewPrivileges. Errors: the kernel has no seccomp, or refuses the filter.
Status limit_system_calls();

}  // namespace postern::session
