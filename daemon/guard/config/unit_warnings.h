// What the files of root's daemon set, though it can't be so where the units of the package start
// it.
#pragma once

#include <string>
#include <vector>

#include "daemon/guard/config/configuration.h"

namespace postern {

// FILE:LINE: KEY: what; what to do. Nothing is said of what the command line sets: the unit has
// none.
std::vector<std::string> unit_warnings(const Configuration& configuration);

}  // namespace postern
