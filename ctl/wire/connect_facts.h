// The facts behind a connect that failed.
#pragma once

#include <string>

#include "ctl/wire/connect_error.h"

namespace postern::ctl {

// Looks at the path as this process may. Never fails: what can't be seen stays unknown.
ConnectFailure look_at(const std::string& path, int error);

}  // namespace postern::ctl
