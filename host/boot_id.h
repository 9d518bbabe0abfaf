// Which run of the machine this is.
#pragma once

#include <string>

namespace postern {

// Changes with every boot of the machine (random(4)); empty if it can't be read.
std::string boot_id();

}  // namespace postern
