// Connecting to the daemon's socket.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern::ctl {

// Waits at most `patience` for a place in the daemon's queue. The descriptor blocks, and is
// close-on-exec. Precondition: the path is one that socket_path() gave.
// The error is one line that begins with the path and says which it is, and what to do.
Result<UniqueFd> connect_to(const std::string& path, std::chrono::milliseconds patience);

}  // namespace postern::ctl
