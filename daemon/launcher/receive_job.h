// What the guard tells a launcher of its job, off the control socket.
#pragma once

#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/launcher/order.h"

namespace postern::launcher {

// Its standard input, output and error are where they belong. All others are close-on-exec.
struct Told {
    Order order;
    UniqueFd program;
    UniqueFd cgroup_procs;  // -1: none was given
};

// Waits for it. Precondition: descriptors 0, 1 and 2 are free. Empty: the guard is gone. Error:
// what came is not what a guard sends, or there is no room for it.
Result<std::optional<Told>, Report> receive_job();

}  // namespace postern::launcher
