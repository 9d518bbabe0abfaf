// The system calls that the keeper may make.
#pragma once

#include "base/result.h"

namespace postern::output {

// Puts the list in force for this process and its threads (daemon/confine/system_calls.h).
Status limit_system_calls();

}  // namespace postern::output
