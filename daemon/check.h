// posternd --check: loads everything as the guard would, and prints what is in force.
#pragma once

#include <sys/types.h>

#include "daemon/configuration.h"

namespace postern {

// 0: all is well; 1: a file is bad, or nothing could be loaded.
int check(const Configuration& configuration, uid_t uid, bool json);

}  // namespace postern
