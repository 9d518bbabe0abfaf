// The system calls that a session may make.
#pragma once

#include "base/result.h"

namespace postern::session {

// Puts the list in force for this process (daemon/confine/system_calls.h).
Status limit_system_calls();

}  // namespace postern::session
