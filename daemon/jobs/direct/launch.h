// Starts the launcher of one job. It stands there, waiting for the guard's word, until it gets it.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/spawner.h"

namespace postern::jobs {

// Descriptors that a launcher is given, but the control socket; they stay the caller's.
struct LaunchFiles {
    int launcher = -1;  // the program
    int stdin_file = -1;
    int stdout_file = -1;
    int stderr_file = -1;
    int order = -1;
    int program = -1;
    int cgroup_procs = -1;  // -1: none
};

struct Launched {
    pid_t pid = -1;
    UniqueFd process;  // pidfd
    UniqueFd control;  // close-on-exec, non-blocking
};

// Waits only for the exec of our own program, which still runs as the guard's user: nobody else can
// stop it before. The child is not reaped by anybody else (SIGCHLD must not be ignored). Error: why
// not; then there is no child.
Result<Launched> launch(Spawner& spawner, const LaunchFiles& files);

}  // namespace postern::jobs
